"""Who may import whom in fustor_core: only lower layers, and earlier files of the own layer.

`LAYERS` is the one table. A new file is put where its imports allow, or where they should.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "fustor_core"

# A package is two things: its files, and its `__init__`, named as the package itself.
LAYERS = {
    "L0 words": "errors claims stills soundness salvage registers clock machine recall",
    "L1 promises": """
        contracts.source contracts.sink contracts.arbitrator contracts.view contracts.receiver
        contracts.adjusting contracts.asking
        contracts hookspecs units wire
        config.unspoken
        config.interpolation config.document config.model config.merging config.faults
        config.roles config.loading config.roots config.schema config.effective config.up config
        states.pipeline states.fusion_pipeline states.session states.leadership states.node
        states.run states.couplings states.page states states.__main__
        state_runs state_runs.records state_runs.hook
        fustor_core
    """,
    "L2 decisions": """
        acts.chain pacing sequence session sessions leadership arbitration lines admission frames
        roll telling owing courses evidence bulk fold keys queues reconcile rounds tallies tempo
        live shelf state_runs.limits state_runs.transactions state_runs.replicas state_runs.context
        state_runs.projection state_runs.chronicle state_runs.replaying
    """,
    "L3 doings": """
        engine apart problems tracing installed
        files.exclusion files.options files.inotify files.identity files.mounting
        files.crowd files.fanotify files.rooted files.names files.compiled
        files.stats files.prompt files.listing files.looking files.members files.marks files
        state.files state.mounts state.locks state.sockets state.home state.archive state
        journal.frames journal.recovery journal.log journal.group journal
        lane client open_files registry jobs waiting outbox errands watch_lists orders
        peers documents sights quarantine replay upkeep chores keeping
        logs acts.reading acts.book acts.clerk acts
        summons standing fusion_pipe key_files key_store vouchers
        fusion post scanning phases audits trouble spool remains link stage courier heart lookout
        pipe_words opening pipeline berth reporting driven
        state_runs.sealing state_runs.scribe state_runs.folders state_runs.hook_files
        state_runs.hooking state_runs.ledger state_runs.access state_runs.hearsay
        state_runs.job_steps state_runs.journal
    """,
    "L4 wiring": "witness recording minutes "
    "desk forests building kept premises drift reloading notice heap bootstrap doctor",
    "L5 door": """
        bench.children bench.connection bench.crowd bench.state_ws bench
        bench.gauges bench.report bench.goals bench.plots bench.asker bench.hello bench.corpus
        bench.program bench.yardsticks bench.synthetic bench.ends bench.answers bench.sessions
        bench.ingest bench.starts bench.scans bench.audits bench.events bench.failover bench.earlier
        bench.growth
        cli.figures cli.names cli.commands cli.failure cli.paths cli.screen cli.options cli.call
        cli.quality cli.entries cli.stories cli.waiting cli.writing
        cli.view_entries cli.view_find cli.view_stable cli.view_changes cli.view_explain
        cli.view_blind cli.view_best cli.view_work cli.running cli.pipes cli.inside cli.doctor
        cli.templates
        cli.runs cli.shells cli.completion cli.manual cli.systemd cli.units cli.archives
        cli.configuring cli.keys
        cli.acts
        cli.roots cli.logged cli.display cli.aside cli.glance cli.top_page cli.top cli.up
        cli.history cli.measuring cli.bench_state_ws
        bench.waiters bench.suite cli.bench_parts cli.benches
        cli.program cli __main__
    """,
}
# Kits, fakes and clocks for tests and authors: sees up to L3, is seen by nobody below.
SIDE_ROOM = "testing"

# Third-party packages that a layer may import; a layer may all that a lower one may.
THIRD_PARTY = {
    "L0 words": {"msgspec"},
    "L1 promises": {"pluggy", "pydantic", "pydantic_core", "ruamel"},
    "L2 decisions": set(),
    "L3 doings": {"anyio", "httpx", "sniffio", "stevedore", "structlog", "zstandard"}
    | {"cryptography", "opentelemetry"},
    "L4 wiring": set(),
    "L5 door": {"click", "rich", "textual", "typer"},
}
# What only one file may know; hookspecs.py needs pluggy's markers, never its loader.
ONLY_IN = {
    "stevedore": {"registry"},
    "cryptography": {"state_runs.sealing"},
    "opentelemetry": {"tracing"},
    "pluggy": {"registry", "hookspecs"},
    "httpx": None,
}
PURE = ("L0 words", "L2 decisions")
ACTING = set(
    """aiofiles anyio asyncio concurrent datetime fcntl http importlib io logging mmap
    multiprocessing os pathlib random sched secrets select selectors shutil signal socket sqlite3
    ssl structlog subprocess tempfile threading time urllib uuid""".split()
)
ACTING_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}


def module_name(path: Path, core: Path) -> str:
    """``states.pipeline`` for a file, ``states`` for a package, ``fustor_core`` for the top."""
    parts = path.relative_to(core).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts) or "fustor_core"


def core_files(core: Path) -> dict[str, Path]:
    return {module_name(path, core): path for path in sorted(core.rglob("*.py"))}


def imports(path: Path, known: set[str]) -> Iterator[tuple[str, int]]:
    """Every import of a file, wherever it stands: core modules by table name, others in full."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _core_name(alias.name), node.lineno
        elif isinstance(node, ast.ImportFrom):
            origin = _core_name(node.module or "") if not node.level else "." * node.level
            for alias in node.names:
                inner = alias.name if origin == "fustor_core" else f"{origin}.{alias.name}"
                yield (inner if inner in known else origin), node.lineno


