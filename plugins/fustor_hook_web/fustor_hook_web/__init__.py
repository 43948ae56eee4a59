"""Fustor page: views, pipes, files and state machines, live in the browser"""

from __future__ import annotations

from fustor_hook_web.page import page

__all__ = ["page"]
