"""What is written into the audit log, and what of it: acts of weight, refusals, the program's own.

A question is no act. Of the arguments of an act only those stand in its record that are named here;
texts are searched for the secrets that are known. Refusals can be made by the thousand by whoever
reaches a port: of one asker, one stands in the log at once, and the others of the next minute as
one record with their number.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from fustor_core.acts.book import Book, of_program
from fustor_core.acts.chain import bounded
from fustor_core.contracts.asking import ASKER, Asker
from fustor_core.errors import Forbidden, FustorError, Unauthorized, Vetoed

WEIGHTY: Mapping[str, tuple[str, ...]] = {
    "scan": ("view", "path", "recursive"),
    "cancel": ("id",),
    "confirm": ("view", "root", "reject"),
    "drop": ("view",),
    "pause": ("id",),
    "resume": ("id",),
    "restart": ("id",),
    "reload": ("role", "restart"),
    "stop": ("role",),
    "log-level": ("level", "logger"),
    "key-create": ("scopes", "views", "pipes", "expires_s"),
    "key-revoke": ("id",),
    "key-rotate": ("id", "overlap_s"),
    "link": ("scopes", "views", "pipes"),
    "login": (),
}
"""Commands that are acts, and which of their arguments are told."""
RESULTS: Mapping[str, tuple[str, ...]] = {
    "scan": ("id",),
    "confirm": ("confirmed",),
    "reload": ("generation", "started", "stopped", "changed", "errors"),
    "key-create": ("id",),
    "key-rotate": ("id",),
}
"""What of the answers is told."""
OBJECT_BYTES = 8 << 10
REFUSED = (Forbidden, Unauthorized, Vetoed)
SPARE_S = 60.0
SPARED_MOST = 1000  # askers whose refusals are counted apart; those beyond are counted together

Do = Callable[[], Awaitable[dict[str, Any]]]
Clean = Callable[[Any], Any]


@dataclass(slots=True)
class Act:
    """Something that was done, or was not.

    Attributes:
        name: what. about: to what. outcome: ``done``, ``refused`` or ``failed``. why: of these two.
        asker: who; None: who asks for what is being done now.
    """

    name: str
    about: Mapping[str, Any]
    outcome: str = "done"
    why: str = ""
    asker: Asker | None = None

    def fields(self, clean: Clean) -> dict[str, Any]:
        """As it stands in the log.

        Args:
            clean: takes secrets out.
        """
        about = clean(bounded({k: v for k, v in self.about.items() if v not in (None, "")}))
        if len(json.dumps(about)) > OBJECT_BYTES:
            about = {
                key: "…" if isinstance(one, list | dict) else one for key, one in about.items()
            }
        actor = (self.asker or ASKER.get()).document()
        told = {"actor": actor, "act": self.name, "object": about, "outcome": self.outcome}
        return {**told, "why": clean(bounded(self.why))} if self.why else told


@dataclass(slots=True)
class _Spared:
    """Refusals of one asker that were not told yet."""

    until_s: float
    times: int
    act: Act


class Clerk:
    """Writes acts down.

    Args:
        book: None = nothing is written. clean: takes secrets out of what is.
        now_s: a monotonic clock.
    """

    def __init__(
        self,
        book: Book | None = None,
        *,
        clean: Clean = lambda value: value,
        now_s: Callable[[], float] | None = None,
    ) -> None:
        self.book, self.clean = book, clean
        self._now_s = now_s or anyio.current_time
        self._spared: dict[tuple[str, Asker | None], _Spared] = {}

    def __repr__(self) -> str:
        return f"<Clerk of {self.book!r}>"

    async def attend(self, name: str, arguments: Mapping[str, Any], do: Do) -> dict[str, Any]:
        """Have a command done, and written down before anybody is told.

        Args:
            do: does it.
        """
        if name not in WEIGHTY or self.book is None:
            return await do()
        about = {key: arguments.get(key) for key in WEIGHTY[name]}
        try:
            done = await do()
        except (FustorError, OSError) as error:
            outcome = "refused" if isinstance(error, REFUSED) else "failed"
            await self.put(Act(name, about, outcome, str(error)))
            raise
        result = {key: done[key] for key in RESULTS.get(name, ()) if key in done}
        if name == "key-rotate" and "id" in result:
            result = {"new_id": result["id"]}
        await self.put(Act(name, {**about, **result}))
        return done

    async def put(self, act: Act) -> None:
        """Write an act down; durable when this returns."""
        if self.book is not None:
            await self.book.put(act.fields(self.clean))

    def noted(self, act: Act) -> None:
        """Write an act down soon."""
        if self.book is not None:
            self.book.note(act.fields(self.clean))

    def note(self, name: str, **about: Any) -> None:
        """Something that the program has done by itself; written soon."""
        if self.book is not None:
            self.book.note({**of_program(name), "object": self.clean(bounded(about))})

    def refused(self, request: str, why: str) -> None:
        """Somebody was refused before a command came of it.

        Args:
            request: what was asked for, without secrets. why: a word.
        """
        if self.book is None:
            return
        asker, now_s = ASKER.get(), self._now_s()
        self.spare(now_s)
        full = len(self._spared) >= SPARED_MOST
        at = (why, None if full else asker)
        spared = self._spared.get(at)
        act = Act("request", {"request": request}, "refused", why, asker)
        if spared is not None:
            spared.times, spared.act = spared.times + 1, act
            return
        self._spared[at] = _Spared(now_s + SPARE_S, 0, act)
        self.book.note(act.fields(self.clean))

    def spare(self, now_s: float) -> None:
        """Tell of the refusals whose minute is over, as one record each.

        Args:
            now_s: inf tells of all.
        """
        if self.book is None:
            return
        for at in [at for at, one in self._spared.items() if one.until_s <= now_s]:
            one = self._spared.pop(at)
            if one.times:
                one.act.about = {**one.act.about, "times": one.times}
                self.book.note(one.act.fields(self.clean))

    async def live(self) -> None:
        """Write what was noted, until cancelled."""
        if self.book is None:
            return
        async with anyio.create_task_group() as group:
            group.start_soon(self.book.live)
            while True:
                await anyio.sleep(SPARE_S)
                self.spare(self._now_s())


def by_hand(part: Path, name: str, about: Mapping[str, Any], why: str = "") -> None:
    """Write down an act of a command that works on the files while no server does.

    Args:
        part: folder of the state directory; the caller holds its lock. why: it has failed.

    Raises:
        StateError: the log cannot be read or written.
    """
    book = Book(part)
    book.open()
    act = Act(name, about, "failed" if why else "done", why, Asker("files", uid=os.getuid()))
    book.note(act.fields(lambda value: value))
    book.close()
