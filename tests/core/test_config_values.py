"""References in values, the settings in force, and the schema for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from fustor_core.config import Loaded, effective, json_schema, load_config, up_config
from fustor_core.config.interpolation import InterpolationError, interpolate
from fustor_core.config.model import ID_PATTERN, Config
from fustor_core.units import Seconds

ENVIRON = {"HOST": "fusion", "EMPTY": "", "DOLLAR": "${HOST}", "PORT": "8102"}


@pytest.mark.parametrize(
    ("text", "expected", "secret"),
    [
        ("plain", "plain", False),
        ("${HOST}", "fusion", False),
        ("https://${HOST}:${PORT}/", "https://fusion:8102/", False),
        ("${NOPE:-x}", "x", False),
        ("${NOPE:-}", "", False),
        ("${EMPTY}", "", False),
        ("${EMPTY:-x}", "x", False),
        ("${HOST:-x}", "fusion", False),
        ("${NOPE:-a:-b}", "a:-b", False),
        ("$$", "$", False),
        ("$${HOST}", "${HOST}", False),
        ("$HOST $RECYCLE.BIN a$", "$HOST $RECYCLE.BIN a$", False),
        ("${DOLLAR}", "${HOST}", False),
        ("${file:{folder}/k}", "s3cret", True),
        ("${file:k}", "s3cret", True),
        ("a${file: k}b", "as3cretb", True),
    ],
)
def test_references(tmp_path: Path, text: str, expected: str, secret: bool) -> None:
    (tmp_path / "k").write_text("s3cret\n")
    done = interpolate(text.replace("{folder}", str(tmp_path)), ENVIRON, tmp_path)
    assert (done.text, bool(done.files)) == (expected, secret)


@pytest.mark.parametrize(
    ("text", "offset"), [("ab${NOPE}", 2), ("${", 0), ("x${a b}", 1), ("${}", 0), ("${file:no}", 0),
                         ("${file:binary}", 0), ("${file:.}", 0)],
)  # fmt: skip
def test_references_that_lead_nowhere(tmp_path: Path, text: str, offset: int) -> None:
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(InterpolationError) as caught:
        interpolate(text, ENVIRON, tmp_path)
    assert caught.value.offset == offset


def test_references_take_the_type_of_their_key(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "views:\n  a:\n    max_sessions: ${PORT}\n    audit_interval_sec: ${NOPE:-10m}\n"
    )
    view = load_config([path], ENVIRON).config.views["a"]
    assert (view.max_sessions, view.audit_interval_sec) == (8102, 600)


class Inner(BaseModel):
    depth: int = 3


class FsOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")
    root: Path
    poll: Seconds = 5.0
    inner: Inner = Inner()


class FusionOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")
    url: str
    view: str = "x"
    pin: SecretStr | None = None
    key: str | None = None


class Nothing(BaseModel):
    model_config = ConfigDict(extra="forbid")
    memory_budget: int | None = Field(default=None, description="bytes")


MODELS: dict[tuple[str, str], type[BaseModel]] = {
    ("source", "fs"): FsOptions,
    ("sink", "fusion"): FusionOptions,
    ("view", "file"): Nothing,
    ("arbitrator", "fs"): Nothing,
    ("receiver", "http"): Nothing,
}
TEXT = """\
pipes:
  p:
    source: {driver: fs, root: /data}
    sink:
      driver: fusion
      url: https://me:pa55@fusion:8102
      key: fst_id_secret
      pin: '1234'
    session_timeout_seconds: 1m
state:
  encryption_key: env:HIDDEN
  history: ${file:folder}
receivers:
  r: {driver: http, tls: {cert: /c, key: /k}, tokens: [{token: t}]}
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    (tmp_path / "folder").write_text("/from/a/file")
    path = tmp_path / "a.yaml"
    path.write_text(TEXT)
    return load_config([path], {"FUSTOR_LOG_LEVEL": "debug"})


def model_of(kind: str, name: str) -> type[BaseModel]:
    if kind == "receiver":
        return type("Any", (BaseModel,), {"model_config": ConfigDict(extra="allow")})
    return MODELS[kind, name]


