"""A YAML file as plain data, with the place of every key and value."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from fustor_core.config.interpolation import InterpolationError, interpolate
from fustor_core.config.unspoken import line_masked
from fustor_core.errors import ConfigError

KeyPath = tuple[str | int, ...]
_NODES_MAX = 200_000
# What the parser says, what we say, what helps.
_SYNTAX = (
    ("\\t", "a tab cannot stand here", "indent with spaces"),
    ("<block end>", "the indentation does not fit the lines above", "align it with its siblings"),
    ("mapping values are not allowed", "a second `: ` in one line", "quote the value"),
    ("could not find expected ':'", "a key needs a `:` behind it", "write `key: value`"),
    ("another document", "a second document begins here", "one file holds one document"),
    ("undefined alias", "", "define it with `&name` before, or quote a value that begins with `*`"),
)
_TAG = "tag:yaml.org,2002:"


class Place(NamedTuple):
    """Where a key stands and where its value does; lines and columns from 1."""

    file: Path
    line: int
    column: int
    value_line: int
    value_column: int


@dataclass(slots=True)
class Document:
    """One file's content.

    Attributes:
        file: as it was named.
        lines: for excerpts.
        data: the top mapping, interpolated; {} when it is empty or broken.
        places: by path in `data`.
        secrets: paths whose value came out of a file by ``${file:…}``.
        referenced: those files, with a digest each.
        errors: all that were found; the rest was read as far as it goes.
    """

    file: Path
    lines: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)
    secrets: set[KeyPath] = field(default_factory=set)
    referenced: dict[Path, str] = field(default_factory=dict)
    errors: list[ConfigError] = field(default_factory=list)

    def error(
        self, message: str, line: int, column: int, *, key: str = "", suggestion: str = ""
    ) -> None:
        """Note an error at a place of this file."""
        excerpt = line_masked(self.lines[line - 1]) if 0 < line <= len(self.lines) else ""
        self.errors.append(
            ConfigError(
                message,
                file=str(self.file),
                line=line,
                column=column,
                key=key,
                suggestion=suggestion,
                excerpt=excerpt,
            )
        )


def dotted(path: KeyPath) -> str:
    """``pipes.my-pipe.source.exclude[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_document(file: Path, environ: Mapping[str, str]) -> Document:
    """Read one file; every fault is in `errors`, with its place."""
    document = Document(file)
    try:
        raw = file.read_bytes()
    except OSError as error:
        document.errors.append(
            ConfigError(f"{file} cannot be read: {error.strerror}", file=str(file))
        )
        return document
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        document.lines = raw.decode("utf-8", "replace").splitlines()
        document.error(
            "this is not UTF-8",
            before.count(b"\n") + 1,
            len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1,
        )
        return document
    return parse_document(text, file, environ)


def parse_document(text: str, file: Path, environ: Mapping[str, str]) -> Document:
    """Read a file's text; see `read_document`."""
    document = Document(file, lines=text.splitlines())
    try:
        with warnings.catch_warnings(action="error"):
            root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        _note_syntax(document, error)
        return document
    except (YAMLError, Warning) as error:
        document.error(" ".join(str(error).split()), 1, 1)
        return document
    if root is None:
        return document
    if not isinstance(root, MappingNode):
        document.error("the top of a configuration is a mapping of keys", *_start(root))
        return document
    _Reader(document, environ).top(root)
    return document


def _note_syntax(document: Document, error: MarkedYAMLError) -> None:
    problem = " ".join((error.problem or error.context or "this is no YAML").split())
    mark = error.problem_mark or error.context_mark
    message, hint = problem, "quote a value that holds `: `, ` #`, `{`, `[`, `*`, `&`, `@` or `%`"
    for found, said, advice in _SYNTAX:
        if found in problem:
            message, hint = said or problem, advice
            break
    if "end of stream" in problem or "<stream end>" in problem:
        message, hint = "this is never closed", "look for the end of this quote, `{` or `[`"
        mark = error.context_mark or mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    document.error(message, line, column, suggestion=hint)


def _start(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


class _Reader:
    """Turns nodes into data; each method returns the value of one node."""

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self.document = document
        self.environ = environ
        self.scalars = YAML(typ="safe", pure=True).constructor
        self.open: set[int] = set()
        self.seen = 0

    def top(self, root: MappingNode) -> None:
        self.document.data = self.mapping(root, ())

    def value(self, node: Node, path: KeyPath) -> Any:
        self.seen += 1
        if self.seen > _NODES_MAX or id(node) in self.open:
            if self.seen <= _NODES_MAX + 1 or id(node) in self.open:
                self.document.error("aliases make this endless", *_start(node), key=dotted(path))
            return None
        if isinstance(node, ScalarNode):
            return self.scalar(node, path)
        self.open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return self.sequence(node, path)
            assert isinstance(node, MappingNode)
            return self.mapping(node, path)
        finally:
            self.open.discard(id(node))

    def mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                merged.append(value_node)
                continue
            if not isinstance(key_node, ScalarNode):
                self.document.error("a key is a word", *_start(key_node), key=dotted(path))
                continue
            key = str(key_node.value)
            place = Place(self.document.file, *_start(key_node), *_start(value_node))
            earlier = self.document.places.get((*path, key))
            if key in data and earlier is not None:
                self.document.error(
                    f"{dotted((*path, key))} is set twice: first in line {earlier.line}",
                    place.line,
                    place.column,
                    key=dotted((*path, key)),
                    suggestion="keep one of them",
                )
                continue
            self.document.places[(*path, key)] = place
            data[key] = self.value(value_node, (*path, key))
        for value_node in merged:
            self.merge(value_node, path, data)
        return data

    def merge(self, node: Node, path: KeyPath, data: dict[str, Any]) -> None:
        """``<<: *other``: keys that are not set yet; in a list the earlier one wins."""
        for part in node.value if isinstance(node, SequenceNode) else [node]:
            if not isinstance(part, MappingNode):
                self.document.error("`<<` takes a mapping", *_start(part), key=dotted(path))
                continue
            fresh = MappingNode(
                part.tag,
                [pair for pair in part.value if str(pair[0].value) not in data],
                part.start_mark,
                part.end_mark,
            )
            data.update(self.mapping(fresh, path))

    def sequence(self, node: SequenceNode, path: KeyPath) -> list[Any]:
        data = []
        for index, item in enumerate(node.value):
            at = _start(item)
            self.document.places[(*path, index)] = Place(self.document.file, *at, *at)
            data.append(self.value(item, (*path, index)))
        return data

    def scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        kind = str(node.tag).removeprefix(_TAG)
        if kind == "null":
            return None
        if kind == "bool":
            return self.scalars.construct_yaml_bool(node)
        if kind == "int":
            return self.scalars.construct_yaml_int(node)
        if kind == "float":
            return self.scalars.construct_yaml_float(node)
        if kind not in ("str", "timestamp"):
            self.document.error(f"the tag {node.tag} means nothing here", *_start(node))
            return None
        return self.text(node, path)

    def text(self, node: ScalarNode, path: KeyPath) -> str:
        text = str(node.value)
        if "$" not in text:
            return text
        try:
            done = interpolate(text, self.environ, self.document.file.parent)
        except InterpolationError as error:
            line, column = _start(node)
            if node.style is None and node.start_mark.line == node.end_mark.line:
                column += error.offset
            self.document.error(
                str(error), line, column, key=dotted(path), suggestion=error.suggestion
            )
            return text
        if done.files:
            self.document.secrets.add(path)
            self.document.referenced.update(done.files)
        return done.text
