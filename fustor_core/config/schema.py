"""JSON Schema 2020-12 of the configuration, drivers' own options included, for editors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from fustor_core.config.merging import COLLECTIONS
from fustor_core.config.model import ID_PATTERN, SPELLINGS, Config

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DriverModels = Mapping[tuple[str, str], type[BaseModel]]


def json_schema(driver_models: DriverModels) -> dict[str, Any]:
    """The schema of a file in ``conf.d``, or of one pipe in ``agent-pipes-config``.

    Args:
        driver_models: (kind, name) → the driver's `Config`; drivers that are not named here are
            not accepted.
    """
    whole = Config.model_json_schema(ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = whole.pop("$defs")
    drivers: dict[str, dict[str, Any]] = {}
    for (kind, name), model in sorted(driver_models.items()):
        drivers.setdefault(kind, {})[name] = _driver(kind, name, model, definitions)
    pipe = definitions["Pipe"]
    for kind in ("source", "sink"):
        pipe["properties"][kind] = _choice(kind, drivers, pipe["properties"][kind])
    for other, key in SPELLINGS.items():
        pipe["properties"][other] = pipe["properties"][key]
    view = definitions["View"]
    default = definitions["Arbitrator"]["properties"]["driver"]["default"]
    view["properties"]["arbitrator"] = _choice("arbitrator", drivers, {}, default=default)
    definitions["View"] = _view(view, drivers)
    for section in COLLECTIONS:
        whole["properties"][section]["additionalProperties"] = False
    receiver = _choice("receiver", drivers, {})
    whole["properties"]["receivers"]["patternProperties"][ID_PATTERN] = receiver
    for replaced in ("DriverBlock", "Arbitrator"):
        definitions.pop(replaced)
    definitions["Config"] = whole
    definitions["PipeFile"] = {
        **pipe,
        "title": "PipeFile",
        "properties": {"id": {"type": "string"}, **pipe["properties"]},
        "required": ["id", *pipe["required"]],
    }
    return {
        "$schema": DIALECT,
        "title": "Fustor configuration",
        "if": {"type": "object", "required": ["id"]},
        "then": {"$ref": "#/$defs/PipeFile"},
        "else": {"$ref": "#/$defs/Config"},
        "$defs": definitions,
    }


def _driver(
    kind: str, name: str, model: type[BaseModel], definitions: dict[str, Any]
) -> dict[str, Any]:
    """One driver's block; its definitions get names of their own."""
    schema = model.model_json_schema(ref_template=f"#/$defs/{kind}.{name}.{{model}}")
    for inner, definition in schema.pop("$defs", {}).items():
        definitions[f"{kind}.{name}.{inner}"] = definition
    schema["properties"] = {"driver": {"const": name}, **schema.get("properties", {})}
    schema["required"] = ["driver", *schema.get("required", [])]
    schema["title"] = f"{kind} {name}"
    return schema


def _choice(
    kind: str, drivers: Mapping[str, Any], field: Mapping[str, Any], default: str = ""
) -> dict[str, Any]:
    forms = []
    for name, schema in drivers.get(kind, {}).items():
        optional = {"required": [key for key in schema["required"] if key != "driver"]}
        forms.append({**schema, **(optional if name == default else {})})
    kept = {"description": field["description"]} if "description" in field else {}
    return {**kept, "oneOf": forms} if forms else {**kept, "not": {}}


def _view(view: dict[str, Any], drivers: Mapping[str, Any]) -> dict[str, Any]:
    """The core's keys and, beside them, those of one view driver."""
    own = {key: value for key, value in view["properties"].items() if key != "options"}
    default = own["driver"].get("default")
    forms = []
    for name, schema in drivers.get("view", {}).items():
        required = [key for key in schema["required"] if key != "driver" or name != default]
        properties = {**schema["properties"], **own, "driver": {"const": name}}
        forms.append({**schema, "properties": properties, "required": required})
    # `data:` with nothing behind it is a view with every default.
    return {**_words(view), "oneOf": [*forms, {"type": "null"}]}


def _words(view: Mapping[str, Any]) -> dict[str, Any]:
    return {key: view[key] for key in ("title", "description") if key in view}
