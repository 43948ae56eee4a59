// A machine of plain states as a graph: from the first state to the right, ways back below.

import { h, s } from "./dom.js";
import { standingTable, tone } from "./regions.js";

const BOX = { w: 140, h: 52 };
const GAP = { x: 110, y: 46 };
const EDGE = 20;
const LANE = 34; // between two long ways

export class Diagram {
  constructor(table) {
    this.table = table;
    const columns = layers(table);
    const arrows = gathered(table, columns);
    const rows = Math.max(...[...columns.values()].map((column) => [...columns.values()].filter((one) => one === column).length));
    const last = Math.max(...columns.values());
    const middle = (rows * (BOX.h + GAP.y) - GAP.y) / 2;
    const top = EDGE + lanes(arrows.filter((arrow) => arrow.way === "above"));
    this._at = new Map();
    for (let column = 0; column <= last; column += 1) {
      const names = [...columns].filter(([, one]) => one === column).map(([name]) => name);
      const high = names.length * (BOX.h + GAP.y) - GAP.y;
      names.forEach((name, row) => this._at.set(name, { x: EDGE + column * (BOX.w + GAP.x), y: top + middle - high / 2 + row * (BOX.h + GAP.y) }));
    }
    const bottom = Math.max(...[...this._at.values()].map(({ y }) => y)) + BOX.h;
    this._top = Math.min(...[...this._at.values()].map(({ y }) => y));
    this._bottom = bottom;
    const beside = Math.max(0, ...arrows.filter((arrow) => arrow.way === "above").map((arrow) => 8 + 8 * arrow.lane));
    this._width = (last + 1) * (BOX.w + GAP.x) - GAP.x + 2 * EDGE + beside;
    this._height = bottom + EDGE + lanes(arrows.filter((arrow) => arrow.way === "below"));
    this._arrows = arrows;
  }

