"""A fault in what a view does by itself: it is in ERROR, says why, serves on and recovers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from fustor_arbitrator_fs import FSArbitrator
from fustor_view_file import FileView

from fustor_core import upkeep
from fustor_core.states.pipeline import PipelineState as P

from .party import file
from .test_set_aside import Site

pytestmark = pytest.mark.anyio


class Torn(FileView):
    """Copies of its state fail half way."""

    mended = False

    def checkpoint(self, lsn: int, meta: bytes) -> Iterator[Callable[[], None]]:
        for step in super().checkpoint(lsn, meta):
            if not self.mended:
                raise KeyError("half way through")
            yield step


class Blank(FileView):
    """Cannot say what is pending."""

    mended = False

    def pending(self, path: bytes) -> tuple[int, int]:
        if not self.mended:
            raise KeyError("nobody foresaw this")
        return super().pending(path)


def site_of(driver: type[FileView], folder: Path) -> Site:
    class Faulty(Site):
        drivers = driver, FSArbitrator

    return Faulty(folder / "v")


async def reach(site: Site, state: P) -> None:
    """Let time pass until the view is in this state."""
    async with anyio.create_task_group() as tasks:

        async def pass_on() -> None:
            while True:
                await site.clock.advance(0.5)

        tasks.start_soon(pass_on)
        await site.until(lambda: site.pipeline.state is state)
        tasks.cancel_scope.cancel()


async def test_a_copy_that_failed_is_made_again_and_lacks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "CHECKPOINT_S", 0.01)
    site = site_of(Torn, tmp_path)
    view: Any = site.pipeline.view
    async with site.running() as pipeline:
        one = await site.agent()
        await one.send(*one.tree())
        await reach(site, P.ERROR)
        told = site.status()
        assert told["flags"] == ["ERROR"]
        assert "KeyError: 'half way through'" in told["last_error"]
        await one.send(one.event(b"x", file()))
        assert site.paths() == {"/a", "/d", "/d/b", "/x"}, "it takes and answers"
        await reach(site, P.ERROR)
        assert len(site.alarms) == 1, "the same is told once"
        view.mended = True
        await reach(site, P.RUNNING)
        assert "last_error" not in site.status()
        assert pipeline.keeping.applied_lsn
    site.made()
    fresh: Any = site.pipeline.view
    fresh.mended = True
    async with site.running():
        assert site.paths() == {"/a", "/d", "/d/b", "/x"}


async def test_a_last_copy_that_fails_loses_nothing(tmp_path: Path) -> None:
    site = site_of(Torn, tmp_path)
    async with site.running():
        one = await site.agent()
        await one.send(*one.tree())
    assert site.pipeline.state is P.STOPPED
    assert any("half way through" in alarm for alarm in site.alarms)
    site.made()
    async with site.running():
        assert site.paths() == {"/a", "/d", "/d/b"}


async def test_a_sweep_that_fails_takes_nothing_with_it(tmp_path: Path) -> None:
    site = site_of(Blank, tmp_path)
    view: Any = site.pipeline.view
    async with site.running() as pipeline:
        one = await site.agent()
        await one.send(*one.tree())
        job = await pipeline.scan(b"/", recursive=True)
        assert job is not None
        await reach(site, P.ERROR)
        assert "to look after sessions" in site.status()["last_error"]
        ack = await one.send(one.event(b"x", file()))
        assert ack.acked == 2, "what it does by itself is not its agents' concern"
        pipeline.outdated()
        assert site.status()["flags"] == ["ERROR", "CONF_OUTDATED"]
        pipeline.outdated(on=False)
        view.mended = True
        await one.send(one.event(b"y", file()))
        await reach(site, P.RUNNING)
        assert site.alarms
