"""What rows cost the server: taken in, held, confirmed by an audit, stored, and read again.

The program is a real one; another process pushes a synthetic tree of any size over its socket, as
a leader that takes its snapshot and then audits a tree in which nothing has changed.
"""

from __future__ import annotations

import os
import random
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from fustor_core.bench import answers, sessions, synthetic
from fustor_core.bench.answers import Question
from fustor_core.bench.asker import Broken
from fustor_core.bench.program import Program
from fustor_core.bench.report import Figure, Goal, Report
from fustor_core.claims import Row

SNAPSHOT, AUDIT, LAST = range(3)  # rounds of the pusher; the last is an audit, too
NAME_BYTES = len(b"file-000000.dat\0")
ROW_BYTES = 48
LOOK_S = 0.005  # between two questions to a process that starts; a restart is as exact
FIRST_S_MAX = 600.0
SLOWEST = 20_000  # rows a second: a machine that is slower is not measured to the end
SAMPLES = 50  # files that are asked for, beside the totals
SQLITE_ROWS = 200_000
MICRO = 1e6


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one synthetic tree.

    Args:
        files, per_folder: of the tree. rows: taken in, directories counted.
        ingest_us, settled_us: CPU of the server a row, until acknowledged, and until at rest.
        audit_us: the same of an audit, a row that is as it was.
        memory, disk, wire, audit_wire: bytes a row.
        restart_s: from the start of the process after kill -9 to the first right answer.
        ready_s: the same until it says that it is ready.
        budget: of memory, in bytes; 0 = none.
    """

    files: int
    per_folder: int
    rows: int
    ingest_us: float
    settled_us: float
    audit_us: float
    memory: float
    disk: float
    wire: float
    audit_wire: float
    restart_s: float
    ready_s: float
    budget: int = 0


def measure(
    report: Report,
    folder: Path,
    files: int,
    per_folder: int,
    pin: str | None,
    *,
    row: bool = True,
    budget: int = 0,
) -> Taken:
    """One tree into an empty server, and the server started again.

    Args:
        folder: for the home. row: the figures stand in the table of goals. budget: see `Taken`.
    """
    tree = synthetic.Tree(files, per_folder)
    config = folder / "ingest.yaml"
    config.write_text(sessions.FRUGAL % budget if budget else sessions.CONFIG, "utf-8")
    program = Program(folder / "home", ["run", "-c", os.fspath(config)], pin)
    with program:
        program.wait_for("ready")
        program.settle()
        bare = program.pss_bytes()
        told, costs, settled, memory = _push(program, tree)
        report.check(told["refused"] == 0, f"a batch was refused: {told['why']}")
        _require_whole(report, program, tree)
        disk = program.state_bytes()
        restart_s, ready_s = _restart(report, program, tree)
    rows = files + tree.directories
    taken = Taken(
        files,
        per_folder,
        rows,
        costs[0] / rows * MICRO,
        settled / rows * MICRO,
        costs[1] / rows * MICRO,
        (memory - bare) / rows,
        disk / rows,
        told["first_wire"] / rows,
        told["audit_wire"] / rows,
        restart_s,
        ready_s,
        budget,
    )
    _tell(report, taken, folder, in_table=row)
    return taken


def _push(program: Program, tree: synthetic.Tree) -> tuple[dict[str, int], list[float], float, int]:
    """What the pusher saw, CPU of the server for each round, and for the first until at rest; its
    memory at rest between two audits. It is left as the last one leaves it, for a kill."""
    words = (str(tree.files), str(tree.per_folder), str(LAST + 1))
    costs, settled, memory, wires = [], 0.0, 0, []
    told: dict[str, int] = {}
    within_s = FIRST_S_MAX + tree.files / SLOWEST
    with sessions.script("push", program, *words) as pushing:
        stdin = pushing.process.stdin
        assert stdin is not None
        pushing.told(within_s)
        for number in (SNAPSHOT, AUDIT, LAST):
            before = program.cpu_s()
            stdin.write(b"\n")
            stdin.flush()
            told = pushing.told(within_s)
            costs.append(program.cpu_s() - before)
            wires.append(told["wire_bytes"])
            program.settle()
            if number == SNAPSHOT:
                settled = program.cpu_s() - before
            elif number == AUDIT:
                memory = program.pss_at_rest()
        stdin.close()
    wire = {"first_wire": wires[SNAPSHOT], "audit_wire": wires[AUDIT] - wires[SNAPSHOT]}
    return {**told, **wire}, costs, settled, memory


def _require_whole(report: Report, program: Program, tree: synthetic.Tree) -> None:
    with program.client(sessions.VIEW) as client:
        rollup = client.get("du", {"path": "/"}).json()["rollup"]
        held = rollup["files"], rollup["dirs"]
        report.check(held == (tree.files, tree.directories), f"{held} of {tree} are in the view")
        dice = random.Random(tree.files)
        for path, row in (tree.file(dice.randrange(tree.files)) for _ in range(SAMPLES)):
            reply = client.get("stat", {"path": path}).good()
            fault = _question(path, row).fault([reply.content])
            report.check(not fault, fault)


def _question(path: str, row: Row) -> Question:
    """One file and what is true of it."""

    def fault(lines: list[bytes]) -> str:
        entry = answers.document(lines).get("entry") or {}
        told = {name: entry.get(name) for name in ("size", "mtime_ns", "ino")}
        true = {"size": row.size, "mtime_ns": row.mtime_ns, "ino": row.ino}
        return "" if told == true else f"{path} is {told}, not {true}"

    return Question("stat", {"path": path}, fault)


def _restart(report: Report, program: Program, tree: synthetic.Tree) -> tuple[float, float]:
    """Seconds from the start after kill -9 to the first right answer, and until it is ready."""
    program.kill()
    question = _question(*tree.some_file())
    program.start()
    first_s = first_right(report, program, sessions.VIEW, question) - program.began_s
    ready_s = program.wait_for("ready").at_s - program.began_s
    _require_whole(report, program, tree)
    return first_s, ready_s


def first_right(report: Report, program: Program, view: str, question: Question) -> float:
    """When the first right answer came, by `time.perf_counter`.

    Before it the program may be silent or say that it does not know; "absent" would be a lie.

    Raises:
        RuntimeError: none came.
    """
    deadline = time.perf_counter() + FIRST_S_MAX
    why = "no answer"
    while time.perf_counter() < deadline:
        with program.client(view) as client:
            try:
                reply = client.get(question.verb, question.params)
            except Broken:
                time.sleep(LOOK_S)
                continue
        at_s = time.perf_counter()
        why = f"status {reply.status}"
        if reply.right:
            why = question.fault([reply.content])
            report.check(b'"absent"' not in reply.content, f"{question} after a restart: absent")
            if not why:
                return at_s
        time.sleep(LOOK_S)
    raise RuntimeError(f"no right answer to {question} after a restart: {why}")


def _tell(report: Report, taken: Taken, folder: Path, *, in_table: bool) -> None:
    section = f"synthetic tree, {taken.files:,} files, {taken.per_folder:,} a directory"
    if taken.budget:
        section += f", in {taken.budget / 1e6:,.0f} MB"
    limit = synced(folder, taken.wire) * MICRO
    sql = sqlite_rows(folder) * MICRO
    rate, floor = 1 / taken.ingest_us, ROW_BYTES + NAME_BYTES
    held = ("memory",) if in_table else ()
    report.add(
        section,
        Figure(
            "fresh rows, by CPU of the server", "M rows/s", [rate], "memcpy + fsync", [1 / limit],
            Goal("≥", 2.0), row="ingest" if in_table else "",
        ),
        Figure("… beside a raw SQLite insert", "M rows/s", [rate], "sqlite3", [1 / sql]),
        Figure("… until at rest", "M rows/s", [1 / taken.settled_us]),
        Figure(
            "rows that an audit finds as they were", "M rows/s", [1 / taken.audit_us],
            goal=Goal("≥", 8.0), row="audit" if in_table else "",
        ),
        Figure("wire of fresh rows", "B/row", [taken.wire]),
        Figure("wire of an audit", "B/row", [taken.audit_wire]),
        Figure(
            "memory", "B/row", [taken.memory], "row + name", [floor],
            Goal("≤", floor + 10), row=held[0] if held else "",
        ),
        Figure("disk", "B/row", [taken.disk]),
        Figure(
            "restart after kill -9 → first right answer", "s", [taken.restart_s],
            goal=Goal("≤", 2.0), row="restart" if in_table else "",
        ),
        Figure("restart after kill -9 → ready", "s", [taken.ready_s]),
    )  # fmt: skip


def synced(folder: Path, row_bytes: float, rows: int = 1_000_000) -> float:
    """CPU seconds a row for copying as many bytes and having them on the disk: the limit."""
    piece = bytes(int(row_bytes * synthetic.BATCH_ROWS))
    began = time.process_time()
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(rows // synthetic.BATCH_ROWS):
            file.write(bytearray(piece))
            file.flush()
            os.fdatasync(file.fileno())
    return max(time.process_time() - began, 1e-6) / rows


def sqlite_rows(folder: Path) -> float:
    """CPU seconds a row for inserting rows of the same columns into an empty table."""
    rows = [
        (n // 100, b"file-%06d.dat" % n, n, 1, 1, n, 33188, 0, 0, 1) for n in range(SQLITE_ROWS)
    ]
    place = folder / "raw.sqlite"
    with sqlite3.connect(place) as base:
        base.execute("PRAGMA journal_mode=WAL")
        base.execute(
            "CREATE TABLE entry (parent, name, size, mtime, ctime, ino, mode, uid, gid, nlink,"
            " PRIMARY KEY (parent, name)) WITHOUT ROWID"
        )
        began = time.process_time()
        base.executemany(f"INSERT INTO entry VALUES ({','.join('?' * 10)})", rows)
        base.commit()
        used = time.process_time() - began
    base.close()
    place.unlink()
    return used / len(rows)
