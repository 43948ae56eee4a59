"""Which files make up a configuration, and how they become one mapping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fustor_core.config.document import Document, KeyPath, Place, dotted, read_document
from fustor_core.config.interpolation import digest_of
from fustor_core.config.model import SPELLINGS
from fustor_core.config.unspoken import line_masked
from fustor_core.errors import ConfigError

FULL_FOLDER = "conf.d"
PIPE_FOLDER = "agent-pipes-config"
SUFFIXES = (".yaml", ".yml")
# Sections whose keys are ids: files add to them. The others are merged key by key.
UNSHOWN = ("encryption_key",)  # what stands there may be a key, against all advice
COLLECTIONS = ("pipes", "views", "forests", "receivers")


@dataclass(slots=True)
class Merged:
    """All files as one mapping.

    Attributes:
        data: as if it had stood in one file of the full form.
        places: where each path of `data` was written.
        lines: of each file, for excerpts.
        secrets: paths whose value came out of a file.
        origins: where what no file set came from, by path.
        files: what was read, in order, with a digest each; None for one that is not readable.
        referenced: the same of files that values came out of.
        broken: a file could not be read as YAML: what it holds is not known.
        errors: found so far.
    """

    data: dict[str, Any] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)
    lines: dict[Path, list[str]] = field(default_factory=dict)
    secrets: set[KeyPath] = field(default_factory=set)
    origins: dict[KeyPath, str] = field(default_factory=dict)
    files: dict[Path, str | None] = field(default_factory=dict)
    referenced: dict[Path, str] = field(default_factory=dict)
    broken: bool = False
    errors: list[ConfigError] = field(default_factory=list)

    def error(
        self, message: str, path: KeyPath, *, suggestion: str = "", at_value: bool = False
    ) -> None:
        """Note an error at a path, or at its nearest ancestor that was written somewhere."""
        place = self.place(path)
        key = dotted(path)
        if path in self.origins:
            message = f"{self.origins[path]}: {message}"
        if place is None or path in self.origins:
            self.errors.append(ConfigError(message, key=key, suggestion=suggestion))
            return
        # The value of an ancestor is not what is wrong: its key is what can be found.
        at_value = at_value and path in self.places
        line = place.value_line if at_value else place.line
        lines = self.lines.get(place.file, [])
        known = line <= len(lines) and path[-1] not in UNSHOWN
        excerpt = line_masked(lines[line - 1]) if known else ""
        self.errors.append(
            ConfigError(
                message,
                file=str(place.file),
                line=line,
                column=place.value_column if at_value else place.column,
                key=key,
                suggestion=suggestion,
                excerpt=excerpt,
            )
        )

    def place(self, path: KeyPath) -> Place | None:
        """Where `path`, or its nearest ancestor, was written."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.places:
                return self.places[path[:end]]
        return None


def config_files(paths: Sequence[Path]) -> tuple[list[Path], list[ConfigError]]:
    """The files behind what a command line names: files, folders of files, or a home.

    A folder that has ``conf.d`` or ``agent-pipes-config`` in it stands for the files in those.
    Hidden files and other suffixes than ``.yaml`` and ``.yml`` do not count.
    """
    files: list[Path] = []
    errors: list[ConfigError] = []
    for path in paths:
        try:
            if not path.is_dir():
                files.append(path)
                continue
            inner = [path / name for name in (PIPE_FOLDER, FULL_FOLDER) if (path / name).is_dir()]
            for folder in inner or [path]:
                files += sorted(file for file in folder.iterdir() if _counts(file))
        except OSError as error:
            message = f"{path} cannot be read: {error.strerror}"
            errors.append(ConfigError(message, file=str(path)))
    return list(dict.fromkeys(files)), errors


def _counts(file: Path) -> bool:
    return file.suffix in SUFFIXES and not file.name.startswith(".") and not file.is_dir()


def digest(file: Path) -> str | None:
    """What tells whether a file has changed; None when it cannot be read."""
    try:
        return digest_of(file.read_bytes())
    except OSError:
        return None


