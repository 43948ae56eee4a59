"""Questions over the socket: how long each takes, and whether its answer is right.

What a question must find is known from the plan of the tree and from lstat before it is asked;
what came back is kept and compared when the clock stands still.
"""

from __future__ import annotations

import json
import os
import random
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fustor_core.bench import gauges, yardsticks
from fustor_core.bench.asker import Asker
from fustor_core.bench.corpus import NEWEST_NS, Corpus, Folder, Totals
from fustor_core.bench.report import Figure, Goal, Report

FIELDS = ("size", "mtime_ns", "ctime_ns", "ino", "mode", "uid", "gid", "nlink")
TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "dir"}
NDJSON = {"Accept": "application/x-ndjson"}
WARM_UP = 20
LISTED = 100  # entries of the directories that are listed
MATCHES = 200  # of the finds that bring something back
LARGE_SHARE = 0.02  # of all files, for the predicate on size
MS = 1000.0
MILLION = 1_000_000

Check = Callable[[list[bytes]], str]


@dataclass(frozen=True, slots=True)
class Question:
    """One request and what its answer must be.

    Args:
        verb: ``stat``, ``ls``, ``du`` or ``find``. fault: from the lines of the body to what is
            wrong with it, empty when it is right.
    """

    verb: str
    params: Mapping[str, str]
    fault: Check

    def __str__(self) -> str:
        return f"{self.verb} {dict(self.params)}"


@dataclass(frozen=True, slots=True)
class Kind:
    """Questions of one kind, and the figure they make.

    Args:
        peer: what is measured beside them: the name and a run of it in ms; None: the server that
            answers with constant bytes.
        row: of the table of goals.
    """

    what: str
    questions: list[Question]
    goal: Goal | None = None
    peer: tuple[str, Callable[[], float]] | None = None
    row: str = ""


def measure(
    report: Report,
    section: str,
    corpus: Corpus,
    client: Asker,
    folder: Path,
    *,
    requests: int,
    finds: int,
    pin: str | None = None,
) -> None:
    """Asks every kind of question and reports p50 and p99 of each.

    Args:
        client: of the view that holds the corpus. folder: for the socket of the constant server.
        requests: of each quick kind. finds: of each that reads the whole view.
    """
    with yardsticks.hello(folder, pin) as floor:
        for kind in kinds(corpus, requests, finds, pin):
            times_ms, bodies = asked(client, kind.questions)
            for question, lines in zip(kind.questions, bodies, strict=True):
                fault = question.fault(lines)
                report.check(not fault, f"{question}: {fault}")
            if kind.peer is None:
                size = round(gauges.median([sum(map(len, lines)) for lines in bodies]))
                name = f"constant {size:,} bytes"
                theirs = constant(floor, size, len(times_ms))
            else:
                name, run = kind.peer
                theirs = [run() for _ in range(3)]
            middle, late = gauges.median(times_ms), gauges.percentile(times_ms, 99)
            report.add(
                section,
                Figure(
                    f"{kind.what}, p50",
                    "ms",
                    [middle],
                    name,
                    [gauges.median(theirs)],
                    kind.goal,
                    row=kind.row,
                ),
            )
            slow = [] if kind.peer else [gauges.percentile(theirs, 99)]
            report.add(section, Figure(f"{kind.what}, p99", "ms", [late], name, slow))


def asked(
    client: Asker, questions: list[Question], *, warm_up: int = WARM_UP
) -> tuple[list[float], list[list[bytes]]]:
    """Sends every question on one connection.

    Args:
        warm_up: how many are asked once more before, not timed.

    Returns:
        Time until the whole body was there in ms, and the body's lines, of each.

    Raises:
        OSError, HTTPException, BadStatus: no answer, or one that is no answer.
    """
    times_ms, bodies = [], []
    for question in questions[:warm_up]:
        client.get(question.verb, question.params, NDJSON).good()
    for question in questions:
        headers = NDJSON if question.verb == "find" else {}
        began = time.perf_counter()
        reply = client.get(question.verb, question.params, headers)
        times_ms.append((time.perf_counter() - began) * MS)
        bodies.append(reply.good().content.splitlines(keepends=True))
    return times_ms, bodies


