"""Routes: recorded once, served here, and described by FastAPI when somebody asks for that.

Parameters are checked by the model that an endpoint asks for, as FastAPI would. FastAPI itself is
loaded for the description alone: it takes a third of a start, and half of a small answer.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from fustor_core.contracts import Ask
from fustor_core.errors import FustorError
from fustor_receiver_http.parameters import Parameters
from fustor_receiver_http.problems import invalid, malformed, response_of
from fustor_receiver_http.scopes import access_of, permit, shown_to

SEVERAL = frozenset({"type"})  # parameters that may be given more than once

Endpoint = Callable[..., Awaitable[Response]]
E = TypeVar("E", bound=Endpoint)


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    Args:
        method, path: with the names of its parameters in braces. endpoint: answers.
        asked: model of the query's parameters; None: they are its own affair.
        takes: parameters of the endpoint.
        each_once: whether no parameter may come twice.
        about: what FastAPI is told of it.
    """

    method: str
    path: str
    endpoint: Endpoint
    asked: type[Parameters] | None
    takes: frozenset[str]
    each_once: bool
    about: Mapping[str, Any]

    def known(self) -> list[str]:
        """The parameters that its query may have."""
        if self.asked is None:
            return []
        return sorted(field.alias or name for name, field in self.asked.model_fields.items())


class Routes:
    """A list of routes that is written with decorators.

    Args:
        prefix: before each path. tags: of those that name none.
        each_once: whether no parameter may come twice.
    """

    def __init__(
        self, prefix: str = "", tags: Sequence[str] = (), *, each_once: bool = True
    ) -> None:
        self.all: list[Route] = []
        self._prefix = prefix
        self._tags = list(tags)
        self._each_once = each_once

    def __repr__(self) -> str:
        return f"<Routes {len(self.all)} below {self._prefix or '/'}>"

    def get(self, path: str, **about: Any) -> Callable[[E], E]:
        """The endpoint below answers GET.

        Args:
            about: summary, name, tags, status_code, openapi_extra: as FastAPI has them.
        """
        return self._record("GET", path, about)

    def post(self, path: str, **about: Any) -> Callable[[E], E]:
        """The endpoint below answers POST."""
        return self._record("POST", path, about)

    def delete(self, path: str, **about: Any) -> Callable[[E], E]:
        """The endpoint below answers DELETE."""
        return self._record("DELETE", path, about)

    def _record(self, method: str, path: str, about: dict[str, Any]) -> Callable[[E], E]:
        def record(endpoint: E) -> E:
            takes = inspect.signature(endpoint, eval_str=True).parameters
            asked = takes["asked"].annotation if "asked" in takes else None
            told = {"tags": self._tags, **about}
            route = Route(
                method,
                self._prefix + path,
                endpoint,
                asked,
                frozenset(takes),
                self._each_once,
                told,
            )
            self.all.append(route)
            return endpoint

        return record


class Switch:
    """Serves routes.

    Args:
        ask: knows what keys cover. routes: all. rest: what is at no route.
    """

    def __init__(self, ask: Ask, routes: Iterable[Route], rest: ASGIApp) -> None:
        self._permit = permit(ask)
        self._rest = rest
        self._exact: dict[tuple[str, str], Route] = {}
        self._below: dict[str, list[tuple[re.Pattern[str], Route]]] = {}
        for route in routes:
            pattern, _, names = compile_path(route.path)
            if names:
                self._below.setdefault(route.method, []).append((pattern, route))
            else:
                self._exact[route.method, route.path] = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route, named = self._found(scope["method"], scope["path"])
        if route is None:
            await self._rest(scope, receive, send)
            return
        scope["route"], scope["path_params"] = route, named
        request = Request(scope, receive)
        try:
            response = await self._answer(route, request)
        except FustorError as error:
            response = response_of(shown_to(access_of(scope), error), request.url.path)
        await response(scope, receive, send)

    def _found(self, method: str, path: str) -> tuple[Route | None, dict[str, str]]:
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact, {}
        for pattern, route in self._below.get(method, ()):
            match = pattern.match(path)
            if match is not None:
                return route, match.groupdict()
        return None, {}

    async def _answer(self, route: Route, request: Request) -> Response:
        await self._permit(request)
        if route.each_once:
            _require_each_once(request)
        given: dict[str, Any] = {**request.path_params, "request": request}
        if route.asked is not None:
            given["asked"] = _checked(route, route.asked, request)
        return await route.endpoint(**{name: given[name] for name in route.takes})


def _require_each_once(request: Request) -> None:
    """Refuses a parameter that is given twice: which of the two was meant?

    Raises:
        Answered: it is.
    """
    names = [name for name, _ in request.query_params.multi_items() if name not in SEVERAL]
    for name in names:
        if names.count(name) > 1:
            raise malformed(f"{name} is given more than once")


def _checked(route: Route, model: type[Parameters], request: Request) -> Parameters:
    """The query's parameters.

    Raises:
        Answered: the model refuses them.
    """
    query = request.query_params
    given = {name: query.getlist(name) if name in SEVERAL else query[name] for name in query}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise invalid(error.errors(), route.known()) from error
