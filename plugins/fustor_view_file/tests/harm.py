"""What lies in a cold store, and damage to it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any


def harm(folder: Path, place: int | None = None) -> None:
    """Flip a bit in the last byte of each pack that lies alone, and of each block; or in one.

    Args:
        place: of the only pack; it lies alone.
    """
    with sqlite3.connect(folder / "packs.sqlite") as db:
        for table, name in (("pack", "place"), ("block", "number")):
            for number, record in db.execute(f"SELECT {name}, record FROM {table}").fetchall():
                if place is None or (table, number) == ("pack", place):
                    harmed = record[:-1] + bytes([record[-1] ^ 1])
                    db.execute(f"UPDATE {table} SET record=? WHERE {name}=?", (harmed, number))
        assert db.total_changes
    db.close()


def tables(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Directories, packs that lie alone, blocks, and what of these nobody wants."""
    asked = {
        "directory": "place",
        "pack": "place",
        "block": "number, slots",
        "dead": "number, slots",
    }
    db = sqlite3.connect(folder / "packs.sqlite")
    try:
        return {t: db.execute(f"SELECT {what} FROM {t}").fetchall() for t, what in asked.items()}
    finally:
        db.close()
