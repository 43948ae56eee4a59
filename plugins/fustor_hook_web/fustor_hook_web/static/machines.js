// The state machines as they are written in the tables, and where each instance stands now.

import { Diagram } from "./diagram.js";
import { h, link } from "./dom.js";
import { Regions } from "./regions.js";
import { get } from "./server.js";

const ORDER = ["pipeline", "fusion_pipeline", "session", "leadership", "node", "run"];
const TITLES = {
  pipeline: ["Pipe", "What an agent's pipe does: bits that are set and dropped, several at once."],
  fusion_pipeline: ["View", "Whether a view serves."],
  session: ["Session", "How an agent's pipe stands with a view."],
  leadership: ["Leadership", "Who alone scans a view by itself."],
  node: ["Node", "One phase of a pipe, or one step of a job, from attempt to attempt; the history keeps each."],
  run: ["Run", "This process, from its start to its end."],
};

export class Machines {
  constructor(live, onChange) {
    this._live = live;
    this._onChange = onChange;
    this._tables = new Map();
    this._error = null;
    this._chosen = ORDER[0];
  }

  enter({ rest }) {
    this._chosen = rest[0] ?? ORDER[0];
    if (!this._tables.size) this._ask();
  }

  async _ask() {
    try {
      const { machines } = await get("/machines");
      const names = machines.map((machine) => machine.name);
      const tables = await Promise.all(names.map((name) => get(`/machines/${encodeURIComponent(name)}`)));
      const rank = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
      tables.sort((one, other) => rank(one.name) - rank(other.name));
      for (const table of tables) this._tables.set(table.name, drawing(table));
    } catch (error) {
      this._error = error;
    }
    this._onChange();
  }

  draw() {
    if (this._error) return h("p", { class: "empty" }, this._error.message);
    const drawn = this._tables.get(this._chosen) ?? this._tables.values().next().value;
    if (!drawn) return h("p", { class: "empty" }, "Asking…");
    const { name } = drawn.table;
    const [title, meaning] = TITLES[name] ?? [titled(name), ""];
    const now = this._standing(name);
    return [
      h("nav", { class: "tabs", "aria-label": "Machines", "data-key": "tabs" },
        [...this._tables.keys()].map((one) => link(`#/machines/${encodeURIComponent(one)}`, TITLES[one]?.[0] ?? titled(one), { "aria-current": one === name ? "page" : null, "data-key": one }))),
      h("header", { "data-key": "h" }, h("h1", null, title), h("p", { class: "why" }, meaning)),
      h("div", { class: "machine", "data-key": `machine ${name}` }, drawn.draw(now)),
    ];
  }

  /** Who has such a machine, and in which state: `{name, states}`. */
  _standing(machine) {
    const { pipes, views, sessions, runs } = this._live.state;
    if (machine === "pipeline") return Object.values(pipes).map((pipe) => ({ name: pipe.id, states: pipe.flags.length ? pipe.flags : ["STOPPED"] }));
    if (machine === "fusion_pipeline") return Object.values(views).map((view) => ({ name: view.view, states: view.flags?.length ? view.flags : ["STOPPED"] }));
    if (machine === "session") return Object.values(sessions).map((one) => ({ name: `${one.pipe} on ${one.agent_id}`, states: [one.state] }));
    if (machine === "leadership") return Object.values(views).map((view) => ({ name: view.view, states: [view.leadership] }));
    if (machine === "node") return Object.values(runs).flatMap((run) => Object.entries(run.nodes).map(([name, node]) => ({ name, states: [node.status.toUpperCase()] })));
    if (machine === "run") return Object.values(runs).map((run) => ({ name: run.id, states: [run.phase.toUpperCase()] }));
    return [];
  }
}

function titled(name) {
  return name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");
}

/** Flags are drawn bit by bit, the other machines as a graph of their states. */
function drawing(table) {
  const flags = table.states.some((state) => typeof state.value === "number");
  return flags ? new Regions(table) : new Diagram(table);
}
