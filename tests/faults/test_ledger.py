"""What campaigns write down, and what a reader sees of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .figures import figures
from .ledger import Ledger, counted, largest, places, spots


def fails(ledger: Ledger, campaign: str, name: str, why: str) -> None:
    """A piece that counts one of something, and then breaks a promise."""
    with ledger.telling(campaign) as told:
        told.counts[name] += 1
        raise AssertionError(why)


def test_pieces_add_up_over_runs_and_commits(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    for commit, numbers in (("one", {1, 2, 3}), ("one", {2, 7}), ("two", {8})):
        with Ledger(path, commit).telling("kills") as told:
            told.counts["kills"] += len(numbers)
            told.points["pushed fsync"] |= numbers
            told.at_most("seconds", max(numbers))
    kept = json.loads(path.read_text())["kills"]
    assert [run["commit"] for run in kept["runs"]] == ["one", "two"]
    assert kept["points"] == {"pushed fsync": "1-3,7-8"}
    assert counted(kept) == {"kills": 6}
    assert (largest(kept, "seconds"), places(kept)) == (8, 5)
    assert Ledger(path, "three").spots("kills") == spots(kept)
    assert Ledger(path, "three").spots("mounts") == {}


def test_a_piece_that_fails_is_kept_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    with pytest.raises(AssertionError):
        fails(Ledger(path, "one"), "mounts", "vanish", "three files went\nand more")
    kept = json.loads(path.read_text())["mounts"]
    assert kept["broken"] == [["three files went", "one"]]
    assert counted(kept) == {"vanish": 1}


def test_without_a_file_nothing_is_kept(tmp_path: Path) -> None:
    with Ledger(None, "one").telling("kills") as told:
        told.counts["kills"] += 1
    assert not list(tmp_path.iterdir())


def test_figures_name_each_campaign_and_each_failure(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    ledger = Ledger(path, "abc")
    with ledger.telling("kills") as told:
        told.counts["kills"] += 1200
        told.points["pushed fsync"] |= {1, 2}
        told.points["stopped write"] |= {1}
    with pytest.raises(AssertionError):
        fails(ledger, "flips", "format.json: refused", "not a word of it")
    text = figures(json.loads(path.read_text()))
    assert "| kills, until `abc` | `kill -9` of the server | 1,200 |" in text
    assert "distinct boundaries: fsync 2, write 1 | 3 |" in text
    assert "| acknowledged batches lost | 0 |" in text
    assert "| `format.json` | 1 | 1 | 0 | 0 |" in text
    assert "- flips, at `abc`: not a word of it" in text
