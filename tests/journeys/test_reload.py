"""One process that follows its configuration files: what goes on, what changes, what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from fustor_core.bootstrap import House
from fustor_core.config import ROLES, load_config
from fustor_core.contracts import Query
from fustor_core.errors import NoSuchView
from fustor_core.pipeline import AgentPipeline
from fustor_core.problems import Problem
from fustor_core.registry import Registry
from fustor_core.states.pipeline import PipelineState as P

pytestmark = pytest.mark.anyio

LIMIT_S = 30.0


class Site:
    """A folder of configuration, trees, a home, and the house that runs on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "conf"
        self.conf.mkdir()
        self.events: list[dict[str, Any]] = []
        self.house: House
        self._views: dict[str, dict[str, Any]] = {}
        self._pipes: dict[str, dict[str, Any]] = {}

    def tree(self, name: str) -> Path:
        root = self.folder / name
        root.mkdir(exist_ok=True)
        (root / "file").write_text(name)
        return root

    def pipe(self, name: str, view: str, **changes: Any) -> None:
        """Write or change a pipe's file, and its view."""
        self._views.setdefault(view, {})
        before = self._pipes.get(name) or {
            "id": name,
            "source": {"driver": "fs", "root": str(self.tree(name))},
            "sink": {"driver": "view", "view": view},
        }
        self._pipes[name] = {**before, **changes}
        self.write()

    def view(self, name: str, **changes: Any) -> None:
        self._views[name] = {**self._views.get(name, {}), **changes}
        self.write()

    def without(self, *, pipe: str = "", view: str = "") -> None:
        self._pipes.pop(pipe, None)
        self._views.pop(view, None)
        (self.conf / f"{pipe}.yaml").unlink(missing_ok=True)
        self.write()

    def write(self) -> None:
        (self.conf / "views.yaml").write_text(json.dumps({"version": 1, "views": self._views}))
        for name, pipe in self._pipes.items():
            (self.conf / f"{name}.yaml").write_text(json.dumps(pipe))

    @asynccontextmanager
    async def running(self, *roles: str) -> AsyncIterator[House]:
        registry, stop = Registry(), anyio.Event()

        def model_of(kind: str, name: str) -> Any:
            return registry.driver(kind, name).Config

        loaded = load_config([self.conf], os.environ, model_of=model_of, roles=roles or ROLES)
        with ExitStack() as held:
            self.house = House(loaded, self.folder / "home", self.events.append)
            self.house.open(held)
            async with anyio.create_task_group() as group:
                group.start_soon(self.house.live, stop)
                try:
                    yield self.house
                finally:
                    stop.set()

    async def reload(self, **asked: Any) -> dict[str, Any]:
        with anyio.fail_after(LIMIT_S):
            return await self.house.fusion.command("reload", asked)

    async def until(self, reached: Callable[[], bool]) -> None:
        with anyio.fail_after(LIMIT_S):
            while not reached():
                await anyio.lowlevel.checkpoint()

    async def reach(self, name: str, state: int, generation: int = 1) -> AgentPipeline:
        """The pipeline of a pipe's start with this number, in this state."""

        def there() -> bool:
            pipe = self.house.pipes.get(name)
            return pipe is not None and (pipe.generation, int(pipe.state)) == (generation, state)

        await self.until(there)
        return self.house.pipes[name]

    async def files(self, view: str) -> int:
        document: dict[str, Any] = {}
        async for page in self.house.fusion.query(view, Query("du")):
            document = page.document or document
        return int(document["rollup"]["files"])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def counted(document: dict[str, Any]) -> tuple[list[str], list[str], list[str], list[str]]:
    assert document["errors"] == []
    return tuple(document[key] for key in ("started", "stopped", "changed", "untouched"))  # type: ignore[return-value]


async def test_nothing_that_is_as_it_was_is_touched(site: Site) -> None:
    site.pipe("a", "a")
    async with site.running():
        before = await site.reach("a", 66)
        session = before.link.session_id
        document = await site.reload()
        assert counted(document) == ([], [], [], ["a", "view:a", "receiver:main"])
        assert document["generation"] == 2
        assert site.house.pipes["a"] is before
        assert before.link.session_id == session


async def test_a_pipe_and_its_view_come_and_go_beside_one_that_stays(site: Site) -> None:
    site.pipe("a", "a")
    async with site.running():
        stays = await site.reach("a", 66)
        site.pipe("b", "b")
        assert counted(await site.reload())[0] == ["view:b", "b"]
        await site.reach("b", 66)
        assert await site.files("b") == 1
        site.without(pipe="b", view="b")
        document = await site.reload()
        assert document["stopped"] == ["b", "view:b"]
        await site.until(lambda: "b" not in site.house.pipes)
        with pytest.raises(NoSuchView):
            await site.files("b")
        assert (site.folder / "home" / "fusion" / "views" / "b").is_dir(), "its state is kept"
        assert site.house.pipes["a"] is stays
        assert stays.link.session_id is not None
        site.tree("b").rename(site.folder / "moved")
        site.view("b")
        await site.reload()
        assert await site.files("b") == 1, "the state is read again"


