"""Entries as rows for people: the long listing, columns of names, trees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fustor_core.cli import figures
from fustor_core.cli.names import raw
from fustor_core.cli.screen import Cell, Screen, columns

Entry = Mapping[str, Any]
BELOW = (("suspects", "suspect", ""), ("debts", "debt", ""), ("blind", "blind", "blind"))
LONG_RIGHT = " >  >"  # see Screen.table


class Owners:
    """Names of users and groups, looked up once; numbers when the entries are of another host."""

    def __init__(self, *, local: bool) -> None:
        self._local = local
        self._users: dict[int, str] = {}
        self._groups: dict[int, str] = {}

    def user(self, uid: int) -> str:
        """Name of a user, or the number."""
        if uid not in self._users:
            self._users[uid] = self._look(uid, group=False)
        return self._users[uid]

    def group(self, gid: int) -> str:
        """Name of a group, or the number."""
        if gid not in self._groups:
            self._groups[gid] = self._look(gid, group=True)
        return self._groups[gid]

    def _look(self, number: int, *, group: bool) -> str:
        if not self._local:
            return str(number)
        import grp
        import pwd

        try:
            return grp.getgrgid(number).gr_name if group else pwd.getpwuid(number).pw_name
        except (KeyError, OverflowError):
            return str(number)


def shown_name(screen: Screen, entry: Entry, *, key: str = "name") -> tuple[str, str]:
    """The name with its colour, and on a terminal a slash behind a directory."""
    name = screen.name(raw(entry, key))
    if entry.get("type") != "dir":
        return name, str(entry.get("type") or "")
    return (name if name.endswith("/") or not screen.terminal else f"{name}/"), "dir"


def flags(entry: Entry) -> Cell:
    """The entry's flags, as far as they are doubts; for a directory, those below it are counted."""
    named = [str(flag) for flag in entry.get("flags") or ()]
    rollup = entry.get("rollup") or {}
    named += [
        figures.counted(int(rollup[key]), word, plural)
        for key, word, plural in BELOW
        if rollup.get(key)
    ]
    return ",".join(named), "yellow"


def entry_size(entry: Entry) -> int:
    """Bytes of a file, for a directory those of everything below."""
    rollup = entry.get("rollup")
    return int((rollup or {}).get("bytes", 0) if rollup else entry.get("size") or 0)


def long_rows(
    screen: Screen, entries: Sequence[Entry], owners: Owners, *, key: str = "name"
) -> list[list[Cell]]:
    """``ls -l``: mode, links, owner, group, size, time, flags, name."""
    flagged = any(flags(entry)[0] for entry in entries)
    rows: list[list[Cell]] = []
    for entry in entries:
        mode = figures.permissions(str(entry.get("type")), int(entry.get("mode") or 0))
        row: list[Cell] = [
            mode,
            str(entry.get("nlink") or 0),
            owners.user(int(entry.get("uid") or 0)),
            owners.group(int(entry.get("gid") or 0)),
            figures.size(entry_size(entry)),
            figures.moment(int(entry.get("mtime_ns") or 0) / 1e9),
        ]
        if flagged:
            row.append(flags(entry))
        row.append(shown_name(screen, entry, key=key))
        rows.append(row)
    return rows


def in_columns(screen: Screen, cells: Sequence[Cell]) -> None:
    """Names side by side on a terminal, down before across; one a line into a pipe."""
    if not screen.terminal:
        for cell in cells:
            screen.line(_painted(screen, cell))
        return
    widths = [columns(_text(cell)) for cell in cells]
    lines = _fewest_lines(widths, screen.width)
    across = -(-len(cells) // lines) if lines else 0
    column_widths = [max(widths[c * lines : (c + 1) * lines], default=0) for c in range(across)]
    for line in range(lines):
        parts = []
        for column in range(across):
            at = column * lines + line
            if at >= len(cells):
                break
            cell = cells[at]
            shown = _painted(screen, cell)
            last = at + lines >= len(cells)
            parts.append(shown if last else shown + " " * (column_widths[column] - widths[at]))
        screen.line("  ".join(parts))


def _fewest_lines(widths: Sequence[int], width: int) -> int:
    """The smallest number of lines in which the columns fit, two blanks between them."""
    total = len(widths)
    for across in range(min(total, width // 3), 1, -1):
        lines = -(-total // across)
        used = [max(widths[c * lines : (c + 1) * lines], default=0) for c in range(across)]
        if sum(used) + 2 * (across - 1) <= width:
            return lines
    return total


def tree_lines(screen: Screen, top: Entry, title: str) -> Iterator[str]:
    """A tree drawn with lines, depth first, without recursion: views can be thousands deep."""
    branch, last, bar = ("|-- ", "`-- ", "|   ") if screen.ascii_only else ("├── ", "└── ", "│   ")
    yield screen.painted(title, "dir") + beside(screen, top)
    stack: list[tuple[Entry, str, bool]] = [
        (child, "", child is top["children"][-1]) for child in reversed(top.get("children") or ())
    ]
    while stack:
        entry, indent, is_last = stack.pop()
        name, style = shown_name(screen, entry)
        mark = last if is_last else branch
        yield f"{indent}{mark}{screen.painted(name, style)}{beside(screen, entry)}"
        children = entry.get("children") or []
        deeper = indent + ("    " if is_last else bar)
        stack += [(child, deeper, child is children[-1]) for child in reversed(children)]


def beside(screen: Screen, entry: Entry) -> str:
    """What stands behind a name in a tree: totals where the drawing stops, and doubts."""
    told = []
    rollup = entry.get("rollup") or {}
    if entry.get("type") == "dir" and not entry.get("children") and rollup:
        files = int(rollup.get("files") or 0)
        if files or rollup.get("dirs"):
            size = figures.size(int(rollup.get("bytes") or 0))
            told.append(f"{figures.counted(files, 'file')}, {size}")
    told += [str(flag) for flag in entry.get("flags") or ()]
    return screen.painted(f"  [{', '.join(told)}]", "dim") if told else ""


def _painted(screen: Screen, cell: Cell) -> str:
    return cell if isinstance(cell, str) else screen.painted(cell[0], cell[1])


def _text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]
