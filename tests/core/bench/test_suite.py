"""`fustor bench`: what it can measure, what it makes of figures, and a small run of it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from fustor_core.bench import audits, corpus, goals, plots, starts, suite, synthetic
from fustor_core.bench.program import Program
from fustor_core.bench.report import Figure, Goal, Report
from fustor_core.claims import ROW_BYTES, Listing, Root, Still, digest_of
from fustor_core.cli import bench_parts, main
from fustor_core.rounds import TIERS
from fustor_core.stills import listing_at


def test_the_command_and_the_suite_know_the_same_parts() -> None:
    assert list(bench_parts.PARTS) == list(suite.PARTS)


def test_sizes_are_read_as_written() -> None:
    assert suite.sizes("20k,1M, 7") == (20_000, 1_000_000, 7)
    with pytest.raises(ValueError, match="1x"):
        suite.sizes("1x")


def test_a_plan_follows_from_its_seed() -> None:
    assert corpus.Plan(3000).manifest() == corpus.Plan(3000).manifest()
    assert corpus.Plan(3000).manifest() != corpus.Plan(3000, seed=7).manifest()


def test_the_table_says_what_is_met_and_how_far_the_rest_is() -> None:
    report = Report(aloud=False)
    report.earlier["ingest"] = "0.05 M rows/s"
    report.add("s", Figure("a", "M rows/s", [1.0, 2.5, 4.0], goal=Goal("≥", 2.0), row="ingest"))
    report.add("s", Figure("b", "B", [120.0], "row", [60.0], Goal("≤", 80.0), row="memory"))
    report.add("s", Figure("c", "k/s", [70.0], "find", [200.0], Goal("≥", 0.7, True), "scan-view"))
    lines = {line.split("  ")[1].strip(): line for line in goals.table(report).splitlines()}
    assert "0.05 M rows/s" in lines["server ingest, fresh rows"]
    assert lines["server ingest, fresh rows"].endswith("met")
    assert lines["memory per file"].endswith("missed, × 1.5")
    assert lines["scan → view, one core"].endswith("missed, × 2")


def test_a_figure_without_its_peer_has_no_verdict() -> None:
    assert goals.distance(Figure("a", "s", [1.0], goal=Goal("≤", 2.0, ratio=True))) == ""


@pytest.mark.long
def test_scans_and_audits_are_measured_as_often_as_asked(tmp_path: Path) -> None:
    """All of a session's batches go to the view: they are numbered without gaps."""
    report = Report(aloud=False)
    audits.measure(report, "s", corpus.prepared(tmp_path / "cache", 300), tmp_path, 2)
    values = {figure.what: len(figure.ours) for figure in report.sections["s"]}
    assert len(values) == 1 + 3 * len(TIERS)
    assert set(values.values()) == {2}


@pytest.mark.parametrize(
    ("files", "per_folder"), [(1, 10), (250, 100), (100, 1), (2001, 1), (9_989, 1)]
)
def test_a_synthetic_tree_holds_each_file_once(files: int, per_folder: int) -> None:
    tree = synthetic.Tree(files, per_folder)
    claims = [claim for batch in tree.batches(0) for claim in batch]
    assert isinstance(claims[0], Root)
    listings = [claim for claim in claims if isinstance(claim, Listing)]
    assert len({one.dir for one in listings}) == len(listings) == tree.directories + 1
    rows = sum(len(one.rows) // ROW_BYTES for one in listings)
    assert rows == files + tree.directories
    audit = [claim for batch in tree.batches(1, digests=True) for claim in batch]
    runs = [one for one in audit if isinstance(one, Still)]
    assert [*map(type, audit)] == [Root, *[Still] * len(runs)]
    told = [listing_at(run, at) for run in runs for at in range(run.count)]
    assert [one.dir for one in told] == [one.dir for one in listings]
    assert [one.digest for one in told] == [digest_of(one.names, one.rows) for one in listings]


def test_plots_are_whole_documents_and_follow_from_the_figures_alone() -> None:
    rows = [
        dict.fromkeys(("ingest_us", "audit_us", "memory", "disk", "wire"), n / 7)
        | {"audit_wire": 0.1, "restart_s": 1.0, "ready_s": 2.0, "rows": n, "per_folder": n}
        for n in (10_000, 100_000)
    ]
    growth = {
        "rows": rows,
        "shapes": rows,
        "scans": [{"files": 10_000, "cpu_us": 4.0, "find_us": 0.0}],
        "events": [{"rate": 100, "p50_ms": 3.0, "p99_ms": 9.0, "cores": 0.01}],
        "sessions": [
            {"sessions": 1, "idle_p99_ms": 1.0, "busy_p99_ms": 0.0, "idle_cpu_percent": 0.5}
        ],
    }
    drawn = plots.of(growth)
    assert len(drawn) == 6
    for text in drawn.values():
        assert ET.fromstring(text).tag.endswith("svg")
        assert "nan" not in text
    assert drawn == plots.of(json.loads(json.dumps(growth)))


def test_trees_of_before_are_left_alone(tmp_path: Path) -> None:
    old = corpus.written(tmp_path, corpus.Plan(30))
    before = corpus.kept(tmp_path)
    corpus.written(tmp_path, corpus.Plan(40))
    corpus.remove(tmp_path, before)
    assert corpus.kept(tmp_path) == {old}


def test_a_tree_that_somebody_changed_is_not_measured(tmp_path: Path) -> None:
    place = corpus.written(tmp_path, corpus.Plan(30))
    (place / "tree" / "one more").touch()
    wanted = suite.Wanted(["scan"], tmp_path, (30,), history=tmp_path / "h")
    run = suite.Run(wanted, lambda text: None)
    assert not run.measure()
    assert "not what its manifest says" in run.report.wrong[0]
    assert list((tmp_path / "h").glob("*.json")), "what was measured is kept all the same"


@pytest.mark.long
def test_a_small_run_checks_its_answers_and_keeps_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "answers", "--files", "300", "--quick", "--json"]
    cache, history = tmp_path / "c", tmp_path / "h"
    code = main([*words, "--cache", str(cache), "--history", str(history)])
    told = json.loads(capsys.readouterr().out)
    assert (code, told["wrong"]) == (0, [])
    assert told["checked"] > 100
    assert not list(cache.glob("tree-*")), "trees that nobody wants to keep"
    kept = [json.loads(path.read_text("utf-8")) for path in history.glob("*.json")]
    assert [one["sections"] for one in kept] == [told["sections"]]


@pytest.mark.long
def test_starts_are_measured_beside_bare_ones_and_leave_nothing_running(tmp_path: Path) -> None:
    run = suite.Run(suite.Wanted(["start"], tmp_path, quick=True), lambda text: None)
    assert run.measure(), run.report.wrong
    told = {figure.row: figure for figure in run.report.sections[starts.SECTION]}
    assert len(told["help"].ours) == len(told["help"].theirs) == starts.HELPS
    assert min(told["help"].ours) > min(told["help"].theirs), "it does more than nothing"
    assert len(told["listens"].ours) == 1
    assert run.report.checked == 2
    assert not list(tmp_path.iterdir())


def test_a_program_that_never_answers_is_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts, "LISTENS_S_MAX", 0.2)
    words = ["up", str(tmp_path / "nowhere")]
    with Program(tmp_path / "h", words) as program, pytest.raises(RuntimeError, match="no answer"):
        starts.first_answer(Report(aloud=False), program)


def test_a_list_of_sizes_that_is_none_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "scan", "--files", "many"]) == 2
    assert "--files" in capsys.readouterr().err
