// The tree, a directory at a time: what is in it, how large, how lately it changed, and whether it is quiet.

import { h, link, show } from "./dom.js";
import { Entry } from "./entry.js";
import { get } from "./server.js";
import { treemap, warmth } from "./treemap.js";
import { BADGES, FLAGS } from "./trust.js";
import { ago, bytesOf, count, nameOf, parameters, parent, pathOf, placeOf, seconds, shown, size, steps } from "./words.js";

const LIMIT = 5000;
const ROWS = 400;
const MAP_HEIGHT = 250;
const RENEWED_MS = 1500;
const ORDERS = {
  size: (one, other) => other.bytes - one.bytes,
  changed: (one, other) => other.changed - one.changed,
  name: (one, other) => (one.text < other.text ? -1 : 1),
};

export class Files {
  constructor(live, onChange) {
    this._live = live;
    this._onChange = onChange;
    this._order = "size";
    this._entry = new Entry(live, onChange);
    this._listed = null;
    this._error = null;
    this._askedAt = 0;
    this._told = "";
    this._busy = false;
  }

  /** Another place: `#/files/VIEW?path=…`. */
  enter({ rest, query }) {
    const names = Object.keys(this._live.state.views);
    this._view = rest[0] ?? names[0];
    const packed = query.get("path_b64");
    this._path = bytesOf(packed === null ? { path: query.get("path") ?? "/" } : { path_b64: packed });
    this._listed = this._error = null;
    this._askedAt = 0;
    this._told = "";
    this._entry.enter(this._view, this._path);
  }

  draw() {
    if (!this._view) this.enter({ rest: [], query: new URLSearchParams() });
    if (!this._view) return h("p", { class: "empty" }, "No views here.");
    this._renew();
    return [this._where(), h("div", { class: "files-body", "data-key": "body" },
      h("section", { class: "listing", "data-key": "listing", "aria-label": "Contents" }, this._contents()),
      h("aside", { "data-key": "aside", "aria-label": "What is known of it" }, this._entry.draw()))];
  }

  _where() {
    const views = Object.keys(this._live.state.views);
    const way = steps(this._path);
    return h("div", { class: "where", "data-key": "where" },
      views.length > 1
        ? h("select", { "aria-label": "View", onchange: (event) => (location.hash = placeOf(event.target.value, bytesOf({ path: "/" }))) },
            views.map((name) => h("option", { value: name, selected: name === this._view }, name)))
        : h("span", { class: "dim" }, this._view),
      h("h1", { class: "crumbs mono" }, way.map(({ bytes, name }, at) => [
        at > 1 ? h("span", { class: "dim", "data-key": `/${at}` }, "/") : null,
        link(placeOf(this._view, bytes), name, { "data-key": `crumb ${at}`, "aria-current": at === way.length - 1 ? "true" : null }),
      ])));
  }

  _contents() {
    if (this._error) return refusal(this._error);
    if (!this._listed) return h("p", { class: "empty" }, "Asking…");
    const { entries, entry, next_cursor: more } = this._listed;
    if (entry && entry.type !== "dir") return h("p", { class: "empty" }, "No directory. What is known of it stands beside.");
    const now = this._live.now();
    const items = entries.map((one) => this._item(one)).sort(ORDERS[this._order]);
    if (!items.length) return h("p", { class: "empty" }, "Empty.");
    const most = Math.max(1, ...items.map((item) => item.bytes));
    const deep = items.some((item) => item.files !== undefined);
    const open = (one) => (location.hash = placeOf(this._view, bytesOf(one)));
    return [
      treemap([...items].sort(ORDERS.size), now, open, document.querySelector(".listing")?.clientWidth || 740, MAP_HEIGHT),
      h("table", { class: "entries" },
        h("thead", null, h("tr", null, this._head("name", "Name"), this._head("size", "Size"), deep ? h("th", { class: "number wide" }, "Files") : null, this._head("changed", "Changed"))),
        h("tbody", null, items.slice(0, ROWS).map((item) => this._row(item, most, now, deep)))),
      items.length > ROWS || more
        ? h("p", { class: "dim" }, `${count(Math.min(ROWS, items.length))} of ${more ? "more than " : ""}${count(items.length)}; find the others by name, key /.`) : null,
    ];
  }

