"""What pydantic finds wrong, said as people need it: place, key, expectation, suggestion."""

from __future__ import annotations

import re
import types
import unicodedata
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fustor_core.config.document import KeyPath, dotted
from fustor_core.config.merging import Merged
from fustor_core.config.model import ID_PATTERN
from fustor_core.config.unspoken import SECRET_KEY

_WANTED = {
    "string_type": "is a text",
    "int_type": "is a whole number",
    "int_parsing": "is a whole number",
    "int_from_float": "is a whole number",
    "float_type": "is a number",
    "float_parsing": "is a number",
    "finite_number": "is a number that ends",
    "bool_type": "is true or false",
    "bool_parsing": "is true or false",
    "list_type": "is a list",
    "dict_type": "is a mapping of keys",
    "mapping_type": "is a mapping of keys",
    "model_type": "is a mapping of keys",
    "model_attributes_type": "is a mapping of keys",
}
_LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def note_faults(
    merged: Merged,
    error: ValidationError,
    model: type[BaseModel],
    prefix: KeyPath = (),
    *,
    beside: Sequence[str] = (),
) -> None:
    """Add every fault of `error` to `merged`, one a place.

    Args:
        model: what was validated, to know the keys that would be right.
        prefix: path of what was validated in the whole configuration.
        beside: keys that may stand at `prefix` too.
    """
    # A value whose reference could not be resolved is no value; that has been said.
    known_bad = {(fault.file, fault.key) for fault in merged.errors}
    seen: dict[KeyPath, int] = {}
    for detail in error.errors(include_url=False):
        path, own = _path(merged, detail, prefix)
        known = [*beside, *known_keys(model, own[:-1])] if len(own) == 1 else None
        message, suggestion = _said(detail, path, own, model, known)
        place = merged.place(path)
        if (str(place.file) if place is not None else None, dotted(path)) in known_bad:
            continue
        if path in seen:
            there = merged.errors[seen[path]]
            there.message = _either(there.message, message, dotted(path))
            there.suggestion = there.suggestion or suggestion
            continue
        seen[path] = len(merged.errors)
        at_key = detail["type"] in ("extra_forbidden", "missing") or "[key]" in detail["loc"]
        merged.error(message, path, suggestion=suggestion, at_value=not at_key)


def _either(first: str, second: str, key: str) -> str:
    """One message for a value that fits none of several forms."""
    wanted, separator, given = first.partition(", not ")
    other = second.partition(", not ")[0].removeprefix(f"{key} is ")
    return first if other in wanted else f"{wanted} or {other}{separator}{given}"


def _path(merged: Merged, detail: ErrorDetails, prefix: KeyPath) -> tuple[KeyPath, KeyPath]:
    """The path that the fault is about: in the whole, and in what was validated."""
    loc = tuple(part for part in detail["loc"] if part != "[key]")
    if detail["type"] in ("missing", "extra_forbidden"):
        return (*prefix, *loc), loc
    # Branches of a union add names of their own behind the key.
    for end in range(len(loc), 0, -1):
        whole = (*prefix, *loc[:end])
        if whole in merged.places or whole in merged.origins:
            return whole, loc[:end]
    return (*prefix, *loc), loc


def _said(
    detail: ErrorDetails,
    path: KeyPath,
    own: KeyPath,
    model: type[BaseModel],
    known: Sequence[str] | None,
) -> tuple[str, str]:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if SECRET_KEY.search(str(path[-1])) and isinstance(given, str | int | float):
        given = "***"
    key = dotted(path)
    if kind == "extra_forbidden":
        known = known_keys(model, own[:-1]) if known is None else known
        near = nearest(str(path[-1]), known)
        where = f" in {dotted(path[:-1])}" if len(path) > 1 else ""
        return f"unknown key {path[-1]}{where}", near or f"known here: {', '.join(known)}"
    if kind == "missing":
        return f"{key} is missing", f"add `{path[-1]}: …`"
    if kind == "string_pattern_mismatch" and context.get("pattern") == ID_PATTERN:
        return (
            f"{given!r} is no id: small letters, digits, - and _, at most 64, no - or _ first",
            slug(str(given)),
        )
    if kind == "string_pattern_mismatch":
        return f"{key} matches {context.get('pattern')}, not {shown(given)}", ""
    if kind == "literal_error":
        choices = _choices(model, own) or re.findall(r"'([^']*)'", str(context.get("expected")))
        expected = str(context.get("expected", "")).replace("'", "")
        return f"{key} is {expected}, not {shown(given)}", nearest(str(given), choices)
    if kind == "value_error":
        return f"{key}: {context.get('error')}", ""
    for limit, words in _LIMITS.items():
        if limit in context:
            return f"{key} is {words} {context[limit]:g}, not {shown(given)}", ""
    if kind in _WANTED:
        return f"{key} {_WANTED[kind]}, not {shown(given)}", ""
    if kind == "too_short":
        return f"{key} names at least {context.get('min_length')}, not none", ""
    text = detail["msg"].removeprefix("Value error, ")
    return f"{key}: {text[:1].lower()}{text[1:]}, not {shown(given)}", ""


def shown(given: Any) -> str:
    """A value as YAML would write it, short."""
    if given is None:
        return "nothing"
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, Mapping):
        return "a mapping"
    if isinstance(given, list):
        return "a list"
    text = f"{given:g}" if isinstance(given, float) else repr(given)
    return text if len(text) <= 60 else f"{text[:57]}…"


def nearest(word: str, known: Sequence[str]) -> str:
    """What somebody who wrote `word` may have meant, or ""."""
    near = get_close_matches(word.lower().replace("-", "_"), known, n=1, cutoff=0.6)
    return (near or get_close_matches(word, known, n=1, cutoff=0.6) or [""])[0]


def slug(text: str) -> str:
    """`text` made to match `ID_PATTERN`, or "" when nothing of it can stay."""
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(mark for mark in plain if not unicodedata.combining(mark)).lower()
    return re.sub(r"[^a-z0-9_-]+", "-", plain).strip("-_")[:64]


def known_keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that may stand at `path`."""
    found = _at(model, path)
    names = found.model_fields if found is not None else {}
    return [name for name in names if name != "options"]


def _choices(model: type[BaseModel], path: KeyPath) -> list[str]:
    parent = _at(model, path[:-1])
    field = parent.model_fields.get(str(path[-1])) if parent is not None and path else None
    if field is None:
        return []
    return [choice for choice in get_args(field.annotation) if isinstance(choice, str)]


def _at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    current: Any = model
    for part in path:
        options = [current, *get_args(current)] if _is_union(current) else [current]
        current = next(filter(None, (_step(option, part) for option in options)), None)
    options = [current, *get_args(current)] if _is_union(current) else [current]
    return next((one for one in options if _is_model(one)), None)


def _step(annotation: Any, part: str | int) -> Any:
    if _is_model(annotation):
        field = annotation.model_fields.get(str(part))
        return field.annotation if field is not None else None
    if get_origin(annotation) in (dict, Mapping, list):
        return get_args(annotation)[-1]
    return None


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)
