"""The registry against distributions that are really there: dist-info folders on the path."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fustor_core import hookspecs
from fustor_core.errors import ConfigError, PluginError
from fustor_core.registry import KINDS, Plugin, Registry, refuse_earlier_system

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Lays a distribution down as pip would: its modules, its metadata, its entry points."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def lay(name: str, entry_points: str, version: str = "1.2", **modules: str) -> None:
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / "METADATA").write_text(metadata)
        (info / "entry_points.txt").write_text(entry_points)
        for module, source in modules.items():
            (tmp_path / f"{module}.py").write_text(source)

    yield lay
    for module in set(sys.modules) - before:
        if module.startswith("zz_"):
            del sys.modules[module]


def _one(registry: Registry, kind: str, name: str) -> Plugin:
    (found,) = (p for p in registry.plugins() if (p.kind, p.name) == (kind, name))
    return found


def test_a_driver_is_found_by_kind_and_name(install: Install) -> None:
    install(
        "fustor-driver-source-zz",
        "[fustor.sources]\nzz = zz_source:Zz\n",
        zz_source="class Zz: pass\n",
    )
    registry = Registry()
    found = registry.driver("source", "zz")
    assert found is sys.modules["zz_source"].Zz
    assert registry.driver("source", "zz") is found
    assert _one(registry, "source", "zz") == Plugin(
        "source", "zz", "fustor-driver-source-zz", "1.2", "loaded"
    )


def test_discovery_imports_nothing(install: Install) -> None:
    install("zz-a", "[fustor.sources]\nzz = zz_a:Zz\n", zz_a="raise RuntimeError('imported')\n")
    install("zz-b", "[fustor.hooks]\nzz = zz_b\n", zz_b="raise RuntimeError('imported')\n")
    registry = Registry()
    assert "zz" in registry.names("source")
    assert _one(registry, "source", "zz").state == "installed"
    assert not {"zz_a", "zz_b"} & set(sys.modules)


def test_a_driver_imports_no_other(install: Install) -> None:
    install("zz-a", "[fustor.sources]\nzz = zz_a:Zz\n", zz_a="class Zz: pass\n")
    install("zz-b", "[fustor.sources]\nyy = zz_b:Zz\n", zz_b="class Zz: pass\n")
    Registry().driver("source", "zz")
    assert "zz_a" in sys.modules
    assert "zz_b" not in sys.modules


def test_a_plugin_installed_in_a_running_process_is_seen(install: Install) -> None:
    registry = Registry()
    assert "zz" not in registry.names("sink")
    with pytest.raises(PluginError):
        registry.driver("sink", "zz")
    install("zz-a", "[fustor.sinks]\nzz = zz_a:Zz\n", zz_a="class Zz: pass\n")
    assert registry.driver("sink", "zz") is sys.modules["zz_a"].Zz


def test_an_unknown_name_is_answered_with_near_and_installed_ones(install: Install) -> None:
    install("zz-a", "[fustor.views]\nforestry = zz_a:Zz\npacks = zz_a:Zz\n")
    with pytest.raises(PluginError, match="no view driver 'forestrie'") as caught:
        Registry().driver("view", "forestrie")
    assert "did you mean forestry?" in caught.value.remedy
    assert "packs" in caught.value.remedy


def test_a_kind_that_does_not_exist_is_a_bug() -> None:
    with pytest.raises(ValueError, match="sauce"):
        Registry().driver("sauce", "fs")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import zz_not_there\n", "ModuleNotFoundError: No module named 'zz_not_there'"),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("assert False, 'needs a licence'\n", "AssertionError: needs a licence"),
        ("raise SystemExit('bye')\n", "SystemExit: bye"),
        ("class Other: pass\n", "AttributeError"),
    ],
)
def test_a_plugin_that_cannot_load_is_shown_with_its_reason(
    install: Install, source: str, reason: str
) -> None:
    install("zz-bad", "[fustor.sources]\nbad = zz_bad:Zz\n", zz_bad=source)
    install("zz-good", "[fustor.sources]\ngood = zz_good:Zz\n", zz_good="class Zz: pass\n")
    registry = Registry()
    with pytest.raises(PluginError, match="zz-bad cannot be loaded") as caught:
        registry.driver("source", "bad")
    assert reason in caught.value.message
    shown = _one(registry, "source", "bad")
    assert shown.state == "error"
    assert reason in shown.error
    assert registry.driver("source", "good") is sys.modules["zz_good"].Zz


@pytest.mark.parametrize(
    ("value", "error"), [("zz_gone:Zz", "no package 'zz_gone'"), ("a b", "not of the form")]
)
def test_what_cannot_be_imported_is_said_without_importing(
    install: Install, value: str, error: str
) -> None:
    install("zz-a", f"[fustor.sources]\nzz = {value}\n")
    registry = Registry()
    shown = _one(registry, "source", "zz")
    assert shown.state == "error"
    assert error in shown.error
    with pytest.raises(PluginError, match=error):
        registry.driver("source", "zz")


def test_one_name_from_two_distributions_is_refused_naming_both(install: Install) -> None:
    install("zz-a", "[fustor.sources]\nzz = zz_a:Zz\n", zz_a="class Zz: pass\n")
    install("zz-b", "[fustor.sources]\nzz = zz_b:Zz\n", zz_b="class Zz: pass\n")
    with pytest.raises(PluginError, match=r"zz-[ab] and zz-[ab] both bring") as caught:
        Registry().driver("source", "zz")
    assert "uninstall" in caught.value.remedy
    assert not {"zz_a", "zz_b"} & set(sys.modules)


HOOK = """
from fustor_core.hookspecs import hookimpl
seen = []
@hookimpl
def fustor_batch_accepted(view, seq):
    seen.append((view, seq))
