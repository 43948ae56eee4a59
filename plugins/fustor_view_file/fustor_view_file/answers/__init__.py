"""The answers of the embedded view: every `view` verb's document (interfaces.md §2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fustor_core.contracts import Moment, Page, Query
from fustor_core.errors import QueryError
from fustor_view_file.answers.blind import blind_directories
from fustor_view_file.answers.changes import changes
from fustor_view_file.answers.explain import explain
from fustor_view_file.answers.find import find
from fustor_view_file.answers.flagged import COUNTED, flagged
from fustor_view_file.answers.listing import ls, stat
from fustor_view_file.answers.outline import du, tree
from fustor_view_file.answers.question import Question
from fustor_view_file.answers.stable import stable
from fustor_view_file.answers.status import status
from fustor_view_file.apply import Registers

__all__ = ["VERBS", "answer"]

VERBS: dict[str, Callable[[Question], Iterator[Page]]] = {
    "blind-directories": blind_directories,
    "changes": changes,
    "du": du,
    "explain": explain,
    "find": find,
    "ls": ls,
    "stable": stable,
    "stat": stat,
    "status": status,
    "tree": tree,
    **dict.fromkeys(COUNTED, flagged),
}


def answer(view_name: str, registers: Registers, query: Query, moment: Moment) -> Iterator[Page]:
    """Answer a question, page by page.

    Between two pages the state may change. A page without items only gives others their turn; the
    last one carries the rest of the document.

    Args:
        view_name: as it stands in the answer. registers: the state.
        query: the question. moment: when it is asked, and how well the view is fed.

    Raises:
        QueryError: the question makes no sense; at once, or with the first page.
        CursorTooOld: the change feed does not reach back that far.
    """
    asked = VERBS.get(query.verb)
    if asked is None:
        raise QueryError(f"no question {query.verb!r}", remedy=f"ask {', '.join(sorted(VERBS))}")
    return _paged(registers, asked(Question.of(view_name, registers, query, moment)))


def _paged(registers: Registers, pages: Iterator[Page]) -> Iterator[Page]:
    for page in pages:
        registers.settle()
        yield page