def _core_name(module: str) -> str:
    return module.removeprefix("fustor_core.")


def order(layers: dict[str, str]) -> list[tuple[str, str]]:
    """(module, layer) in the order of the table."""
    return [(name, layer) for layer, names in layers.items() for name in names.split()]


def in_side_room(module: str) -> bool:
    return module.partition(".")[0] == SIDE_ROOM


def table_faults(core: Path, layers: dict[str, str]) -> list[str]:
    there = {name for name in core_files(core) if not in_side_room(name)}
    listed = [name for name, _ in order(layers)]
    faults = [f"{name}: not in the table of layers" for name in sorted(there - set(listed))]
    faults += [f"{name}: in the table, but no such file" for name in listed if name not in there]
    return faults + [
        f"{name}: twice in the table" for name in set(listed) if listed.count(name) > 1
    ]


def import_faults(core: Path, layers: dict[str, str]) -> list[str]:
    files = core_files(core)
    rank = {name: number for number, (name, _) in enumerate(order(layers))}
    layer_of = dict(order(layers))
    faults = []
    for name, path in files.items():
        for target, line in imports(path, set(files)):
            place = f"{path.relative_to(core)}:{line}"
            if target.startswith("."):
                faults.append(f"{place}: relative import")
            elif target not in files:
                continue
            elif in_side_room(name):
                if layer_of.get(target, "") >= "L4":
                    faults.append(f"{place}: the side room imports {target} of {layer_of[target]}")
            elif in_side_room(target):
                faults.append(f"{place}: imports {target} from the side room")
            elif name in rank and target in rank and rank[target] >= rank[name]:
                faults.append(f"{place}: imports {target}, which comes later in the table")
    return faults


def third_party_faults(core: Path, layers: dict[str, str]) -> list[str]:
    files = core_files(core)
    faults = []
    users: dict[str, set[str]] = {}
    for name, layer in order(layers):
        allowed = set().union(*(THIRD_PARTY[lower] for lower in THIRD_PARTY if lower <= layer))
        path = files.get(name)
        for target, line in imports(path, set(files)) if path else ():
            top = target.partition(".")[0]
            place = f"{name}:{line}"
            if target in files or top == "fustor_core":
                continue
            users.setdefault(top, set()).add(name)
            foreign = top not in sys.stdlib_module_names and top not in allowed
            if foreign or (layer in PURE and top in ACTING):
                faults.append(f"{place}: a file of {layer} imports {top}")
    for package, places in ONLY_IN.items():
        found = users.get(package, set())
        if places is not None and found - places:
            faults.append(f"{package} is imported by {', '.join(sorted(found - places))}")
        elif len(found) > (1 if places is None else len(places)):
            faults.append(
                f"{package} is imported by more than one file: {', '.join(sorted(found))}"
            )
    return faults


def purity_faults(core: Path, layers: dict[str, str]) -> list[str]:
    files = core_files(core)
    faults = []
    for name, layer in order(layers):
        if layer not in PURE or name not in files:
            continue
        for node in ast.walk(ast.parse(files[name].read_bytes())):
            if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncWith | ast.AsyncFor):
                faults.append(f"{name}:{node.lineno}: a file of {layer} is asynchronous")
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ACTING_CALLS
            ):
                faults.append(f"{name}:{node.lineno}: a file of {layer} calls {node.func.id}()")
    return faults


