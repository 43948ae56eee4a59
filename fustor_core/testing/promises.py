"""What all kits share: a promise is kept or named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
from pydantic import BaseModel

from fustor_core.claims import (
    PROTOCOL,
    Batch,
    Cell,
    Claim,
    Listing,
    Origin,
    Root,
    Row,
    Stamp,
    decode_batch,
    encode_batch,
    pack_rows,
    path_key,
)
from fustor_core.contracts import Hello, boottime_us
from fustor_core.soundness import fault, sorted_fault

LIMIT_S = 30.0
Item = TypeVar("Item")
Case = TypeVar("Case")


class BrokenPromise(AssertionError):
    """A driver does not do what its contract promises.

    Args:
        promise: the promise, in the words of the contract.
        found: what was seen instead.
    """

    def __init__(self, promise: str, found: object = "") -> None:
        super().__init__(f"broken promise: {promise}{f' (found: {found})' if found else ''}")
        self.promise = promise


def kept(promise: str, truth: object, found: object = "") -> None:
    """Go on if the promise is kept.

    Raises:
        BrokenPromise: it is not.
    """
    if not truth:
        raise BrokenPromise(promise, found)


def run(check: Callable[[Case], Awaitable[None]], case: Case) -> None:
    """Run a check from a plain function, on an event loop of its own.

    Raises:
        BrokenPromise: a promise is broken, or nothing came for `LIMIT_S` seconds.
    """

    async def limited() -> None:
        try:
            with anyio.fail_after(LIMIT_S):
                await check(case)
        except TimeoutError:
            raise BrokenPromise("nothing waits for ever", f"still busy after {LIMIT_S} s") from None

    anyio.run(limited)


def configured(cls: Any, config: Any) -> None:
    """Every driver: `Config` is a pydantic model, the constructor takes an instance of it.

    Raises:
        BrokenPromise: they are not.
    """
    made = getattr(cls, "Config", None)
    model = isinstance(made, type) and issubclass(made, BaseModel)
    kept("`Config` is a pydantic model", model, made)
    kept("the constructor takes an instance of `Config`", isinstance(config, made or type(None)))


def well_formed(claim: Claim) -> str:
    """Why a claim could not be taken at the other end, or ""."""
    if isinstance(claim, Root):
        return ""
    reason = fault(claim)
    if not reason and isinstance(claim, Listing) and claim.digest is None:
        reason = sorted_fault(claim.names)
        if not claim.complete and not claim.reason:
            reason = "incomplete, but no reason is given"
    if not reason:
        batch = Batch(PROTOCOL, 1, 0, [claim])
        if decode_batch(encode_batch(batch)) != batch:
            reason = "does not come out of the wire as it went in"
    return reason


def hello(pipe: str = "kit", agent_id: str = "agent-kit") -> Hello:
    """A pipe's first words."""
    return Hello(
        agent_id=agent_id,
        pipe=pipe,
        view="kit",
        source={"driver": "memory", "root_b64": "L2tpdA==", "identity": "", "birth": "none"},
        line={"boot": "b", "process": "p", "mount": "m", "cache_bound_s": 0},
        can={"realtime": True, "scan": True},
    )


def cell(name: bytes = b"a", *, at: int = 1, origin: Origin = Origin.REALTIME) -> Cell:
    """A claim about a file of the root."""
    now = boottime_us()
    return Cell(
        dir=path_key(b"/"),
        name=name,
        value=Row(size=at).pack(),
        stamp=Stamp(now, now, at, "e"),
        origin=origin,
    )


def listing(origin: Origin = Origin.SNAPSHOT, **sizes: int) -> Listing:
    """A claim about all names of the root."""
    now = boottime_us()
    names, rows = pack_rows({name.encode(): Row(size=size) for name, size in sizes.items()})
    stamp = Stamp(now, now, now, "l")
    return Listing(
        dir=path_key(b"/"), names=names, rows=rows, stamp=stamp, origin=origin, path=b"/"
    )


async def first(items: AsyncIterator[Item], limit_s: float) -> Item | None:
    """The next item, None when none comes in time.

    Raises:
        BrokenPromise: the iterator has ended.
    """
    with anyio.move_on_after(limit_s):
        try:
            return await anext(items)
        except StopAsyncIteration:
            raise BrokenPromise("the watch never ends by itself") from None
    return None