def merge_files(files: Iterable[Path], environ: Mapping[str, str]) -> Merged:
    """Read all `files` and merge them; faults are in `errors`."""
    merged = Merged()
    for file in files:
        # The digest first: a change in between then shows as one, not as none.
        merged.files[file] = digest(file)
        merge_document(merged, read_document(file, environ))
    return merged


def merge_document(merged: Merged, document: Document) -> None:
    """Add one file; ids and keys that are there already are errors."""
    merged.files.setdefault(document.file, None)
    merged.lines[document.file] = document.lines
    merged.broken |= bool(document.errors) and not document.data
    if _is_pipe(document):
        _lift_pipe(document)
    _respell(document)
    for section, content in document.data.items():
        _add_section(merged, document, section, content)
    for path, place in document.places.items():
        merged.places.setdefault(path, place)
    merged.secrets |= document.secrets
    merged.referenced |= document.referenced
    merged.errors += document.errors


def _is_pipe(document: Document) -> bool:
    """A file of one pipe has its id at the top, or lies in the folder of such files."""
    data = document.data
    return bool(data) and (
        "id" in data
        or ("source" in data and "sink" in data)
        or document.file.parent.name == PIPE_FOLDER
    )


def _lift_pipe(document: Document) -> None:
    """Make ``{id: x, …}`` into ``{pipes: {x: …}}``."""
    data = dict(document.data)
    name = data.pop("id", None)
    place = document.places.pop(("id",), None)
    if not isinstance(name, str):
        line, column = (place.value_line, place.value_column) if place is not None else (1, 1)
        stem = document.file.stem.lower()
        message = "the pipe has no id" if place is None else "the id of a pipe is a word"
        document.error(message, line, column, key="id", suggestion=f"id: {stem}")
        document.data = {}
        return
    start = Place(document.file, 1, 1, 1, 1) if place is None else place
    # The id is a value here, and the key of the pipe in the whole.
    at = start._replace(line=start.value_line, column=start.value_column)
    top: KeyPath = ("pipes", name)
    document.data = {"pipes": {name: data}}
    document.places = {
        ("pipes",): at,
        top: at,
        **{(*top, *path): spot for path, spot in document.places.items()},
    }
    document.secrets = {(*top, *path) for path in document.secrets}


def _respell(document: Document) -> None:
    pipes = document.data.get("pipes")
    for name, pipe in pipes.items() if isinstance(pipes, dict) else ():
        for other, key in SPELLINGS.items():
            if not isinstance(pipe, dict) or other not in pipe:
                continue
            path = ("pipes", name, key)
            place = document.places.pop(("pipes", name, other))
            value = pipe.pop(other)
            if key in pipe:
                first = document.places[path].line
                document.error(
                    f"{dotted(path)} is set twice: {other} is the same key as {key}, in line"
                    f" {first}",
                    place.line,
                    place.column,
                    key=dotted(("pipes", name, other)),
                    suggestion="keep one of them",
                )
                continue
            pipe[key] = value
            document.places[path] = place


def _add_section(merged: Merged, document: Document, section: str, content: Any) -> None:
    known = merged.data.get(section)
    if not isinstance(content, dict) or not isinstance(known, dict):
        if section in merged.data and content is not None and known not in (None, content):
            _twice(merged, document, (section,))
        elif known is None:
            merged.data[section] = dict(content) if isinstance(content, dict) else content
        return
    for key, value in content.items():
        if key in known:
            _twice(merged, document, (section, key))
        else:
            known[key] = value


def _twice(merged: Merged, document: Document, path: KeyPath) -> None:
    first, place = merged.places[path], document.places[path]
    what = f"the id {path[1]} in {path[0]}" if path[0] in COLLECTIONS else dotted(path)
    document.error(
        f"{what} is set twice: first in {first.file}:{first.line}",
        place.line,
        place.column,
        key=dotted(path),
        suggestion="keep one of them",
    )