  draw(standing) {
    const holders = new Map();
    for (const { name, states } of standing) for (const state of states) holders.set(state, [...(holders.get(state) ?? []), name]);
    return [
      h("div", { class: "canvas" },
        s("svg", { class: "diagram", width: this._width, height: this._height, viewBox: `0 0 ${this._width} ${this._height}`, role: "img", "aria-label": this._told(holders) },
          s("defs", null, s("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, s("path", { d: "M0 0L8 4L0 8z", class: "tip" }))),
          this._arrows.map((arrow) => this._arrow(arrow)),
          [...this._at].map(([name, at]) => state(name, at, holders.get(name) ?? [])))),
      standingTable(standing),
    ];
  }

  _told(holders) {
    const now = [...holders].map(([name, names]) => `${names.join(", ")}: ${name}`).join("; ");
    return `States of ${this.table.name}. Now: ${now || "nobody"}`;
  }

  _arrow({ from, to, events, way, lane, shift }) {
    const [a, b] = [this._at.get(from), this._at.get(to)];
    const { d, label } = this._way(a, b, way, lane, shift);
    return s("g", { class: "arrow", "data-key": `${from} ${to}` },
      s("path", { d, "marker-end": "url(#tip)" }),
      s("text", { x: label.x, y: label.y, "text-anchor": "middle" }, events.join(", ")));
  }

  _way(a, b, way, lane, shift) {
    if (way === "next") {
      const [x1, y1, x2, y2] = [a.x + BOX.w, a.y + BOX.h / 2, b.x - 1, b.y + BOX.h / 2];
      const bend = (x2 - x1) / 2;
      const label = { x: x1 + 0.6 * (x2 - x1), y: y1 + 0.7 * (y2 - y1) - 5 };
      return { d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`, label };
    }
    if (way === "above") {
      // into the side that looks away: boxes of the same column are not crossed
      const high = this._top - LANE * lane;
      const x1 = a.x + BOX.w / 2 + shift;
      const [x2, y2] = [b.x + BOX.w + 1, b.y + BOX.h / 2];
      const out = x2 + 8 + 8 * lane;
      return { d: rounded([[x1, a.y], [x1, high], [out, high], [out, y2], [x2, y2]]), label: { x: (x1 + b.x) / 2, y: high + 4 } };
    }
    const low = this._bottom + LANE * lane;
    const [x1, x2] = [a.x + BOX.w / 2 - shift, b.x + BOX.w / 2 + shift];
    return { d: rounded([[x1, a.y + BOX.h], [x1, low], [x2, low], [x2, b.y + BOX.h + 2]]), label: { x: (x1 + x2) / 2, y: low + 4 } };
  }
}

/** A way along corners that are rounded off. */
function rounded(points) {
  let d = `M${points[0].join(" ")}`;
  for (let at = 1; at < points.length - 1; at += 1) {
    const [from, corner, to] = points.slice(at - 1, at + 2);
    const near = (end) => {
      const long = Math.hypot(end[0] - corner[0], end[1] - corner[1]) || 1;
      const part = Math.min(12, long / 2) / long;
      return [corner[0] + (end[0] - corner[0]) * part, corner[1] + (end[1] - corner[1]) * part].join(" ");
    };
    d += `L${near(from)}Q${corner.join(" ")} ${near(to)}`;
  }
  return `${d}L${points.at(-1).join(" ")}`;
}

function state(name, { x, y }, names) {
  const lit = names.length > 0;
  return s("g", { class: `state ${lit ? "lit" : ""} ${tone(name)}`, "data-key": name },
    s("rect", { x, y, width: BOX.w, height: BOX.h, rx: 9 }),
    s("text", { x: x + BOX.w / 2, y: y + (lit ? 22 : 31), "text-anchor": "middle" }, name),
    lit ? s("text", { class: "who", x: x + BOX.w / 2, y: y + 40, "text-anchor": "middle" }, names.length === 1 ? short(names[0]) : `${names.length} now`) : null);
}

function short(name) {
  return name.length > 20 ? `${name.slice(0, 19)}…` : name;
}

function lanes(arrows) {
  return arrows.length ? LANE * Math.max(...arrows.map((arrow) => arrow.lane)) + 8 : 0;
}

/** The column of each state: the longest way from the first one that goes nowhere twice. */
function layers(table) {
  const next = (state) => [...new Set(table.rules.filter((rule) => rule.source === state).map((rule) => rule.target))];
  const columns = new Map();
  const walk = (state, depth, way) => {
    if (way.has(state) || depth <= (columns.get(state) ?? -1)) return;
    columns.set(state, depth);
    for (const target of next(state)) walk(target, depth + 1, new Set([...way, state]));
  };
  walk(table.initial, 0, new Set());
  for (const { name } of table.states) if (!columns.has(name)) columns.set(name, 0);
  const last = Math.max(...columns.values());
  for (const { name } of table.states) if (!next(name).length) columns.set(name, last); // the ends are at the end
  return columns;
}

/** One arrow for all events between two states, and which way it goes. */
function gathered(table, columns) {
  const found = new Map();
  for (const { source, target, event } of table.rules) {
    const key = `${source} ${target}`;
    const arrow = found.get(key) ?? { from: source, to: target, events: [] };
    if (!arrow.events.includes(event)) arrow.events.push(event);
    found.set(key, arrow);
  }
  const arrows = [...found.values()];
  const used = { above: 0, below: 0 };
  for (const arrow of arrows) arrow.span = columns.get(arrow.to) - columns.get(arrow.from);
  const order = (arrow) => (arrow.span > 0 ? arrow.span : -arrow.span);
  for (const arrow of [...arrows].sort((one, other) => order(one) - order(other))) {
    arrow.way = arrow.span === 1 ? "next" : arrow.span > 1 ? "above" : "below";
    if (arrow.way === "next") continue;
    used[arrow.way] += 1;
    arrow.lane = used[arrow.way];
    arrow.shift = Math.max(6, 44 - 12 * arrow.lane);
  }
  return arrows;
}
