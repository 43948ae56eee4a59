"""The files that plugins have for browsers, served as they are and under a strict policy."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fustor_core.contracts import Asset
from fustor_receiver_http.problems import refuse

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
"""Nothing from elsewhere, nothing from within markup, and no text ever becomes markup."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
FOR_EVER = "public, max-age=31536000, immutable"
EACH_TIME = "no-cache"


class Files:
    """All of them, as plain ASGI.

    Args:
        assets: each with a path of its own.
    """

    def __init__(self, assets: Iterable[Asset]) -> None:
        self._assets = {asset.path: asset for asset in assets}

    def __repr__(self) -> str:
        return f"<Files {len(self._assets)}>"

    @property
    def paths(self) -> frozenset[str]:
        """Where something is served."""
        return frozenset(self._assets)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers GET and HEAD."""
        asset = self._assets[scope["path"]]
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            return await refuse(
                scope,
                receive,
                send,
                "method-not-allowed",
                f"{asset.path} is a file",
                remedy="allowed: GET",
                headers={"Allow": "GET, HEAD"},
            )
        headers = {**HEADERS, "Cache-Control": FOR_EVER if asset.lasting else EACH_TIME}
        reply = Response(asset.content, headers=headers, media_type=asset.media_type)
        if scope["method"] == "HEAD":
            reply.body = b""
        return await reply(scope, receive, send)
