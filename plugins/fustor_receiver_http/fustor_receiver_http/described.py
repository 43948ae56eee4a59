"""FastAPI, for what it is best at: the description of all routes, and what is at none of them.

It is loaded by the first request that needs it, in a thread.
"""

from __future__ import annotations

import html
import inspect
from collections.abc import Callable, Iterable
from functools import update_wrapper
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from fustor_core.contracts import Ask
from fustor_core.errors import FustorError
from fustor_receiver_http import problems
from fustor_receiver_http.documents import Document
from fustor_receiver_http.operations import describe
from fustor_receiver_http.routes import Route
from fustor_receiver_http.scopes import access_of, permit, shown_to

QUIET = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Fustor API</title>
<style>body{{font:16px/1.4 sans-serif;margin:2em auto;max-width:60em}}td{{padding:.1em 1em .1em 0;
vertical-align:top}}code{{white-space:nowrap}}</style>
<h1>Fustor API {version}</h1>
<p>Everything in detail: <a href="/openapi.json">openapi.json</a> (OpenAPI).</p>
<table>{rows}</table></html>
"""
ROW = "<tr><td>{method}</td><td><code>{path}</code></td><td>{summary}</td></tr>"
# the page needs nothing from anywhere, and may load nothing
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


class Api(FastAPI):
    """FastAPI, whose description tells of the hot routes, too."""

    def openapi(self) -> dict[str, Any]:
        """The description of all routes."""
        return describe(super().openapi())


def described(ask: Ask, routes: Iterable[Route]) -> Api:
    """The application that describes routes."""
    api = Api(
        title="Fustor",
        version=version("fustor"),
        summary="What is there, where it is, whether it is complete, what changed",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(permit(ask))],
        redirect_slashes=False,
        telemetry=QUIET,  # type: ignore[arg-type]  # older versions have no such argument
    )
    for route in routes:
        api.add_api_route(route.path, _shown(route), methods=[route.method], **route.about)
    _describe(api)
    _join(api)
    return api


def _shown(route: Route) -> Callable[..., Any]:
    """The endpoint as FastAPI reads it: a model of the query is marked as one."""
    signature = inspect.signature(route.endpoint, eval_str=True)
    parameters = [
        parameter.replace(annotation=Annotated[route.asked, Query()])
        if name == "asked"
        else parameter
        for name, parameter in signature.parameters.items()
    ]

    async def endpoint(**arguments: Any) -> Response:
        return await route.endpoint(**arguments)

    shown = update_wrapper(endpoint, route.endpoint)
    vars(shown)["__signature__"] = signature.replace(parameters=parameters)
    return shown


def _describe(api: FastAPI) -> None:
    """OpenAPI and the page for people."""

    @api.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> Response:
        return Document(api.openapi())

    @api.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        page = PAGE.format(version=html.escape(api.version), rows="".join(_rows(api.openapi())))
        return HTMLResponse(page, headers={"Content-Security-Policy": PAGE_POLICY})


def _rows(schema: dict[str, Any]) -> list[str]:
    return [
        ROW.format(
            method=html.escape(method.upper()),
            path=html.escape(path),
            summary=html.escape(operation.get("summary", "")),
        )
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    ]


def _join(api: FastAPI) -> None:
    """Makes problem documents of all that is raised."""

    async def told(request: Request, error: Exception) -> Response:
        assert isinstance(error, FustorError)
        shown = shown_to(access_of(request.scope), error)
        return problems.response_of(shown, request.url.path)

    async def unrouted(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return problems.unrouted(request, error, api.openapi()["paths"])

    api.add_exception_handler(FustorError, told)
    api.add_exception_handler(HTTPException, unrouted)
    api.add_exception_handler(Exception, problems.failed)
