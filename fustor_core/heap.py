"""How a process keeps its memory: one heap for all threads, and what lasts is looked at once.

A view of a million directories is some millions of objects that live as long as the process. The
collector of cycles would traverse all of them again each time they have grown by a quarter, and
nobody is answered meanwhile: so what has survived a whole collection is left alone from then on.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Mapping
from typing import Any

THRESHOLDS = (20_000, 20, 10)  # containers made before a collection; collections before the next
ARENAS = -8  # of mallopt(3)
_WHOLE = 2


def arrange() -> None:
    """Set this process up; to be called before it starts threads. Calling it again does nothing."""
    if _left_alone in gc.callbacks:
        return
    # What one thread reads another keeps: in heaps of their own, each would be full of holes.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(ARENAS, 1)
    gc.set_threshold(*THRESHOLDS)
    gc.callbacks.append(_left_alone)


def _left_alone(phase: str, told: Mapping[str, Any]) -> None:
    if phase == "stop" and told["generation"] == _WHOLE:
        gc.freeze()
