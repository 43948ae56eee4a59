"""How a process keeps its memory: one heap for all threads, and what lasts is looked at once.

A view of a million directories is some millions of objects that live as long as the process. The
collector of cycles would traverse all of them again each time they have grown by a quarter, and
nobody is answered meanwhile: so what has survived a whole collection is left alone from then on.
What a first scan needed besides is given back to the system when it is over.
"""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import anyio.to_thread

THRESHOLDS = (20_000, 20, 10)  # containers made before a collection; collections before the next
TRIM, LARGE, ARENAS = -1, -3, -8  # of mallopt(3)
LARGE_BYTES = 1 << 20
"""Blocks of this size are mapped by themselves, and given back when they are done with. Left alone,
malloc raises that to 32 MiB with the first such block that it frees, and keeps holes that large."""
TRIM_BYTES = 16 << 20  # free at the end of the heap, before it is given back
LOOK_S, CALM_SHARE = 2.0, 0.05  # CPU time of a process with nothing to do, at most
WORK_S, BUSY_S = 0.5, 60.0  # of CPU time after which it is tidied; of time, if it is never calm
STILL_S = 6.0  # of calm after which it is tidied once more: a checkpoint comes when a scan is over
_WHOLE = 2


def arrange() -> None:
    """Set this process up; to be called before it starts threads. Calling it again does nothing."""
    if _left_alone in gc.callbacks:
        return
    # What one thread reads another keeps: in heaps of their own, each would be full of holes.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(ARENAS, 1)
        mallopt(LARGE, LARGE_BYTES)
        mallopt(TRIM, TRIM_BYTES)
    gc.set_threshold(*THRESHOLDS)
    gc.callbacks.append(_left_alone)


async def keep_tidy(
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    used_s: Callable[[], float] = time.process_time,
    tidy: Callable[[], None] | None = None,
) -> None:
    """Give back what is free in the heap whenever much work is over, until cancelled.

    Args:
        sleep, used_s: time, and CPU time of this process. tidy: gives it back; None: as malloc can.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    tidy = tidy or (None if trim is None else lambda: trim(0))
    if tidy is None:
        return
    before_s = tidied_s = used_s()
    busy_s = calm_s = 0.0
    again = False
    while True:
        await sleep(LOOK_S)
        now_s = used_s()
        calm = now_s - before_s < LOOK_S * CALM_SHARE
        before_s, busy_s, calm_s = now_s, busy_s + LOOK_S, calm_s + LOOK_S if calm else 0.0
        over = now_s - tidied_s > WORK_S and (calm or busy_s > BUSY_S)
        if over or (again and calm_s >= STILL_S):
            # a thread of its own: it walks over the whole heap, without the interpreter's lock
            await anyio.to_thread.run_sync(tidy)
            tidied_s, busy_s, again = used_s(), 0.0, over


def _left_alone(phase: str, told: Mapping[str, Any]) -> None:
    if phase == "stop" and told["generation"] == _WHOLE:
        gc.freeze()
