"""The audit log: who did what, in files that tell when somebody has changed them."""

from __future__ import annotations

from fustor_core.acts.book import Book
from fustor_core.acts.clerk import Act, Clerk, by_hand
from fustor_core.acts.reading import Verified, records, verify

__all__ = ["Act", "Book", "Clerk", "Verified", "by_hand", "records", "verify"]
