// Names that fit a pattern, over all views.

import { h, link } from "./dom.js";
import { doubtsOf, refusal } from "./files.js";
import { get } from "./server.js";
import { FLAGS } from "./trust.js";
import { ago, bytesOf, count, counted, pathOf, placeOf, size } from "./words.js";

const LIMIT = 200;

export class Search {
  constructor(live, onChange) {
    this._live = live;
    this._onChange = onChange;
    this._found = new Map(); // view → matches, or the error
    this._pattern = "";
  }

  enter({ query }) {
    const typed = query.get("q") ?? "";
    this._pattern = /[*?[]/.test(typed) ? typed : `*${typed}*`;
    this._found = new Map();
    for (const view of Object.keys(this._live.state.views)) this._ask(view, this._pattern);
  }

  async _ask(view, pattern) {
    const asked = get(`/views/${encodeURIComponent(view)}/find`, { pattern, limit: LIMIT, ignore_case: true });
    const answer = await asked.catch((error) => error);
    if (pattern === this._pattern) this._found.set(view, answer);
    this._onChange();
  }

  draw() {
    const views = Object.keys(this._live.state.views);
    if (views.some((view) => !this._found.has(view)) && !this._found.size) views.forEach((view) => this._ask(view, this._pattern));
    const total = [...this._found.values()].reduce((sum, one) => sum + (one.matches?.length ?? 0), 0);
    return [
      h("h1", { "data-key": "h" }, `${counted(total, "match", "matches")} for `, h("span", { class: "mono" }, this._pattern)),
      views.map((view) => this._in(view)),
    ];
  }

  _in(view) {
    const found = this._found.get(view);
    if (!found) return h("p", { class: "empty", "data-key": view }, `Looking in ${view}…`);
    if (!found.matches) return refusal(found);
    const now = this._live.now();
    return h("section", { "data-key": view, "aria-label": view },
      h("h2", null, view, h("span", { class: "dim" }, ` ${count(found.matches.length)}${found.next_cursor ? " and more" : ""}`)),
      h("table", { class: "entries" }, h("tbody", null, found.matches.map((entry) => h("tr", { "data-key": pathOf(entry) },
        h("td", { class: "name" }, link(placeOf(view, bytesOf(entry)), [h("span", { class: `kind ${entry.type}`, "aria-hidden": "true" }), pathOf(entry)], { class: "mono" }),
          doubtsOf(entry).map((flag) => h("span", { class: `flag ${flag}`, title: FLAGS[flag] }, flag))),
        h("td", { class: "number" }, size(entry.rollup?.bytes ?? entry.size)),
        h("td", { class: "number" }, entry.mtime_ns ? ago(now - entry.mtime_ns / 1e9) : ""))))));
  }

  pressed(event) {
    const rows = [...document.querySelectorAll(".entries a")];
    const at = rows.indexOf(document.activeElement);
    if (event.key === "ArrowDown") rows[Math.min(at + 1, rows.length - 1)]?.focus();
    else if (event.key === "ArrowUp") rows[Math.max(at - 1, 0)]?.focus();
    else return false;
    return true;
  }
}
