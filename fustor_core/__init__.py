"""Fustor's engine; the front door for authors of plugins.

What may be imported from here, from the modules `claims`, `contracts` and `errors`, and from
`fustor_core.testing` is promised; everything else may move. Names come when they are first used,
so that the command line starts quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fustor_core import claims, contracts, errors
    from fustor_core.hookspecs import hookimpl
    from fustor_core.state_runs.hook import StateHook

__all__ = ["StateHook", "claims", "contracts", "errors", "hookimpl"]


def __getattr__(name: str) -> Any:
    if name == "hookimpl":
        return import_module("fustor_core.hookspecs").hookimpl
    if name == "StateHook":
        return import_module("fustor_core.state_runs.hook").StateHook
    if name in __all__:
        return import_module(f"fustor_core.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