def test_effective_settings_and_their_origins(loaded: Loaded, tmp_path: Path) -> None:
    found = effective(loaded, model_of)
    file = tmp_path / "a.yaml"
    assert found["pipes.p.session_timeout_seconds"] == {"value": 60.0, "origin": f"{file}:9:5"}
    assert found["pipes.p.heartbeat_interval_sec"] == {"value": 10.0, "origin": "default"}
    assert found["pipes.p.source.root"] == {"value": "/data", "origin": f"{file}:3:26"}
    assert found["pipes.p.source.poll"] == {"value": 5.0, "origin": "default"}
    assert found["pipes.p.source.inner.depth"] == {"value": 3, "origin": "default"}
    assert found["pipes.p.source.driver"]["value"] == "fs"
    assert found["log.level"] == {"value": "debug", "origin": "FUSTOR_LOG_LEVEL"}
    assert found["agent.id"] == {"value": None, "origin": "default"}
    json.dumps(found)


@pytest.mark.parametrize("with_models", [False, True])
def test_secrets_are_not_shown(loaded: Loaded, with_models: bool) -> None:
    found = effective(loaded, model_of if with_models else None)
    assert found["pipes.p.sink.key"]["value"] == "***"
    assert found["state.encryption_key"]["value"] == "***"
    assert found["state.history"]["value"] == "***", "it came out of a file"
    assert found["pipes.p.sink.url"]["value"] == "https://me:***@fusion:8102"
    assert found["receivers.r.tls.key"]["value"] == "/k", "the name of a file"
    assert found["receivers.r.tokens"]["value"] == [{"token": "***"}]
    if with_models:
        assert found["pipes.p.sink.pin"]["value"] == "***"
    text = json.dumps(found)
    assert not any(word in text for word in ("pa55", "fst_id", "hidden", "/from/a/file"))


def test_what_up_set_is_told_apart() -> None:
    found = effective(up_config([Path("/data")]))
    assert found["pipes.data.source.root"] == {"value": "/data", "origin": "fustor up"}
    assert found["views.data.max_sessions"]["origin"] == "default"


def test_every_setting_is_listed() -> None:
    """What the model has, `config show` shows: for each kind of section one that is there."""
    found = effective(up_config([Path("/data")]))
    for section in ("agent", "log", "state"):
        for key in type(getattr(Config(), section)).model_fields:
            assert f"{section}.{key}" in found


def resolve(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        head, _, name = part["$ref"].rpartition("/")
        assert head == "#/$defs"
        part = schema["$defs"][name]
    return part


def references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [ref for value in part.values() for ref in references(value)]
    return [ref for value in part for ref in references(value)] if isinstance(part, list) else []


def test_the_schema_knows_the_drivers_options() -> None:
    schema = json_schema(MODELS)
    json.dumps(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for reference in references(schema):
        assert reference.removeprefix("#/$defs/") in schema["$defs"]
    whole = resolve(schema, schema["else"])
    assert set(whole["properties"]) == set(Config.model_fields)
    pipe = resolve(schema, whole["properties"]["pipes"]["patternProperties"][ID_PATTERN])
    assert pipe["additionalProperties"] is False
    (source,) = pipe["properties"]["source"]["oneOf"]
    assert set(source["properties"]) == {"driver", "root", "poll", "inner"}
    assert source["properties"]["driver"] == {"const": "fs"}
    assert source["required"] == ["driver", "root"]
    assert "depth" in resolve(schema, source["properties"]["inner"])["properties"]
    assert "heartbeat_interval_seconds" in pipe["properties"]
    view = resolve(schema, whole["properties"]["views"]["patternProperties"][ID_PATTERN])
    form, nothing = view["oneOf"]
    assert nothing == {"type": "null"}
    assert {"driver", "arbitrator", "max_sessions", "memory_budget"} <= set(form["properties"])
    assert "driver" not in form["required"]
    (arbitrator,) = form["properties"]["arbitrator"]["oneOf"]
    assert arbitrator["required"] == []
    alone = resolve(schema, schema["then"])
    assert "id" in alone["properties"]
    assert {"id", "source", "sink"} <= set(alone["required"])


def test_every_setting_has_a_description() -> None:
    """The schema and the generated reference take their words from here."""
    known = {"log.level", "version"}
    schema = json_schema(MODELS)
    for name in ("Agent", "Pipe", "AuditTiers", "Forest", "State", "Log"):
        for key, part in schema["$defs"][name]["properties"].items():
            told = "description" in part or "description" in resolve(schema, part)
            assert told or f"{name.lower()}.{key}" in known, f"{name}.{key}"
