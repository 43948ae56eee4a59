"""Audits of a tree in which nothing has changed: what each tier costs the agent and the server.

Both ends are the program's own, in this process, one after the other: the audit into the outbox and
onto the wire, then the batches into a view that is durable. The view must hold the tree afterwards.
"""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import anyio

from fustor_core.bench import yardsticks
from fustor_core.bench.corpus import Corpus
from fustor_core.bench.ends import Ends
from fustor_core.bench.report import Figure, Goal, Report
from fustor_core.claims import Batch, Calm, Listing, Same, Still
from fustor_core.contracts import Query
from fustor_core.phases import audit, snapshot

TIERS = ("directories", "names", "full")
WITHIN = Goal("≤", 1.3, ratio=True)
MICRO = 1e6


def measure(report: Report, section: str, corpus: Corpus, folder: Path, repeats: int) -> None:
    """Each tier, so many times, on a tree that does not change."""
    anyio.run(_measure, report, section, corpus, folder, repeats)


async def _measure(
    report: Report, section: str, corpus: Corpus, folder: Path, repeats: int
) -> None:
    ends = Ends(corpus.root, folder / "audits")
    ends.server.open()
    files = corpus.plan.whole.files
    async with anyio.create_task_group() as tasks:
        await tasks.start(ends.server.run)
        await ends.open()
        cpu_s, sent = await ends.collect(lambda: snapshot(ends.post, owe=True))
        await ends.deliver(sent)
        await _tell_send(report, section, corpus, cpu_s, ends, repeats)
        ends.owed = 0  # a batch may end between the root's debt and its listing
        for tier in TIERS:
            agent, server, wire, theirs = [], [], [], []
            for _ in range(repeats):
                theirs.append(_alone(corpus.root, tier) / files * MICRO)
                cpu_s, sent = await ends.collect(partial(audit, ends.post, tier))
                agent.append(cpu_s / files * MICRO)
                server.append(await ends.deliver(sent) / files * MICRO)
                wire.append(sum(len(body) for _, body in sent) / files)
                _check(report, ends, corpus, tier, sent)
            peer = f"{tier}, Python alone"
            report.add(
                section,
                Figure(f"audit {tier}, agent CPU a file", "µs", agent, peer, theirs, WITHIN),
                Figure(f"audit {tier}, server CPU a file", "µs", server),
                Figure(f"audit {tier}, wire a file", "B", wire),
            )
        tasks.cancel_scope.cancel()


async def _tell_send(
    report: Report, section: str, corpus: Corpus, first_s: float, ends: Ends, repeats: int
) -> None:
    """The scan and its batches as they go onto the wire, beside `find`."""
    entries = (corpus.plan.whole.files + corpus.plan.whole.dirs) / 1000
    ours, theirs = [entries / first_s], []
    for number in range(repeats):
        theirs.append(entries / yardsticks.find_all(corpus.root).cpu_s)
        if number:
            cpu_s, sent = await ends.collect(lambda: snapshot(ends.post, owe=True))
            await ends.deliver(sent)  # batches are numbered without gaps
            ours.append(entries / cpu_s)
    goal = Goal("≥", 0.85, ratio=True)
    peer = "find -printf"
    what = "scan + send, by CPU of the agent"
    report.add(section, Figure(what, "k entries/s", ours, peer, theirs, goal, "scan-send"))


def _check(
    report: Report, ends: Ends, corpus: Corpus, tier: str, sent: list[tuple[Batch, bytes]]
) -> None:
    """Every directory was told of, shortly, and the view holds the tree."""
    claims = [claim for batch, _ in sent for claim in batch.claims]
    same = sum(isinstance(claim, Same) for claim in claims)
    same += sum(claim.count for claim in claims if isinstance(claim, Calm))
    listings = [claim for claim in claims if isinstance(claim, Listing)]
    still = sum(claim.count for claim in claims if isinstance(claim, Still))
    short = still + sum(one.digest is not None or not one.rows for one in listings)
    directories = corpus.plan.whole.dirs + 1
    told = short if tier == "full" else same
    report.check(told == directories, f"audit {tier}: {told} of {directories} told shortly")
    report.check(
        len(listings) + still + same == directories, f"audit {tier}: not each directory once"
    )
    report.check(not ends.owed, f"audit {tier}: {ends.owed} directories are asked for again")
    found: dict[str, int] = {}
    for page in ends.server.view.read(Query("du"), ends.server.moment()):
        found = (page.document or {}).get("rollup", found)
    whole = corpus.plan.whole
    for name, wanted in (("files", whole.files), ("dirs", whole.dirs), ("bytes", whole.bytes)):
        report.check(found.get(name) == wanted, f"audit {tier}: {name} {found.get(name)}, {wanted}")


def _alone(root: Path, tier: str) -> float:
    """CPU seconds that Python needs for the same looks and nothing else."""
    folders = [place for place, _, _ in os.walk(root)]
    began = time.process_time()
    for place in folders:
        if tier == "directories":
            os.stat(place)
            continue
        with os.scandir(place) as entries:
            for entry in entries:
                if tier == "names":
                    entry.inode()
                else:
                    entry.stat(follow_symlinks=False)
    return time.process_time() - began