async def test_what_can_change_as_it_runs_does(site: Site) -> None:
    site.pipe("a", "a")
    async with site.running():
        pipe = await site.reach("a", 66)
        session = pipe.link.session_id
        site.pipe("a", "a", audit_interval_sec=7, error_retry_interval=1)
        site.view("a", session_timeout_seconds=77, mass_delete_guard={"count": 3})
        document = await site.reload()
        assert document["changed"] == ["a", "view:a"]
        assert site.house.pipes["a"] is pipe
        assert (pipe.config.audit_interval_sec, pipe.link.session_id) == (7, session)
        view = site.house.views["a"]
        assert view.standing.sessions.timeout_us == 77_000_000
        assert view.view.registers.guard.count == 3  # type: ignore[attr-defined]
        assert (await site.reload())["changed"] == []


async def test_what_needs_a_restart_gets_one(site: Site) -> None:
    site.pipe("a", "a")
    async with site.running():
        before = await site.reach("a", 66)
        other = site.tree("other")
        (other / "second").write_text("x")
        site.pipe("a", "a", source={"driver": "fs", "root": str(other)})
        assert (await site.reload())["changed"] == ["a"]
        after = await site.reach("a", 66, generation=2)
        assert after.source is not before.source
        assert int(before.state) == 0


async def test_a_restart_may_be_put_off(site: Site) -> None:
    site.pipe("a", "a")
    async with site.running():
        pipe = await site.reach("a", 66)
        site.pipe("a", "a", follower="standby")
        document = await site.reload(restart=False)
        assert (document["changed"], document["outdated"]) == ([], ["a"])
        assert int(pipe.state) == 66 | P.CONF_OUTDATED
        assert site.house.pipes["a"] is pipe
        await site.house.fusion.command("restart", {"id": "a"})
        after = await site.reach("a", 66, generation=2)
        assert after.config.follower == "standby"


async def test_what_a_person_has_paused_stays_paused(site: Site) -> None:
    site.pipe("a", "a")
    async with site.running():
        (await site.reach("a", 66)).pause()
        site.pipe("a", "a", session_timeout_seconds=60)
        await site.reload()
        await site.reach("a", 6, generation=2)


async def test_a_view_that_needs_new_drivers_is_opened_again(site: Site) -> None:
    site.pipe("a", "a")
    async with site.running():
        await site.reach("a", 66)
        before = site.house.views["a"]
        site.view("a", memory_budget=1 << 30)
        assert (await site.reload())["changed"] == ["view:a"]
        assert site.house.views["a"] is not before
        assert await site.files("a") == 1
        (site.folder / "a" / "new").write_text("x")
        with anyio.fail_after(LIMIT_S):
            while await site.files("a") != 2:
                await anyio.lowlevel.checkpoint()


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"version": 1, "views": {"a": {}}, "vews": {}}', "unknown key vews"),
        ('{"version": 1, "views": {"a": {"max_sessions": 0}}}', "at least 1"),
        ("version: 1\nviews: [", "never closed"),
    ],
)
async def test_a_file_that_cannot_be_used_changes_nothing(site: Site, text: str, told: str) -> None:
    site.pipe("a", "a")
    async with site.running():
        pipe = await site.reach("a", 66)
        (site.conf / "views.yaml").write_text(text)
        with pytest.raises(Problem, match=told) as caught:
            await site.reload()
        document = caught.value.document
        assert (document["status"], document["file"]) == (422, str(site.conf / "views.yaml"))
        assert document["line"] >= 1
        assert document["errors"][0]["message"]
        assert site.house.pipes["a"] is pipe
        assert site.house.reloading.generation == 1
        assert int(pipe.state) == 66


async def test_a_new_pipe_without_its_root_is_refused(site: Site) -> None:
    site.pipe("a", "a")
    async with site.running():
        await site.reach("a", 66)
        site.pipe("b", "b", source={"driver": "fs", "root": "/no/such"})
        with pytest.raises(Problem, match="/no/such does not exist"):
            await site.reload()
        assert set(site.house.pipes) == {"a"}
        (site.folder / "a" / "file").unlink()
        (site.folder / "a").rmdir()
        site.without(pipe="b", view="b")
        assert "a" in (await site.reload())["untouched"], "a root that is gone is no reason"


async def test_a_part_that_does_not_run_here(site: Site) -> None:
    site.pipe("a", "a")
    async with site.running("fusion"):
        assert site.house.loaded.left_out == ["pipe a"]
        with pytest.raises(Exception, match="no agent runs in process"):
            await site.reload(role="agent")
        site.view("b")
        assert (await site.reload(role="fusion"))["started"] == ["view:b"]


async def test_one_part_of_two(site: Site) -> None:
    site.pipe("a", "a")
    async with site.running():
        await site.reach("a", 66)
        site.pipe("a", "a", audit_interval_sec=5)
        site.view("b")
        assert (await site.reload(role="agent"))["changed"] == ["a"]
        assert "b" not in site.house.views
        assert (await site.reload(role="fusion"))["started"] == ["view:b"]


