// Pipes, sessions and views as a graph: who feeds what, in which state, and each batch as it is taken.

import { h, link, s } from "./dom.js";
import { doing, SESSION_KINDS, verdict } from "./trust.js";
import { ago, count, counted, placeOf, bytesOf, seconds, size, span } from "./words.js";
import { post } from "./server.js";

const PULSE_MS = 900;
const BITS = ["RUNNING", "SNAPSHOT_PHASE", "MESSAGE_PHASE", "AUDIT_PHASE", "PAUSED", "RECONNECTING", "CONF_OUTDATED", "ERROR"];

export class Flow {
  constructor(live, onChange) {
    this._live = live;
    this._onChange = onChange;
    this._told = "";
    this._resized = new ResizeObserver(() => this.drawn());
  }

  leave() {
    this._resized.disconnect();
  }

  draw() {
    const { pipes, sessions, views } = this._live.state;
    const now = this._live.now();
    const ends = this._ends(pipes, sessions);
    return [
      h("h1", { "data-key": "h" }, title(ends, sessions, views)),
      this._told && h("p", { class: "notice", role: "alert", "data-key": "told" }, this._told),
      h("div", { class: "graph", "data-key": "graph" },
        s("svg", { class: "edges", "aria-hidden": "true", "data-key": "edges" }),
        column("Pipes", ends.map((end) => this._pipe(end, now))),
        column("Sessions", Object.values(sessions).map((session) => this._session(session, now))),
        column("Views", Object.entries(views).map(([name, view]) => this._view(name, view, now))),
      ),
    ];
  }

  /** Pipes of this process, and those of other hosts as their sessions tell of them. */
  _ends(pipes, sessions) {
    const found = Object.values(pipes).map((pipe) => ({ id: pipe.id, agent: pipe.agent, pipe }));
    for (const session of Object.values(sessions)) {
      const known = found.some((end) => end.pipe?.session_id === session.session_id);
      if (!known) found.push({ id: session.pipe, agent: session.agent_id, session });
    }
    return found.sort((one, other) => `${one.id} ${one.agent}`.localeCompare(`${other.id} ${other.agent}`));
  }

  _pipe({ id, agent, pipe, session }, now) {
    const key = `pipe ${agent} ${id}`;
    if (!pipe) {
      return card(key, "remote", [link("#/machines/pipeline", id), "on another host"], { kind: SESSION_KINDS[session.state], text: "feeds from there" },
        [line("agent", agent), session.client_ip ? line("address", session.client_ip) : null]);
    }
    const did = doing(pipe);
    const flags = new Set(pipe.flags);
    const paused = flags.has("PAUSED") && pipe.role !== "follower";
    return card(key, "", [link("#/machines/pipeline", id), pipe.source], did, [
      lamps(flags),
      line("role", pipe.role ?? "none"),
      line("queued", `${count(pipe.queue)}${pipe.unacked_bytes ? `, ${size(pipe.unacked_bytes)} not acknowledged` : ""}`),
      line("watches", counted(pipe.watched_dirs, "directory", "directories")),
      pipe.uncovered?.length ? line("polled", counted(pipe.uncovered.length, "directory", "directories")) : null,
      pipe.errors_in_row ? line("errors in a row", count(pipe.errors_in_row)) : null,
      pipe.last_ack_at ? line("last taken", ago(now - seconds(pipe.last_ack_at))) : null,
      h("p", { class: "actions" },
        h("button", { onclick: () => this._act(id, paused || flags.has("ERROR") ? "resume" : "pause") }, paused || flags.has("ERROR") ? "Resume" : "Pause"),
        h("button", { onclick: () => this._act(id, "restart") }, "Restart")),
    ]);
  }

  _session(session, now) {
    const lasts = session.timeout_s - (now - seconds(session.last_active_at));
    return card(`session ${session.session_id}`, "", [link("#/machines/session", session.role), `${session.pipe} → ${session.view}`],
      { kind: SESSION_KINDS[session.state] ?? "doubt", text: session.state.toLowerCase() }, [
        line("agent", session.agent_id),
        line("batches", `${count(session.acked)}, epoch ${session.epoch}`),
        line("heard of", `${ago(now - seconds(session.last_active_at))}`),
        session.state === "STALE" ? line("expires", lasts > 0 ? `in ${span(lasts)}` : "now") : null,
        line("since", span(now - seconds(session.created_at))),
      ]);
  }

  _view(name, view, now) {
    const said = verdict(view, now, this._live.growth(name) !== 0);
    return card(`view ${name}`, "", [link(placeOf(name, bytesOf({ path: "/" })), name), view.driver], said, [
      line("files", count(view.files)),
      line("size", size(view.bytes)),
      line("leadership", link("#/machines/leadership", (view.leadership ?? "").toLowerCase())),
      line("journal", size(view.journal_bytes)),
      line("memory", size(view.memory_bytes)),
    ]);
  }