  _item(entry) {
    const rollup = entry.rollup;
    const changed = Math.max(rollup?.newest_mtime_ns ?? 0, rollup ? 0 : entry.mtime_ns ?? 0) / 1e9;
    return { entry, text: nameOf(entry), key: pathOf(entry), bytes: rollup ? rollup.bytes : entry.type === "file" ? entry.size : 0, changed, files: rollup?.files };
  }

  _head(order, text) {
    const current = this._order === order;
    return h("th", { class: order === "name" ? "" : "number", "aria-sort": current ? (order === "name" ? "ascending" : "descending") : null },
      h("button", { class: "sort", onclick: () => { this._order = order; this._onChange(); } }, text, current ? h("span", { "aria-hidden": "true" }, order === "name" ? " ↑" : " ↓") : null));
  }

  _row(item, most, now, deep) {
    const { entry } = item;
    const doubts = doubtsOf(entry);
    return h("tr", { "data-key": item.key, class: `warm${warmth(item, now)}` },
      h("td", { class: "name" },
        link(placeOf(this._view, bytesOf(entry)), [h("span", { class: `kind ${entry.type}`, "aria-hidden": "true" }), item.text], { class: "mono" }),
        doubts.map((flag) => h("span", { class: `flag ${flag}`, title: FLAGS[flag] }, BADGES[flag]))),
      h("td", { class: "number" }, h("i", { class: "bar", style: { "--part": (item.bytes / most).toFixed(4) } }), h("span", { class: "amount" }, size(item.bytes))),
      deep ? h("td", { class: "number wide" }, item.files === undefined ? "" : count(item.files)) : null,
      h("td", { class: "number" }, item.changed ? ago(now - item.changed) : ""));
  }

  _renew() {
    const view = this._live.state.views[this._view];
    const told = `${view?.quality?.as_of} ${view?.files} ${view?.bytes}`;
    if (this._busy || told === this._told || Date.now() - this._askedAt < RENEWED_MS) return;
    Object.assign(this, { _busy: true, _askedAt: Date.now(), _told: told });
    const [name, path] = [this._view, this._path];
    get(`/views/${encodeURIComponent(name)}/ls`, { ...parameters(path), limit: LIMIT })
      .then((listed) => { if (this._view === name && this._path === path) [this._listed, this._error] = [listed, null]; })
      .catch((error) => { if (this._view === name && this._path === path) this._error = error; })
      .finally(() => { this._busy = false; this._onChange(); });
    this._entry.renew();
  }

  /** Up and down in the list, and to the directory above. */
  pressed(event) {
    const rows = [...document.querySelectorAll(".entries tbody a")];
    const at = rows.indexOf(document.activeElement);
    if (event.key === "ArrowDown") rows[Math.min(at + 1, rows.length - 1)]?.focus();
    else if (event.key === "ArrowUp") rows[Math.max(at - 1, 0)]?.focus();
    else if (event.key === "Backspace" && parent(this._path)) location.hash = placeOf(this._view, parent(this._path));
    else return false;
    return true;
  }
}

/** Doubts about an entry, or about something below it. */
export function doubtsOf(entry) {
  const found = new Set((entry.flags ?? []).filter((flag) => flag in FLAGS));
  if (entry.rollup?.suspects) found.add("suspect");
  if (entry.rollup?.debts) found.add("debt");
  if (entry.rollup?.blind) found.add("blind");
  return [...found];
}

export function refusal(error) {
  return h("p", { class: "empty", role: "alert" }, `${error.message}. ${error.remedy}`);
}
