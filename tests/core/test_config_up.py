"""The configuration behind `fustor up DIR`."""

from __future__ import annotations

from pathlib import Path

import pytest

from fustor_core.config import ConfigErrors, Loaded, load_config, up_config, view_names


def test_up_makes_the_same_model(tmp_path: Path) -> None:
    text = """
pipes:
  data: {source: {driver: fs, root: /srv/data}, sink: {driver: view, view: data}}
  data-2: {source: {driver: fs, root: /mnt/Data}, sink: {driver: view, view: data-2}}
views: {data: , data-2: }
"""
    path = tmp_path / "a.yaml"
    path.write_text(text)
    loaded = up_config([Path("/srv/data"), Path("/mnt/Data")])
    assert isinstance(loaded, Loaded)
    assert loaded.config == load_config([path], {}).config
    assert loaded.changed() == []


def test_options_of_up() -> None:
    config = up_config(
        [Path("/srv/data")],
        name="mine",
        exclude=["*.tmp", "/cache/**"],
        cross_filesystems=True,
        listen="127.0.0.1:8102",
        state_history="/var/history",
        overrides={("log", "level"): ("debug", "-v")},
    ).config
    assert config.pipes["mine"].source.options == {
        "root": "/srv/data", "exclude": ["*.tmp", "/cache/**"], "cross_filesystems": True,
    }  # fmt: skip
    assert config.receivers["main"].options["listen"] == ["unix", "127.0.0.1:8102"]
    assert config.state.history == "/var/history"
    assert config.log.level == "debug"


def test_a_name_for_up_is_an_id_and_for_one_directory() -> None:
    with pytest.raises(ConfigErrors, match="'My View' is no id") as caught:
        up_config([Path("/a")], name="My View")
    assert caught.value.suggestion == "my-view"
    with pytest.raises(ValueError, match="one directory"):
        up_config([Path("/a"), Path("/b")], name="x")


@pytest.mark.parametrize(
    ("dirs", "names"),
    [
        (["/srv/data"], ["data"]),
        (["/"], ["root"]),
        (["/x/My Project (old)"], ["my-project-old"]),
        (["/x/Büro", "/y/buro"], ["buro", "buro-2"]),
        (["/x/日本"], ["view"]),
        (["/a/d", "/b/d", "/c/d", "/d/d-2"], ["d", "d-2", "d-3", "d-2-2"]),
        (["/x/_-.hidden"], ["hidden"]),
        (["/x/" + "a" * 200, "/y/" + "a" * 200], ["a" * 64, "a" * 62 + "-2"]),
        (["/x/\udcff\udcfe", "/x/a\udcffb"], ["view", "a-b"]),
    ],
)
def test_views_are_named_after_their_directories(dirs: list[str], names: list[str]) -> None:
    assert view_names([Path(one) for one in dirs]) == names
    assert list(up_config([Path(one) for one in dirs]).config.views) == names
