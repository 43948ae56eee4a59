"""What the routes answer, in OpenAPI: the documents of interfaces.md §1 and §2.

They are made of plain dictionaries far from here, and go out as they are: nothing is checked on its
way. Tests ask a running program and hold its answers against these descriptions.
"""

from __future__ import annotations

import re
from typing import Any

from fustor_core.client import BASE
from fustor_core.problems import MEDIA_TYPE as PROBLEM
from fustor_receiver_http.documents import JSON
from fustor_receiver_http.scopes import OPEN
from fustor_receiver_http.streams import NDJSON, SSE

Schema = dict[str, Any]

METRICS = "text/plain"
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
IN_PATH = re.compile(r"\{(\w+)\}")

TEXT, WHOLE, NUMBER, TRUTH = ({"type": kind} for kind in ("string", "integer", "number", "boolean"))
COUNT: Schema = {"type": "integer", "minimum": 0}
ANY: Schema = {}
PATHS = {"type": "array", "items": {"anyOf": [TEXT, {"type": "object", "required": ["path_b64"]}]}}


def maybe(schema: Schema) -> Schema:
    """That, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def several(schema: Schema) -> Schema:
    """A list of that."""
    return {"type": "array", "items": schema}


def one_of(words: str) -> Schema:
    """One of these words."""
    return {"enum": words.split()}


def of(name: str) -> Schema:
    """One of `PARTS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def document(named: str = "", left_out: str = "", /, **fields: Schema) -> Schema:
    """An object with these fields, and perhaps others.

    Args:
        named: fields for bytes: text, or base64 under ``<name>_b64``. left_out: fields that may be.
    """
    schema: Schema = {"type": "object", "properties": dict(fields)}
    schema["required"] = [name for name in fields if name not in left_out.split()]
    for name in named.split():
        schema["properties"] |= {name: TEXT, f"{name}_b64": TEXT}
        either = [{"required": [name]}, {"required": [f"{name}_b64"]}]
        schema.setdefault("allOf", []).append({"anyOf": either})
    return schema


PARTS: dict[str, Schema] = {
    "Problem": document(
        "",
        "remedy",
        type={"type": "string", "pattern": "^urn:fustor:problem:[a-z-]+$"},
        title=TEXT,
        status=WHOLE,
        detail=TEXT,
        instance=TEXT,
        remedy=TEXT,
    ),
    "Quality": document(
        as_of=maybe(TEXT),
        as_of_us=maybe(WHOLE),
        age_s=maybe(NUMBER),
        complete=TRUTH,
        unscanned=several(document("path", reason=TEXT, errno=maybe(WHOLE))),
        unscanned_total=COUNT,
        suspects=COUNT,
        debts=COUNT,
        blind=COUNT,
        stale=TRUTH,
        frozen=TRUTH,
        epoch=COUNT,
    ),
    "Rollup": document(
        **dict.fromkeys("files dirs others bytes suspects debts blind".split(), COUNT),
        newest_mtime_ns=maybe(WHOLE),
        changed_us=maybe(WHOLE),
    ),
    "Entry": document(
        "path name",
        "rollup",
        view=TEXT,
        type=maybe(one_of("file dir symlink fifo socket char block")),
        **{name: maybe(WHOLE) for name in "size mtime_ns ctime_ns ino mode uid gid nlink".split()},
        flags=several(one_of("suspect debt blind stale unscanned frozen")),
        origin=maybe(one_of("realtime snapshot audit sentinel on_demand")),
        observed=maybe(several(WHOLE)),
        rollup=of("Rollup"),
    ),
    "Sighting": document(
        origin=one_of("snapshot audit sentinel on_demand"),
        audit=maybe(COUNT),
        agent=maybe(TEXT),
        at=TEXT,
        at_us=WHOLE,
    ),
    "BlindDirectory": document(
        "path",
        view=TEXT,
        blind=COUNT,
        below=COUNT,
        first_seen=maybe(of("Sighting")),
        last_seen=maybe(of("Sighting")),
        known_by=several(TEXT),
    ),
    "Change": document(
        "path",
        "entry",
        cursor=TEXT,
        at=TEXT,
        kind=one_of("created modified deleted moved flagged resync"),
        entry=maybe(of("Entry")),
        origin=maybe(TEXT),
    ),
    "Packs": document(
        budget_bytes=maybe(COUNT),
        **dict.fromkeys("hot hot_bytes folded folded_bytes cold".split(), COUNT),
    ),
    "ViewStatus": document(
        "",
        "packs",
        view=TEXT,
        driver=TEXT,
        arbitrator=TEXT,
        **dict.fromkeys("files dirs bytes entries".split(), COUNT),
        quality=of("Quality"),
        fusion_time_us=WHOLE,
        logical_time=maybe(TEXT),
        leader=maybe(document(session_id=TEXT, agent=TEXT, since=TEXT)),
        state=COUNT,
        flags=several(TEXT),
        sessions=COUNT,
        journal_bytes=COUNT,
        memory_bytes=COUNT,
        packs=of("Packs"),
        last_audit=maybe(document(at=TEXT, seconds=NUMBER)),
        audits=COUNT,
        leadership=one_of("VACANT ELECTED LEADING LAPSED"),
    ),
    "Pipe": document(
        id=TEXT,
        agent=TEXT,
        source=TEXT,
        sink=TEXT,
        view=maybe(TEXT),
        state=COUNT,
        flags=several(TEXT),
        role=maybe(one_of("leader follower")),
        session_id=maybe(TEXT),
        epoch=COUNT,
        queue=COUNT,
        unacked_bytes=COUNT,
        errors_in_row=COUNT,
        backoff_s=NUMBER,
        last_error=maybe(TEXT),
        last_ack_at=maybe(TEXT),
        watched_dirs=COUNT,
        watch_limit=maybe(COUNT),
        watched_by=maybe(TEXT),
        watched_why=TEXT,
        uncovered=PATHS,
        warnings=several(TEXT),
        generation=COUNT,
    ),
    "Session": document(
        session_id=TEXT,
        agent_id=TEXT,
        pipe=TEXT,
        view=TEXT,
        role=one_of("leader follower"),
        epoch=COUNT,
        state=one_of("ESTABLISHING ACTIVE STALE EXPIRED CLOSED OBSOLETE"),
        created_at=TEXT,
        last_active_at=TEXT,
        timeout_s=NUMBER,
        acked=COUNT,
        key_id=TEXT,
        client_ip=TEXT,
        can=document(realtime=TRUTH, scan=TRUTH),
        offset_us=maybe(several(maybe(WHOLE))),
    ),
    "Job": document(
        "path",
        id=TEXT,
        view=TEXT,
        state=one_of("pending running completed failed cancelled"),
        progress=document(directories=COUNT, entries=COUNT),
        agent=maybe(TEXT),
        created_at=TEXT,
        finished_at=maybe(TEXT),
        result=maybe(document(entries=COUNT, changed=COUNT, quality=of("Quality"))),
        error=maybe(TEXT),
    ),
    "Member": document(
        "path",
        "rollup quality error",
        view=TEXT,
        existence=one_of("present absent unknown"),
        rollup=maybe(of("Rollup")),
        quality=of("Quality"),
        error=TEXT,
    ),
    "Check": document("", "detail", name=TEXT, ok=TRUTH, detail=TEXT),
}


def answered(**fields: Schema) -> Schema:
    """The answer of a view about a path."""
    return document("path", view=TEXT, **fields, quality=of("Quality"))


def page(name: str, of_what: Schema) -> Schema:
    """A page of a list."""
    return document(**{name: several(of_what)}, next_cursor=maybe(TEXT), quality=of("Quality"))


def _of_views() -> dict[tuple[str, str], Schema]:
    """(method, path below the base) → what a success answers: views, their entries, forests."""
    view, existence = "/views/{view}", one_of("present absent unknown")
    entry, quality = maybe(of("Entry")), of("Quality")
    reason = document(kind=TEXT, count=COUNT, examples=PATHS)
    best = document("path", view=TEXT, rollup=of("Rollup"), quality=quality)
    told = document(first_seen=maybe(of("Sighting")), known_by=several(TEXT))
    blind = {"allOf": [of("Entry"), told]}
    directories = page("directories", of("BlindDirectory"))
    return {
        ("GET", "/views"): document(views=several(of("ViewStatus"))),
        ("GET", view): of("ViewStatus"),
        ("GET", f"{view}/status"): of("ViewStatus"),
        ("DELETE", view): document(dropped=TEXT),
        ("GET", f"{view}/ls"): answered(
            entry=of("Entry"), entries=several(of("Entry")), next_cursor=maybe(TEXT)
        ),
        ("GET", f"{view}/suspects"): page("entries", of("Entry")),
        ("GET", f"{view}/debts"): page("entries", of("Entry")),
        ("GET", f"{view}/blind-spots"): {"anyOf": [page("entries", blind), directories]},
        ("GET", f"{view}/find"): page("matches", of("Entry")),
        ("GET", f"{view}/stat"): answered(existence=existence, entry=entry),
        ("GET", f"{view}/tree"): answered(tree=of("Entry"), truncated=TRUTH),
        ("GET", f"{view}/du"): answered(rollup=of("Rollup")),
        ("GET", f"{view}/stable"): answered(
            stable=maybe(TRUTH),
            quiet_for_s=maybe(NUMBER),
            last_change=maybe(document("path", at=TEXT, origin=TEXT)),
            reasons=several(reason),
        ),
        ("GET", f"{view}/changes"): document(
            changes=several(of("Change")), cursor=TEXT, more=TRUTH
        ),
        ("GET", f"{view}/explain"): answered(existence=existence, entry=entry, claims=several(ANY)),
        ("POST", f"{view}/scan"): of("Job"),
        ("POST", f"{view}/confirm"): document(
            view=TEXT, confirmed=several(document("path", removes=COUNT))
        ),
        ("GET", "/forests"): document(
            forests=several(document(forest=TEXT, views=several(TEXT), best=TEXT))
        ),
        ("GET", "/forests/{forest}/best"): document(
            "path", by=TEXT, best=maybe(best), all=several(of("Member"))
        ),
    }


def _of_program() -> dict[tuple[str, str], Schema]:
    """The same for all that runs."""
    machine = document(name=TEXT, states=several(ANY), events=several(TEXT))
    plugin = document(kind=TEXT, name=TEXT, distribution=TEXT, version=TEXT, state=TEXT)
    health = document("", "checks", status=TEXT, checks=several(of("Check")))
    return {
        ("GET", "/jobs"): document(jobs=several(of("Job"))),
        ("GET", "/jobs/{id}"): of("Job"),
        ("DELETE", "/jobs/{id}"): of("Job"),
        ("GET", "/sessions"): document(sessions=several(of("Session"))),
        ("GET", "/pipes"): document(pipes=several(of("Pipe"))),
        ("GET", "/pipes/{id}"): of("Pipe"),
        ("POST", "/pipes/{id}/pause"): of("Pipe"),
        ("POST", "/pipes/{id}/resume"): of("Pipe"),
        ("POST", "/pipes/{id}/restart"): of("Pipe"),
        ("GET", "/machines"): document(machines=several(machine)),
        ("GET", "/machines/{name}"): document(
            name=TEXT, initial=TEXT, states=several(ANY), rules=several(ANY)
        ),
        ("GET", "/plugins"): document(plugins=several(plugin)),
        ("GET", "/config"): document(values={"type": "object"}),
        ("GET", "/status"): document(
            version=TEXT,
            pid=COUNT,
            uptime_s=NUMBER,
            home=TEXT,
            roles=several(TEXT),
            urls=several(TEXT),
            views=several(of("ViewStatus")),
            pipes=several(of("Pipe")),
        ),
        ("POST", "/state/tickets"): document(ticket=TEXT, lives_s=NUMBER),
        ("POST", "/login/links"): document(code=TEXT, lives_s=NUMBER),
        ("POST", "/login"): document(key=TEXT, lives_s=NUMBER),
        ("GET", "/livez"): health,
        ("GET", "/readyz"): health,
        ("GET", "/startupz"): health,
        ("GET", "/version"): document(version=TEXT, protocol=several(WHOLE)),
    }


STREAMED = {"ls": (NDJSON,), "find": (NDJSON,), "changes": (NDJSON, SSE)}
UNREADY = ("/readyz", "/startupz", "/livez")


def complete(schema: Schema) -> Schema:
    """The description with what FastAPI does not know: parameters in paths, keys, replies."""
    parts = schema.setdefault("components", {})
    parts.setdefault("schemas", {}).update(PARTS)
    for name in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(name, None)
    parts["securitySchemes"] = SECURITY
    known = {_placed(path): found for path, found in _by_path().items()}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            _parameters(path, operation)
            if path not in OPEN:
                operation["security"] = [{name: []} for name in SECURITY]
            _replies(path, operation, known.get(path, {}).get(method.upper()))
    return schema


def _by_path() -> dict[str, dict[str, Schema]]:
    found: dict[str, dict[str, Schema]] = {}
    for (method, path), schema in (_of_views() | _of_program()).items():
        found.setdefault(path, {})[method] = schema
    return found


def _placed(path: str) -> str:
    return path if path in OPEN else BASE + path


def _parameters(path: str, operation: Schema) -> None:
    """Those in the path that a route reads from the request itself."""
    listed = operation.setdefault("parameters", [])
    there = {parameter["name"] for parameter in listed if parameter["in"] == "path"}
    listed += [
        {"name": name, "in": "path", "required": True, "schema": TEXT}
        for name in IN_PATH.findall(path)
        if name not in there
    ]


def _replies(path: str, operation: Schema, schema: Schema | None) -> None:
    """What it answers: on success that document, else a problem."""
    replies = operation["responses"]
    replies.pop("422", None)  # input that makes no sense is a 400 here
    problem = {"description": "A problem document", "content": {PROBLEM: {"schema": of("Problem")}}}
    for status, reply in replies.items():
        if not status.startswith("2"):
            replies[status] = problem
        elif path.endswith("/metrics"):
            reply["content"] = {METRICS: {"schema": TEXT}}
        elif schema is not None:
            kinds = STREAMED.get(path.rpartition("/")[2], ())
            lines = {kind: {"schema": TEXT} for kind in kinds}
            reply["content"] = {JSON: {"schema": schema}, **lines}
    replies.setdefault("4XX", problem)
    for status in ("429", "503", "507") if path.startswith(BASE) else ():
        replies.setdefault(status, problem)
    if path in UNREADY:
        unready = {"description": "Not ready", "content": {JSON: {"schema": schema}}}
        replies["503"] = unready
