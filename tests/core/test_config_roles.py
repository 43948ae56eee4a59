"""One configuration, two parts: which a process takes, what it leaves out, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from fustor_core.config import AGENT, FUSION, ROLES, ConfigErrors, Loaded, load_config

BOTH = """\
version: 1
pipes:
  files:
    source: {driver: fs, root: /srv}
    sink: {driver: fusion, url: "https://h", key: "${file:key}", view: data}
views:
  data: {}
receivers:
  main: {driver: http, listen: ["unix", "127.0.0.1:8102"]}
forests:
  all: {views: [data]}
"""


@pytest.fixture
def both(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text("fst_a_b\n")
    file = tmp_path / "both.yaml"
    file.write_text(BOTH)
    return file


def load(file: Path, *roles: str) -> Loaded:
    return load_config([file], {}, roles=roles or ROLES)


def test_each_takes_its_part_and_says_what_it_left_out(both: Path) -> None:
    agent = load(both, AGENT)
    assert (list(agent.config.pipes), list(agent.config.views)) == (["files"], [])
    assert agent.left_out == ["view data", "forest all", "receiver main"]
    assert agent.config.receivers["main"].options == {"listen": ["unix"]}
    assert agent.roles == (AGENT,)
    fusion = load(both, FUSION)
    assert (list(fusion.config.pipes), list(fusion.config.views)) == ([], ["data"])
    assert fusion.left_out == ["pipe files"]
    assert fusion.config.receivers["main"].options["listen"] == ["unix", "127.0.0.1:8102"]
    whole = load(both)
    assert (whole.roles, whole.left_out) == (ROLES, [])


def test_what_is_left_out_has_no_place_any_more(both: Path) -> None:
    agent = load(both, AGENT)
    assert agent.merged.place(("receivers", "main", "listen")) is None
    assert agent.merged.place(("pipes", "files", "source")) is not None


def test_a_file_of_one_part_leaves_nothing_out(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: 1\nviews: {a: {}}\n")
    assert load(tmp_path / "a.yaml", FUSION).left_out == []


def test_an_agent_has_no_view_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    text = "id: p\nsource: {driver: fs, root: /srv}\nsink: {driver: view, view: data}\n"
    file.write_text(text)
    with pytest.raises(ConfigErrors) as caught:
        load(file, AGENT)
    assert (caught.value.line, caught.value.column) == (3, 16)
    assert "fustor run" in caught.value.suggestion
    file.write_text(f"{text}disabled: true\n")
    assert load(file, AGENT).config.pipes["p"].disabled


def test_drivers_of_the_other_part_need_not_be_there(both: Path) -> None:
    asked: list[str] = []

    def model_of(kind: str, name: str) -> type:
        asked.append(kind)
        return _Anything

    load_config([both], {}, model_of=model_of, roles=(AGENT,))
    assert sorted(asked) == ["sink", "source"]
    asked.clear()
    load_config([both], {}, model_of=model_of, roles=(FUSION,))
    assert sorted(asked) == ["receiver", "view"]


class _Anything:
    @classmethod
    def model_validate(cls, data: object) -> object:
        return data


# ------------------------------------------------------------------ what has changed since


def test_nothing_has_changed(both: Path) -> None:
    loaded = load(both)
    assert loaded.changed() == []
    both.write_text(BOTH)
    assert loaded.changed() == [], "the same content is no change"


def test_a_file_and_a_secret_that_change(both: Path, tmp_path: Path) -> None:
    loaded = load(both)
    both.write_text(BOTH.replace("/srv", "/other"))
    assert loaded.changed() == [both]
    assert loaded.again().config.pipes["files"].source.options["root"] == "/other"
    (tmp_path / "key").write_text("fst_c_d\n")
    assert loaded.changed() == [both, tmp_path / "key"]
    assert loaded.again().config.pipes["files"].sink.options["key"] == "fst_c_d"


def test_files_that_come_and_go(tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "a.yaml").write_text("version: 1\n")
    loaded = load(tmp_path)
    pipes = tmp_path / "agent-pipes-config"
    pipes.mkdir()
    (pipes / "p.yaml").write_text("id: p\nsource: {driver: fs}\nsink: {driver: view, view: a}\n")
    assert loaded.changed() == [pipes / "p.yaml"]
    (folder / "a.yaml").write_text("version: 1\nviews: {a: {}}\n")
    again = loaded.again()
    assert list(again.config.pipes) == ["p"]
    (pipes / "p.yaml").unlink()
    assert again.changed() == [pipes / "p.yaml"]


def test_an_invalid_file_is_told_when_it_is_read_again(both: Path) -> None:
    loaded = load(both)
    both.write_text(BOTH.replace("root: /srv", "rot: /srv, driver: fs"))
    with pytest.raises(ConfigErrors):
        loaded.again()


def test_what_stands_above_the_files_stays_above_them(both: Path) -> None:
    loaded = load_config([both], {"FUSTOR_LOG_LEVEL": "debug"}, overrides={
        ("state", "history"): ("/h", "--state-history")})  # fmt: skip
    again = loaded.again()
    assert (again.config.state.history, again.config.log.level) == ("/h", "debug")