async def test_a_receiver_that_cannot_follow_goes_on_as_before(site: Site) -> None:
    site.view("a")
    main = {"main": {"driver": "http", "listen": ["unix"]}}
    more = site.conf / "receivers.yaml"
    more.write_text(json.dumps({"version": 1, "receivers": main}))
    async with site.running("fusion"):
        before = site.house.premises.receivers["main"]
        main["main"]["listen"] = ["unix", "192.0.2.1:1"]  # an address that this host has not
        more.write_text(json.dumps({"version": 1, "receivers": main}))
        assert (await site.reload())["changed"] == ["receiver:main"]
        await site.until(lambda: any("goes on as before" in str(e) for e in site.events))
        assert site.house.premises.receivers["main"] is before
        main["main"]["listen"] = ["unix", "127.0.0.1:0"]
        more.write_text(json.dumps({"version": 1, "receivers": main}))
        await site.reload()
        await site.until(lambda: site.house.premises.receivers.get("main") not in (None, before))
        after = site.house.premises.receivers["main"]
        assert len(after.addresses) == 2  # type: ignore[attr-defined]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
async def test_a_renewed_certificate_is_taken_with_the_next_reload(site: Site) -> None:
    key, cert = site.folder / "tls.key", site.folder / "tls.pem"

    def make() -> None:
        asked = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=x"
        words = ["openssl", *asked.split(), "-keyout", str(key), "-out", str(cert)]
        subprocess.run(words, check=True, capture_output=True, timeout=LIMIT_S)

    make()
    tls = {"cert": str(cert), "key": str(key)}
    options = {"driver": "http", "listen": ["127.0.0.1:0"], "tls": tls}
    (site.conf / "receivers.yaml").write_text(json.dumps({"receivers": {"door": options}}))
    site.view("v")
    async with site.running():
        assert (await site.reload())["untouched"] == ["view:v", "receiver:door"]
        make()
        report = await site.reload()
        assert (report["changed"], report["untouched"]) == (["receiver:door"], ["view:v"])
        cert.write_text("no certificate")
        report = await site.reload()
        assert [error["name"] for error in report["errors"]] == ["receiver:door"]
        assert "cannot be used" in report["errors"][0]["message"]


# ------------------------------------------------------------------ files that change unasked


@pytest.mark.long
async def test_a_changed_file_shows_on_its_pipes_until_it_is_as_it_was(site: Site) -> None:
    site.pipe("a", "a")
    site.pipe("b", "b")
    async with site.running():
        (await site.reach("a", 66), await site.reach("b", 66))
        text = (site.conf / "a.yaml").read_text()
        site.pipe("a", "a", audit_interval_sec=5)
        await site.reach("a", 66 | P.CONF_OUTDATED)
        assert int(site.house.pipes["b"].state) == 66, "its settings are the same"
        (site.conf / "a.yaml").write_text(text)
        await site.reach("a", 66)
        (site.conf / "a.yaml").unlink()
        await site.reach("a", 66 | P.CONF_OUTDATED)
        (site.conf / "a.yaml").write_text(
            "id: a\nsource: {driver: fs, root: /x, rot: 1}\nsink: {driver: view, view: a}\n"
        )
        await site.until(lambda: any("cannot be used" in str(e) for e in site.events))
        assert int(site.house.pipes["a"].state) == 66 | P.CONF_OUTDATED, "as it was"
        site.pipe("a", "a", audit_interval_sec=9)
        await site.reload()
        await site.reach("a", 66)
        told = [e for e in site.events if e["event"] == "warning"]
        assert len(told) == 1
        assert (told[0]["file"], told[0]["line"]) == (str(site.conf / "a.yaml"), 2)


@pytest.mark.long
async def test_a_secret_that_changes_is_a_change_of_its_pipe(site: Site) -> None:
    key = site.folder / "key"
    key.write_text("fst_one_secret\n")
    sink = {"driver": "fusion", "url": "http://127.0.0.1:1", "view": "v"}
    site.pipe("a", "a", sink={**sink, "key": f"${{file:{key}}}"})
    site.pipe("b", "a", sink={**sink, "key": "fst_two_secret"})
    async with site.running("agent"):
        await site.until(
            lambda: all(p.document()["errors_in_row"] for p in site.house.pipes.values())
        )
        key.write_text("fst_three_secret\n")
        await site.until(lambda: bool(site.house.pipes["a"].state & P.CONF_OUTDATED))
        assert not site.house.pipes["b"].state & P.CONF_OUTDATED
        document = await site.reload()
        assert (document["changed"], document["untouched"]) == (["a"], ["b"])
        await site.until(lambda: site.house.pipes["a"].generation == 2)
        assert site.house.pipes["a"].sink.config.key.get_secret_value() == "fst_three_secret"  # type: ignore[attr-defined]
        values = (await site.house.fusion.command("config", {}))["values"]
        assert values["pipes.a.sink.key"]["value"] == "***"
