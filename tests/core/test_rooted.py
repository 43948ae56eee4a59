"""The proof of the root, and how it is found again between two proofs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fustor_core.claims import Root
from fustor_core.files.identity import Prober
from fustor_core.files.rooted import MARKER, RootProof


def found(proof: RootProof, prober: Prober) -> bool:
    spot = proof.reopen(prober)
    if spot is not None:
        os.close(spot.fd)
    return spot is not None


@pytest.mark.parametrize("birth", ["none", "handle"])
def test_a_root_that_looks_like_another_storages_is_proven_in_full(
    birth: str, tmp_path: Path
) -> None:
    """Roots of all disks of a kind have one inode and one handle: more has to tell them apart."""
    root, prober = tmp_path / "root", Prober()
    root.mkdir()
    marker = root / os.fsdecode(MARKER)
    marker.write_text("disk 1")
    proof = RootProof(os.fsencode(root), birth)
    os.close(proof.open(prober).fd)
    assert found(proof, prober)
    marker.write_text("disk 2")
    assert not found(proof, prober), "the same inode, and another storage"
    marker.write_text("disk 1")
    assert found(proof, prober)


def test_a_root_with_a_birth_is_found_by_its_key_and_no_other_is(tmp_path: Path) -> None:
    root, prober = tmp_path / "root", Prober()
    root.mkdir()
    proof = RootProof(os.fsencode(root))
    assert not found(proof, prober), "nothing was proven yet"
    os.close(proof.open(prober).fd)
    assert found(proof, prober)
    root.rename(tmp_path / "away")
    assert not found(proof, prober)
    root.mkdir()
    assert not found(proof, prober)


def test_what_another_process_has_proven_is_compared(tmp_path: Path) -> None:
    root, prober = tmp_path / "root", Prober()
    root.mkdir()
    first = RootProof(os.fsencode(root))
    claim = first.claim(prober)
    assert isinstance(claim, Root)
    second = RootProof(os.fsencode(root), proven=claim)
    assert found(second, Prober())
    root.rename(tmp_path / "away")
    root.mkdir()
    assert not found(second, Prober())
