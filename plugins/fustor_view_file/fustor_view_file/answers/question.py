"""A question on its way through the answers: what is asked, of which state, at which moment."""

from __future__ import annotations

from dataclasses import dataclass

from fustor_core.contracts import Moment, Query
from fustor_core.errors import QueryError
from fustor_view_file.answers.paths import parts_of
from fustor_view_file.apply import Registers
from fustor_view_file.tree import Tree


@dataclass(frozen=True, slots=True)
class Question:
    """One query to one view.

    Attributes:
        view: the view's name, as it stands in answers.
        registers: the state that is asked. query: the question. moment: when it is asked.
        parts: the names in the path that is asked about; empty for the root.
    """

    view: str
    registers: Registers
    query: Query
    moment: Moment
    parts: tuple[bytes, ...]

    @classmethod
    def of(cls, view: str, registers: Registers, query: Query, moment: Moment) -> Question:
        """The question, checked.

        Raises:
            QueryError: its path or limit makes no sense.
        """
        if query.limit is not None and query.limit < 1:
            raise QueryError(
                f"a limit of {query.limit} leaves nothing",
                remedy="give at least 1, or leave the limit out",
            )
        return cls(view, registers, query, moment, parts_of(query.path))

    @property
    def tree(self) -> Tree:
        """The directories of the view."""
        return self.registers.tree