  async _act(id, word) {
    this._told = "";
    await post(`/pipes/${encodeURIComponent(id)}/${word}`).catch((error) => {
      this._told = `${id}: ${error.message}. ${error.remedy}`;
    });
    this._onChange();
  }

  /** Draws the edges between the cards where they lie now. */
  drawn() {
    const graph = document.querySelector(".graph");
    const svg = graph?.querySelector(".edges");
    if (!svg) return;
    this._resized.observe(graph);
    const box = graph.getBoundingClientRect();
    svg.setAttribute("viewBox", `0 0 ${box.width} ${box.height}`);
    const at = (key) => graph.querySelector(`[data-key="${CSS.escape(key)}"]`)?.getBoundingClientRect();
    const { pipes, sessions } = this._live.state;
    const edges = [];
    for (const session of Object.values(sessions)) {
      const pipe = at(`pipe ${session.agent_id} ${session.pipe}`);
      const here = at(`session ${session.session_id}`);
      const kind = `${SESSION_KINDS[session.state] ?? "doubt"} ${session.role}`;
      const beat = Date.now() - (this._live.beats.get(session.session_id) ?? 0) < PULSE_MS ? "beat" : "";
      if (pipe && here) edges.push(edge(`a ${session.session_id}`, pipe, here, box, `${kind} ${beat}`));
      const view = at(`view ${session.view}`);
      if (here && view) edges.push(edge(`b ${session.session_id}`, here, view, box, `${kind} ${beat}`));
    }
    for (const pipe of Object.values(pipes)) {
      const [from, to] = [at(`pipe ${pipe.agent} ${pipe.id}`), at(`view ${pipe.view}`)];
      if (!pipe.session_id && from && to) edges.push(edge(`c ${pipe.id}`, from, to, box, "broken"));
    }
    const known = new Map([...svg.children].map((path) => [path.getAttribute("data-key"), path]));
    for (const fresh of edges) {
      const key = fresh.getAttribute("data-key");
      const old = known.get(key);
      if (!old) svg.append(fresh);
      else for (const name of ["d", "class"]) if (old.getAttribute(name) !== fresh.getAttribute(name)) old.setAttribute(name, fresh.getAttribute(name));
      known.delete(key);
    }
    for (const gone of known.values()) gone.remove();
  }
}

function title(ends, sessions, views) {
  const live = Object.values(sessions).filter((one) => one.state === "ACTIVE").length;
  return `${counted(ends.length, "pipe")}, ${counted(live, "live session")}, ${counted(Object.keys(views).length, "view")}`;
}

function column(name, cards) {
  return h("section", { "data-key": name, "aria-label": name }, h("h2", null, name), cards.length ? cards : h("p", { class: "empty" }, "none"));
}

function card(key, kind, [name, beside], did, rows) {
  return h("article", { class: `card ${kind} ${did.kind ?? ""}`, "data-key": key },
    h("header", null, h("b", null, name), h("span", { class: "dim mono" }, beside)),
    h("p", { class: `verdict ${did.kind ?? ""}` }, did.text),
    rows.filter(Boolean).some((row) => row.classList.contains("lamps")) ? rows.find((row) => row?.classList.contains("lamps")) : null,
    h("dl", null, rows.filter((row) => row && row.classList.contains("row"))),
    rows.find((row) => row?.classList.contains("actions")));
}

function line(word, value) {
  return h("div", { class: "row" }, h("dt", null, word), h("dd", null, value));
}

/** A lamp for each bit that matters, lit where it is set. */
export function lamps(flags) {
  return h("p", { class: "lamps" },
    BITS.map((bit) => h("span", { class: `lamp ${bit.toLowerCase()} ${flags.has(bit) ? "lit" : ""}`, title: `${bit}${flags.has(bit) ? "" : ": not set"}` },
      bit.replace("_PHASE", "").replace("CONF_OUTDATED", "OUTDATED").toLowerCase())));
}

function edge(key, from, to, box, kind) {
  const wide = to.left > from.right;
  const start = wide ? [from.right, from.top + 28] : [from.left + 14, from.bottom];
  const end = wide ? [to.left, to.top + 28] : [to.left + 14, to.top];
  const [x1, y1, x2, y2] = [start[0] - box.left, start[1] - box.top, end[0] - box.left, end[1] - box.top];
  const bend = wide ? (x2 - x1) / 2 : 0;
  const d = wide ? `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}` : `M${x1} ${y1}L${x2} ${y2}`;
  return s("path", { class: `edge ${kind}`, d, "data-key": key });
}
