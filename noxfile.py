"""Sessions. `nox` runs those for every change; `nox -s NAME` runs sim, storms, hosts and bench."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.options.sessions = ["tests", "lint", "types", "docs", "alone"]
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True

PLUGINS = sorted(path.as_posix() for path in Path("plugins").glob("*") if path.is_dir())
EXTRAS = {"plugins/fustor_sink_file": "[parquet]"}
NATIVE = "contrib/fustor_native"
EXAMPLES = ["contrib/fustor_source_rooms", NATIVE]
# What the tests of a plugin use beside the core; no package imports a neighbour (a test proves it).
TESTED_WITH = {
    "plugins/fustor_view_file": ["./plugins/fustor_arbitrator_fs"],
    "plugins/fustor_sink_fusion": ["./plugins/fustor_receiver_http"],
    "plugins/fustor_receiver_v08": ["./plugins/fustor_arbitrator_fs", "./plugins/fustor_view_file"],
}
# The earlier system; its agent's watcher needs an inner class that newer watchdogs have not.
EARLIER = [
    "fustor-agent==0.8.17",
    "fustor-fusion==0.8.17",
    "fustor-source-fs==0.8.17",
    "fustor-sender-http==0.8.17",
    "watchdog==6.0.0",
]


@nox.session
def tests(session: nox.Session) -> None:
    """The short selection, on the installed packages and not on the checkout, then the long one."""
    _install(session)
    search = "--hypothesis-profile=search"
    session.run("pytest", "-q", search, *(session.posargs or ["tests", "plugins"]))
    if not session.posargs:
        session.run("pytest", "-q", search, "-m", "long", "tests", "plugins")


@nox.session
def lint(session: nox.Session) -> None:
    """ruff's rules and its format."""
    session.install(*_tools("ruff"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict over the core and every plugin."""
    _install(session, *_tools("mypy"))
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Writes the generated pages anew and builds the site; a broken link is an error."""
    _install(session, *_tools("mkdocs-material"))
    session.run("python", "docs/generate.py")
    quiet = {"NO_MKDOCS_2_WARNING": "1"}  # the theme's news about another program
    site = session.create_tmp() + "/site"
    session.run("mkdocs", "build", "--strict", "--site-dir", site, env=quiet)


@nox.session
@nox.parametrize("plugin", PLUGINS + EXAMPLES, ids=[Path(p).name for p in PLUGINS + EXAMPLES])
def alone(session: nox.Session, plugin: str) -> None:
    """One plugin with the core only: none leans on a neighbour."""
    session.install(".[test]", f"./{plugin}", *TESTED_WITH.get(plugin, []))
    session.run("pytest", "-q", f"{plugin}/tests")


@nox.session
def native(session: nox.Session) -> None:
    """The tests of who reads and takes directories, by compiled code; needs a C compiler."""
    _install(session, f"./{NATIVE}")
    session.run("pytest", "-q", "-m", "long or not long", f"{NATIVE}/tests")
    session.run("pytest", "-q", "plugins/fustor_source_fs", "tests/core/test_compiled.py")
    taken = ("plugins/fustor_view_file/tests/test_short_ways.py", "tests/fusion/test_compiled.py")
    session.run("pytest", "-q", *taken)


@nox.session
def storms(session: nox.Session) -> None:
    """Every seed of the storms against a live program; `-- --seeds 3` runs fewer."""
    _install(session)
    session.run("pytest", "-q", "-m", "storms", "tests/storms", *session.posargs)


@nox.session
def hosts(session: nox.Session) -> None:
    """Every journey of agents and a fusion server as processes of their own, on loopback."""
    _install(session)
    session.run("pytest", "-q", "-m", "hosts", "tests/hosts", *session.posargs)


@nox.session
def sim(session: nox.Session) -> None:
    """500 seeds of the simulator and the corpus of found ones; `-- --count 50` runs fewer."""
    _install(session)
    session.run("pytest", "-q", "tests/sim")
    asked = session.posargs or ["--count", "500", "--sometimes"]
    session.run("python", "-m", "fustor_core.testing.sim", *asked)


@nox.session(name="sim-long")
def sim_long(session: nox.Session) -> None:
    """Fresh seeds for an hour, on all cores.

    `-- --minutes 10` is shorter. The ledger says which commit ran which seeds; seeds that broke a
    promise are run again first, and are noted as fixed when they are clean.
    """
    _install(session)
    ledger = ["--ledger", str(Path(__file__).parent / "tests/sim/ledger.json")]
    session.run("python", "-m", "fustor_core.testing.sim", *ledger, *session.posargs)
    session.run("python", "-m", "tests.sim.figures")


@nox.session
def planted(session: nox.Session) -> None:
    """Bugs put into the core, all found by the simulator; writes docs/planted-bugs.md."""
    _install(session)
    session.run("python", "-m", "tests.sim.planted", *(session.posargs or ["--again"]))
    session.run("python", "-m", "tests.sim.figures")


@nox.session
def faults(session: nox.Session) -> None:
    """Real faults of disks, networks, clocks, mounts; `-- --kills 30 --trials 4` makes fewer.

    What campaigns made is added to their ledger, and shown in docs/guarantees.md.

    Debian packages that make them are installed when that is permitted; what the machine cannot
    make is skipped with its reason, and fails with `-- --nightly`.
    """
    _install(session)
    packages = Path("tests/faults/packages.txt").read_text("utf-8").split()
    session.log(f"installing Debian packages: {' '.join(packages)}")
    get = ("apt-get", "-q", "-y", "--no-install-recommends", "install", *packages)
    session.run(*get, external=True, success_codes=range(256))
    ledger = ["--ledger", "tests/faults/ledger.json"]
    session.run("pytest", "-q", "-m", "faults", "tests/faults", *ledger, *session.posargs)
    session.run("python", "-m", "tests.faults.figures")


@nox.session
def soak(session: nox.Session) -> None:
    """Storms, audits, kills and cuts for a while, `-- --minutes 60`; nothing may grow by it."""
    _install(session)
    ledger = ["--ledger", "tests/faults/ledger.json"]
    session.run("pytest", "-q", "-m", "soak", "tests/faults", *ledger, *session.posargs)
    session.run("python", "-m", "tests.faults.figures")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Every route of the served OpenAPI against a live program; `-- --examples 10` asks less."""
    _install(session, ".[fuzz]")
    session.run("pytest", "-q", "-m", "fuzz", "tests/fuzz", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """The page in Chromium, which the system brings; FUSTOR_SCREENS=FOLDER keeps pictures."""
    _install(session, ".[browser]")
    session.run("pytest", "-q", "-m", "browser", "tests/browser", *session.posargs)


@nox.session
def compat(session: nox.Session) -> None:
    """The real agent of Fustor 0.8.17 pushes into a fusion of ours; the agent has a venv alone."""
    _install(session)
    env = {"FUSTOR_OLD_AGENT": str(_earlier(session) / "fustor-agent")}
    session.run("pytest", "-q", "-m", "compat", "tests/compat", *session.posargs, env=env)


@nox.session
def bench(session: nox.Session) -> None:
    """Figures beside those of their peers, Fustor 0.8.17 too; `-- --long` adds how cost grows.

    With the compiled looks where a C compiler is found, and without them elsewhere: it says which.
    """
    _install(session, *([f"./{NATIVE}"] if shutil.which("cc") else []))
    kept = ["--keep", "--history", "docs/bench", "--earlier", str(_earlier(session))]
    session.run("fustor", "bench", "all", *kept, *session.posargs)
    if "--long" in session.posargs:
        session.run("python", "docs/sizing.py")


def _earlier(session: nox.Session) -> Path:
    """The commands of the earlier system, in an environment of its own."""
    folder = Path(session.create_tmp()).absolute() / "earlier"
    session.run("python", "-m", "venv", str(folder))
    session.run(str(folder / "bin" / "pip"), "install", "-q", *EARLIER, external=True)
    return folder / "bin"


def _install(session: nox.Session, *more: str) -> None:
    session.install(
        ".[test]", *(f"./{plugin}{EXTRAS.get(plugin, '')}" for plugin in PLUGINS), *more
    )


def _tools(*names: str) -> list[str]:
    """Requirements of the extra `dev` by name, so that versions stand in pyproject.toml alone."""
    wanted = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]["dev"]
    return [line for line in wanted if any(line.startswith(name) for name in names)]