def constant(floor: Asker, size: int, requests: int) -> list[float]:
    """Times in ms of requests for as many bytes at the server that only sends them."""
    times_ms = []
    params = {"path": "/a/path/of/usual/length", "bytes": str(size)}
    for number in range(-WARM_UP, requests):
        began = time.perf_counter()
        floor.get("/", params)
        if number >= 0:
            times_ms.append((time.perf_counter() - began) * MS)
    return times_ms


def kinds(corpus: Corpus, requests: int, finds: int, pin: str | None) -> Iterator[Kind]:
    """Every kind of question, seeded by the corpus."""
    dice = random.Random(corpus.plan.seed)
    folders = corpus.plan.folders
    full = [folder for folder in folders if folder.names]
    places = [folder.below(dice.choice(folder.names)) for folder in dice.choices(full, k=requests)]
    floor_goal = Goal("≤", 1.0)
    yield Kind("stat of a file", [stat_of(corpus, path) for path in places], floor_goal, row="stat")
    around = sorted(full, key=lambda folder: abs(len(_children(folder)) - LISTED))
    listed = dice.choices(around[: max(10, len(full) // 50)], k=max(requests // 4, 20))
    mean = sum(len(_children(folder)) for folder in listed) / len(listed)
    yield Kind(
        f"ls of {mean:.0f} entries", [ls_of(corpus, f) for f in listed], floor_goal, row="ls"
    )
    yield Kind(
        "du of /", [du_of(corpus, b"/")] * max(requests // 4, 20), floor_goal,
        ("du -s", lambda: yardsticks.du_all(corpus.place(b"/"), pin).wall_s * MS), "du",
    )  # fmt: skip
    deep = sorted(folders, key=lambda folder: -folder.path.count(b"/"))[: max(20, requests // 20)]
    picked = dice.choices(deep, k=max(requests // 4, 20))
    depth = sum(folder.path.count(b"/") for folder in picked) / len(picked)
    questions = [du_of(corpus, folder.path) for folder in picked]
    yield Kind(f"du of directories {depth:.0f} deep", questions, floor_goal)
    yield from _finds(corpus, dice, finds, pin)


def _finds(corpus: Corpus, dice: random.Random, finds: int, pin: str | None) -> Iterator[Kind]:
    """Those that look at every entry of the view."""
    # the design speaks of a million; a smaller tree says little about the cost of each file
    glob_goal = Goal("≤", 20.0) if corpus.plan.whole.files >= MILLION else None
    root = corpus.root

    def beside(*tests: str) -> tuple[str, Callable[[], float]]:
        return f"find {tests[0]}", lambda: yardsticks.find_where(root, *tests, pin=pin).wall_s * MS

    nothing = "*.no-such-suffix"
    yield Kind(
        "find *.suffix, no match", [find_of({"pattern": nothing}, set())] * finds, glob_goal,
        beside("-name", nothing), "glob",
    )  # fmt: skip
    suffix, matches = _by_suffix(corpus)
    pattern = f"*{suffix.decode()}"
    yield Kind(
        f"find *suffix, {len(matches)} matches",
        [find_of({"pattern": pattern}, matches)] * finds,
        None,
        beside("-name", pattern),
    )
    names = [dice.choice(f.names) for f in dice.choices(corpus.plan.folders, k=finds) if f.names]
    wanted = set(names)
    by_name: dict[bytes, set[bytes]] = {name: set() for name in wanted}
    for path, name, _, _ in corpus.plan.paths():
        if name in wanted:
            by_name[name].add(path)
    questions = [find_of({"pattern": name.decode()}, by_name[name]) for name in names]
    yield Kind("find of one name", questions, glob_goal, beside("-name", names[0].decode()))
    size, since_ns = _predicates(corpus)
    found = {p for p, _, s, m in corpus.plan.paths() if s > size and m > since_ns}
    since = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=since_ns // 1000)).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
    params = {"pattern": "*", "type": "file", "size": f"+{size}", "newer": since}
    tests = ("-size", f"+{size}c", "-type", "f", "-newermt", since)
    yield Kind(
        f"find by size and time, {len(found)} matches", [find_of(params, found)] * finds, None,
        beside(*tests),
    )  # fmt: skip


def document(lines: list[bytes]) -> dict[str, Any]:
    """The one document that an answer consists of."""
    found: dict[str, Any] = json.loads(b"".join(lines))
    return found


def stat_of(corpus: Corpus, path: bytes) -> Question:
    """Every field of one entry against lstat."""
    true = os.lstat(corpus.place(path))

    def fault(lines: list[bytes]) -> str:
        told = document(lines)
        if told["existence"] != "present":
            return f"existence is {told['existence']}"
        return entry_fault(told["entry"], path, true)

    return Question("stat", {"path": path.decode()}, fault)


def ls_of(corpus: Corpus, folder: Folder) -> Question:
    """The names of a directory in order, and every field of each."""
    names = _children(folder)
    true = {name: os.lstat(corpus.place(folder.below(name))) for name in names}

    def fault(lines: list[bytes]) -> str:
        entries = document(lines)["entries"]
        told = [str(entry["name"]).encode() for entry in entries]
        if told != names[: len(told)] or len(told) != min(len(names), 1000):
            return f"{len(told)} names where {len(names)} are"
        for entry, name in zip(entries, told, strict=True):
            wrong = entry_fault(entry, folder.below(name), true[name])
            if wrong:
                return wrong
        return ""

    return Question("ls", {"path": folder.path.decode()}, fault)


def du_of(corpus: Corpus, path: bytes) -> Question:
    """The totals of a directory against those of the plan."""
    true = corpus.plan.totals[path]

    def fault(lines: list[bytes]) -> str:
        answer = document(lines)
        told = totals_of(answer["rollup"])
        if told != true or answer["rollup"]["others"]:
            return f"{told} where {true} is"
        return "" if answer["quality"]["complete"] else "it calls itself incomplete"

    return Question("du", {"path": path.decode()}, fault)


def find_of(params: Mapping[str, str], paths: set[bytes]) -> Question:
    """The paths that match, each once."""

    def fault(lines: list[bytes]) -> str:
        *entries, last = (json.loads(line) for line in lines)
        told = [str(entry.get("path")).encode() for entry in entries]
        missing, more = paths - set(told), set(told) - paths
        if missing or more or len(told) != len(paths):
            few = sorted(missing)[:2], sorted(more)[:2]
            return f"{len(told)} matches where {len(paths)} are; missing {few[0]}, added {few[1]}"
        return "" if last["summary"]["matches"] == len(paths) else "the summary counts otherwise"

    return Question("find", params, fault)


def entry_fault(entry: Mapping[str, Any], path: bytes, true: os.stat_result) -> str:
    """What an entry says otherwise than lstat; empty when nothing."""
    if entry.get("path") != path.decode():
        return f"the entry of {entry.get('path')!r} for {path!r}"
    kind = TYPES[stat.S_IFMT(true.st_mode)]
    if entry["type"] != kind:
        return f"{path!r} is a {entry['type']} where a {kind} is"
    for name in FIELDS:
        if entry[name] != getattr(true, f"st_{name}"):
            return f"{path!r}: {name} is {entry[name]}, not {getattr(true, f'st_{name}')}"
    return ""


def totals_of(rollup: Mapping[str, Any]) -> Totals:
    """A rollup in the form of the plan."""
    return Totals(rollup["files"], rollup["dirs"], rollup["bytes"], rollup["newest_mtime_ns"])


def _children(folder: Folder) -> list[bytes]:
    return sorted([*folder.names, *folder.folders])


def _by_suffix(corpus: Corpus) -> tuple[bytes, set[bytes]]:
    """The end of names with the number of matches nearest to `MATCHES`, and the matches.

    A suffix alone is too common in a large tree: digits before it make it rarer.
    """

    def end(name: bytes) -> bytes:
        stem, dot, suffix = name.rpartition(b".")
        return stem[-1:] + dot + suffix

    counts = Counter(end(name) for _, name, _, _ in corpus.plan.paths() if b"." in name)
    best = min(counts, key=lambda one: (abs(counts[one] - MATCHES), one))
    return best, {path for path, name, _, _ in corpus.plan.paths() if name.endswith(best)}


def _predicates(corpus: Corpus) -> tuple[int, int]:
    """A size that few files exceed, and a time after which about `MATCHES` of them changed."""
    sizes = sorted(size for _, _, size, _ in corpus.plan.paths())
    size = sizes[-max(int(len(sizes) * LARGE_SHARE), min(MATCHES * 2, len(sizes)))]
    times = sorted(mtime for _, _, s, mtime in corpus.plan.paths() if s > size)
    since_ns = times[-min(MATCHES, len(times))] if times else NEWEST_NS
    return size, since_ns // 10**9 * 10**9