"""


def test_hooks_are_told_everything_they_ask_for(install: Install) -> None:
    install("zz-a", "[fustor.hooks]\nzz = zz_hook\n", zz_hook=HOOK)
    registry = Registry()
    assert registry.load_hooks() == []
    assert registry.load_hooks() == []
    registry.hooks.fustor_batch_accepted(view="v", session_id="s", seq=3, claims=1)
    assert sys.modules["zz_hook"].seen == [("v", 3)]
    assert _one(registry, "hook", "zz").state == "loaded"


def test_the_package_of_a_driver_in_use_may_hold_hooks(install: Install) -> None:
    install("zz-a", "[fustor.views]\nzz = zz_both:Zz\n", zz_both=HOOK + "class Zz: pass\n")
    registry = Registry()
    registry.driver("view", "zz")
    registry.hooks.fustor_batch_accepted(view="v", session_id="s", seq=1, claims=1)
    assert sys.modules["zz_both"].seen == [("v", 1)]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1 / 0\n", "ZeroDivisionError"),
        ("raise SystemExit(2)\n", "SystemExit"),
        (HOOK.replace("seq", "sequence"), "sequence"),
        (HOOK.replace("fustor_batch_accepted", "fustor_batch_lost"), "fustor_batch_lost"),
    ],
)
def test_a_hook_plugin_that_cannot_load_does_not_stop_the_others(
    install: Install, source: str, reason: str
) -> None:
    install("zz-bad", "[fustor.hooks]\na-bad = zz_bad\n", zz_bad=source)
    install("zz-good", "[fustor.hooks]\ngood = zz_hook\n", zz_hook=HOOK)
    registry = Registry()
    (failed,) = registry.load_hooks()
    assert (failed.name, failed.state) == ("a-bad", "error")
    assert reason in failed.error
    registry.hooks.fustor_batch_accepted(view="v", session_id="s", seq=1, claims=1)
    assert sys.modules["zz_hook"].seen == [("v", 1)]


def test_two_hook_plugins_of_one_name_are_both_left_out_and_said(install: Install) -> None:
    install("zz-a", "[fustor.hooks]\nzz = zz_a\n", zz_a=HOOK)
    install("zz-b", "[fustor.hooks]\nzz = zz_b\n", zz_b=HOOK)
    failed = Registry().load_hooks()
    assert {plugin.distribution for plugin in failed} == {"zz-a", "zz-b"}
    assert all("both bring" in plugin.error for plugin in failed)


def test_damaged_metadata_hides_no_other_plugin(install: Install, tmp_path: Path) -> None:
    install("zz-a", "[fustor.sources]\nzz = zz_a:Zz\n", zz_a="class Zz: pass\n")
    (damaged,) = tmp_path.glob("zz_a-*.dist-info/METADATA")
    damaged.unlink()
    install("zz-b", "[fustor.sources]\nyy = zz_b:Zz\n", zz_b="class Zz: pass\n")
    listed = {plugin.name for plugin in Registry().plugins()}
    assert "yy" in listed


def test_the_earlier_system_beside_ours_stops_the_program(install: Install) -> None:
    refuse_earlier_system()
    install("fustor-core", "", version="0.8.17")
    with pytest.raises(ConfigError, match=r"fustor-core 0\.8\.17") as caught:
        refuse_earlier_system()
    assert "pip uninstall fustor-core" in caught.value.remedy


def test_every_kind_of_driver_that_ships_is_listed() -> None:
    listed = {plugin.kind for plugin in Registry().plugins() if plugin.distribution != "fustor"}
    assert set(KINDS) <= listed


def test_the_example_in_the_specifications_is_a_hook(install: Install) -> None:
    """The documentation's own lines, as a plugin."""
    lines = (hookspecs.__doc__ or "").splitlines()
    example = "\n".join(line[4:] for line in lines if line.startswith("    "))
    assert "@hookimpl" in example
    install("zz-a", "[fustor.hooks]\nzz = zz_doc\n", zz_doc=example + "\n")
    registry = Registry()
    assert registry.load_hooks() == []
    assert registry.hooks.fustor_transition.get_hookimpls()


def test_a_driver_that_was_upgraded_since_it_was_loaded(install: Install, tmp_path: Path) -> None:
    entry = "[fustor.sources]\nzz = zz_source:Zz\n"
    install("zz-a", entry, zz_source="class Zz: pass\n")
    registry = Registry()
    assert registry.upgraded() == {}
    registry.driver("source", "zz")
    assert registry.upgraded() == {}
    shutil.rmtree(tmp_path / "zz_a-1.2.dist-info")
    install("zz-a", entry, version="1.3")
    assert registry.upgraded() == {("source", "zz"): "1.2 → 1.3"}
