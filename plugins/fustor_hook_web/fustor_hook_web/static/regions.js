// A machine of flags: a region for each bit, off or on, with what sets and what drops it.

import { h, s } from "./dom.js";

export class Regions {
  constructor(table) {
    this.table = table;
    const zero = table.states.find((state) => state.value === 0)?.name;
    this._bits = table.states.filter((state) => state.value > 0).map(({ name }) => ({
      name,
      setBy: events(table, (rule) => bits(rule.target).has(name) && !bits(rule.source).has(name)),
      droppedBy: events(table, (rule) => bits(rule.clear).has(name) && !bits(rule.target).has(name)),
    })).filter((bit) => bit.setBy.length);
    this._zero = zero;
  }

  draw(standing) {
    return [
      standingTable(standing),
      h("div", { class: "regions" }, this._bits.map((bit) => this._region(bit, standing))),
      h("p", { class: "why" }, `No bit set is ${this._zero}. Names beside a lamp are those whose bit is set now.`),
    ];
  }

  _region(bit, standing) {
    const holders = standing.filter(({ states }) => states.includes(bit.name)).map(({ name }) => name);
    const lit = holders.length > 0;
    return h("article", { class: `region ${lit ? "lit" : ""} ${tone(bit.name)}`, "data-key": bit.name, "aria-label": `${bit.name}, ${lit ? "set" : "not set"}` },
      s("svg", { viewBox: "0 0 120 64", "aria-hidden": "true" },
        s("path", { class: "arc", d: "M30 24C44 6 76 6 88 22", "marker-end": "none" }),
        s("path", { class: "tip", d: "M84 15l5 8-9 0z" }),
        s("path", { class: "arc", d: "M90 42C76 58 44 58 32 44" }),
        s("path", { class: "tip", d: "M36 51l-5-8 9 0z" }),
        s("circle", { class: "off", cx: 24, cy: 33, r: 9 }),
        s("circle", { class: "on", cx: 96, cy: 33, r: 11 })),
      h("div", null,
        h("h3", null, bit.name),
        h("p", null, h("span", { class: "dim" }, "set by "), bit.setBy.join(", ")),
        h("p", null, h("span", { class: "dim" }, "dropped by "), bit.droppedBy.join(", ") || "nothing"),
        lit ? h("p", { class: "holders mono" }, holders.slice(0, 4).join(", "), holders.length > 4 ? ` and ${holders.length - 4} more` : "") : null));
  }
}

/** Everybody with the states they are in. */
export function standingTable(standing) {
  if (!standing.length) return h("p", { class: "dim" }, "Nobody has such a machine here at the moment.");
  return h("table", { class: "standing" }, h("tbody", null, standing.map(({ name, states }) => h("tr", { "data-key": name },
    h("th", { scope: "row", class: "mono" }, name),
    h("td", null, states.map((state) => h("span", { class: `chip lit ${tone(state)}` }, state)))))));
}

function bits(spelled) {
  return new Set((spelled ?? "").split("|"));
}

function events(table, fits) {
  return [...new Set(table.rules.filter(fits).map((rule) => rule.event))];
}

/** The colour of a state by its meaning. */
export function tone(state) {
  if (["ERROR", "EXPIRED"].includes(state)) return "bad";
  if (["PAUSED", "RECONNECTING", "CONF_OUTDATED", "STALE", "LAPSED", "VACANT", "OBSOLETE", "CLOSED", "STOPPED", "STOPPING", "DRAINING"].includes(state)) return "doubt";
  if (["SNAPSHOT_PHASE", "AUDIT_PHASE", "INITIALIZING", "ESTABLISHING", "ELECTED"].includes(state)) return "busy";
  return "good";
}