CHECKS = (table_faults, import_faults, third_party_faults, purity_faults)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_core_keeps_its_layers(check: object) -> None:
    assert callable(check)
    found = check(CORE, LAYERS)
    assert not found, "\n" + "\n".join(found)


def test_only_the_registry_knows_the_plugin_loaders() -> None:
    """`pluggy.PluginManager` by any road, in the core and in what ships with it."""
    knowing = {
        name
        for name, path in core_files(CORE).items()
        if any(
            isinstance(node, ast.Attribute | ast.Name | ast.alias)
            and _spelled(node) in {"PluginManager", "DriverManager", "ExtensionManager"}
            for node in ast.walk(ast.parse(path.read_bytes()))
        )
    }
    assert knowing == {"registry"}


def _spelled(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else getattr(node, "name", "")


def test_the_core_imports_no_plugin() -> None:
    files = core_files(CORE)
    packages = {path.name for path in (ROOT / "plugins").iterdir()}
    packages |= {path.name for path in (ROOT / "contrib").iterdir()}
    assert packages, "no plugins found: the test looks in the wrong place"
    faults = [
        f"{name}:{line}: imports {target}"
        for name, path in files.items()
        for target, line in imports(path, set(files))
        if target.partition(".")[0] in packages or target.startswith("fustor_")
        if target != "fustor_core"
    ]
    assert faults == []


@pytest.mark.parametrize("plugin", sorted((ROOT / "plugins").iterdir()), ids=lambda p: p.name)
def test_no_plugin_leans_on_a_neighbour(plugin: Path) -> None:
    """A plugin's package imports the core and itself; `nox -s alone` proves it by running it."""
    neighbours = {path.name for path in plugin.parent.iterdir()} - {plugin.name}
    files = sorted((plugin / plugin.name).rglob("*.py"))
    assert files, "no package found: the test looks in the wrong place"
    faults = [
        f"{path.relative_to(ROOT)}:{line}: imports {target}"
        for path in files
        for target, line in imports(path, set())
        if target.partition(".")[0] in neighbours
    ]
    assert not faults, "\n" + "\n".join(faults)


WRONG = {
    "errors.py": ("import time\n", "a file of L0 words imports time"),
    "claims.py": ("from fustor_core import decide\n", "claims.py:1: imports decide, which comes"),
    "decide.py": ("async def f(): open('x')\n", "a file of L2 decisions is asynchronous"),
    "decide2.py": ("print(1)\n", "a file of L2 decisions calls print()"),
    "decide3.py": ("def f():\n    from random import random\n", "L2 decisions imports random"),
    "act.py": ("from .errors import X\n", "act.py:1: relative import"),
    "act2.py": ("import fastapi\n", "a file of L3 doings imports fastapi"),
    "act3.py": ("import stevedore\n", "stevedore is imported by act3"),
    "act4.py": ("import httpx\n", "httpx is imported by more than one file: act4, act5"),
    "act5.py": ("import httpx\n", "httpx is imported by more than one file"),
    "act6.py": ("import fustor_core.testing\n", "act6.py:1: imports testing from the side room"),
    "testing/kit.py": ("import fustor_core.wire\n", "the side room imports wire of L4 wiring"),
    "wire.py": ("import fustor_core.wire2\n", "wire.py:1: imports wire2, which comes later"),
    "stray.py": ("", "stray: not in the table"),
}
WRONG_LAYERS = {
    "L0 words": "errors claims",
    "L1 promises": "",
    "L2 decisions": "decide decide2 decide3",
    "L3 doings": "act act2 act3 act4 act5 act6",
    "L4 wiring": "wire wire2 gone",
    "L5 door": "",
}


@pytest.mark.parametrize(("name", "fault"), [(n, f) for n, (_, f) in WRONG.items()])
def test_each_breach_is_found(tmp_path: Path, name: str, fault: str) -> None:
    (tmp_path / "testing").mkdir()
    (tmp_path / "testing" / "__init__.py").write_text("")
    (tmp_path / "wire2.py").write_text("import anyio, fustor_core.errors\n")
    for file, (source, _) in WRONG.items():
        (tmp_path / file).write_text(source)
    found = [line for check in CHECKS for line in check(tmp_path, WRONG_LAYERS)]
    assert [line for line in found if fault in line], found
    assert "gone: in the table, but no such file" in found
    assert not [line for line in found if line.startswith("wire2")]
