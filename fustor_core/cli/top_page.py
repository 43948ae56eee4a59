"""The page that `fustor top` draws (Textual); all that it says comes from `glance`.

Names of files go in as plain text, never as markup.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.widgets import DataTable, Footer, Sparkline, Static, TabbedContent, TabPane

from fustor_core.cli import glance
from fustor_core.cli.call import Call
from fustor_core.cli.glance import CHANGES_MOST, Cell, Glance, History, Observer, Row

RIGHT = {"files", "directories", "bytes", "suspects", "debts", "blind", "changes", "queue",
         "unacked", "size", "entries"}  # fmt: skip


class TopPage(App[None]):
    """The page.

    Args:
        call: has the server. interval_s: between two looks.
    """

    ENABLE_COMMAND_PALETTE = False
    TITLE = "fustor top"
    BINDINGS: ClassVar[list[Any]] = [
        ("q", "quit", "End"),
        ("p", "pause", "Hold the changes"),
        ("c", "clear", "Forget the changes"),
    ]
    CSS = """
    #headline { height: 1; background: $primary-background; color: $text; padding: 0 1; }
    #trouble { height: auto; background: $error; color: $text; padding: 0 1; display: none; }
    #trouble.shown { display: block; }
    #views { height: auto; max-height: 30%; }
    #rate { height: 3; padding: 0 1; }
    #pipes { height: auto; max-height: 30%; margin-bottom: 1; }
    TabbedContent { height: 1fr; }
    TabPane { padding: 0; }
    DataTable > .datatable--header { text-style: bold; background: $surface; }
    """

    def __init__(self, call: Call, interval_s: float) -> None:
        super().__init__()
        self._observer = Observer(call)
        self._server = call.client().server
        self._interval_s = interval_s
        self._history = History()
        self._held = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="fustor-top", daemon=True)

    def compose(self) -> ComposeResult:
        """The parts of the page, from the top down."""
        yield Static(id="headline", markup=False)
        yield Static(id="trouble", markup=False)
        yield _table("views", glance.VIEW_HEAD)
        yield Sparkline([0.0], id="rate", summary_function=max)
        yield _table("pipes", glance.PIPE_HEAD)
        with TabbedContent(id="more"):
            with TabPane("Being written", id="of-written"):
                yield _table("written", glance.WRITTEN_HEAD)
            with TabPane("Changes", id="of-changes"):
                yield _table("changes", glance.CHANGE_HEAD)
            with TabPane("Sessions", id="of-sessions"):
                yield _table("sessions", glance.SESSION_HEAD)
            with TabPane("Jobs", id="of-jobs"):
                yield _table("jobs", glance.JOB_HEAD)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one("#views", DataTable).focus()
        self._thread.start()

    def on_unmount(self) -> None:
        """Look no more."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.is_set():
            seen = self._observer.look()
            if self._over.is_set() or not self.is_running:
                return
            self.call_from_thread(self.show, seen)
            self._over.wait(self._interval_s)

    def show(self, seen: Glance) -> None:
        """Draw what was found."""
        self.query_one("#headline", Static).update(glance.headline(seen, self._server))
        trouble = self.query_one("#trouble", Static)
        trouble.set_class(bool(seen.error), "shown")
        trouble.update(f"no answer, what you see is old: {seen.error}" if seen.error else "")
        named = [str(view.get("view")) for view in seen.views]
        view = self._observer.view if self._observer.view in named else next(iter(named), "")
        if view and not seen.error:
            self._history.add(view, seen.per_s)
        self.query_one("#rate", Sparkline).data = self._history.of(view)
        _fill(self.query_one("#views", DataTable), glance.view_rows(seen, self._history))
        _fill(self.query_one("#written", DataTable), glance.written_rows(seen))
        _fill(self.query_one("#pipes", DataTable), glance.pipe_rows(seen))
        _fill(self.query_one("#sessions", DataTable), glance.session_rows(seen))
        _fill(self.query_one("#jobs", DataTable), glance.job_rows(seen))
        if not self._held:
            self._add_changes([glance.change_cells(change) for change in seen.changes])

    @on(DataTable.RowHighlighted, "#views")
    def chosen(self, event: DataTable.RowHighlighted) -> None:
        """Another view is marked: its changes are shown."""
        name = str(event.row_key.value or "")
        if name and name != self._observer.view:
            changed = bool(self._observer.view)
            self._observer.view = name
            if changed:
                self.action_clear()

    def action_pause(self) -> None:
        """Let the changes stand still, or go on."""
        self._held = not self._held
        self.query_one("#more", TabbedContent).get_tab("of-changes").label = (
            "Changes (held)" if self._held else "Changes"
        )

    def action_clear(self) -> None:
        """Begin the list of changes anew."""
        self.query_one("#changes", DataTable).clear()

    def _add_changes(self, rows: Sequence[tuple[Cell, ...]]) -> None:
        table = self.query_one("#changes", DataTable)
        at_end = table.cursor_row >= table.row_count - 1
        for cells in rows:
            table.add_row(*_texts(table, cells))
        for key in list(table.rows)[: max(0, table.row_count - CHANGES_MOST)]:
            table.remove_row(key)
        if at_end and rows:
            table.move_cursor(row=table.row_count - 1)


def _table(name: str, head: Sequence[str]) -> DataTable[Text]:
    table: DataTable[Text] = DataTable(id=name, cursor_type="row", zebra_stripes=True)
    for title in head:
        label = Text(title, justify="right" if title in RIGHT else "left")
        table.add_column(label, key=title)
    return table


def _texts(table: DataTable[Text], cells: Sequence[Cell]) -> list[Text]:
    titles = [str(key.value) for key in table.columns]
    return [
        Text(text, style=style, justify="right" if title in RIGHT else "left", no_wrap=True)
        for title, (text, style) in zip(titles, cells, strict=True)
    ]


def _fill(table: DataTable[Text], rows: Sequence[Row]) -> None:
    """Make a table show these rows; the mark stays where it is."""
    wanted = dict(rows)
    for key in [str(key.value) for key in table.rows]:
        if key not in wanted:
            table.remove_row(key)
    there = {str(key.value) for key in table.rows}
    titles = [str(key.value) for key in table.columns]
    for key, cells in wanted.items():
        texts = _texts(table, cells)
        if key not in there:
            table.add_row(*texts, key=key)
            continue
        for title, text in zip(titles, texts, strict=True):
            if table.get_cell(key, title) != text:
                table.update_cell(key, title, text, update_width=True)
