// The first look: what is being written and why, and how far each view can be trusted.

import { figure, h, link } from "./dom.js";
import { post } from "./server.js";
import { sparkline } from "./spark.js";
import { doing, verdict } from "./trust.js";
import { ago, bytesOf, count, counted, pathOf, placeOf, seconds, shown, size, span, steps } from "./words.js";
import { activeOf, Writing } from "./writing.js";

const SHOWN = 12;

export class Overview {
  constructor(live, onChange) {
    this._live = live;
    this._onChange = onChange;
    this._writing = new Writing(live, onChange);
    this._told = "";
  }

  draw() {
    const views = Object.entries(this._live.state.views);
    const written = this._writing.directories();
    const now = this._live.now();
    return [
      h("h1", { "data-key": "headline" }, headline(views, written, this._live)),
      written.length ? this._written(written, now) : null,
      h("section", { "data-key": "views", "aria-label": "Views" },
        views.length ? views.map(([name, view]) => this._view(name, view, now)) : nothing()),
      this._trouble(),
      this._foot(),
    ];
  }

  _written(directories, now) {
    const more = directories.length - SHOWN;
    return h("section", { class: "written", "data-key": "written", "aria-label": "Being written" },
      h("h2", null, written(directories, now)),
      h("ul", null, directories.slice(0, SHOWN).map((one) => directoryRow(one, now))),
      more > 0 ? h("p", { class: "dim" }, `and ${counted(more, "other directory", "other directories")}`) : null,
      h("p", { class: "why" }, `What changed a moment ago may change again. After ${settleTimes(directories)} of quiet it counts as settled.`),
    );
  }

  _view(name, view, now) {
    const said = verdict(view, now, this._live.growth(name) !== 0);
    const quality = view.quality ?? {};
    const growth = this._live.growth(name);
    const last = this._writing.last(name);
    const root = view.root === null ? "" : pathOf(view, "root");
    return h("article", { class: "view", "data-key": `view ${name}`, "aria-label": `View ${name}` },
      h("header", null,
        h("h2", null, link(placeOf(name, bytesOf({ path: "/" })), name)),
        h("span", { class: `verdict ${said.kind}` }, said.text),
        h("span", { class: "root mono", title: "Where it lies on its host" }, root),
      ),
      h("p", { class: "why" }, said.why, last ? [" Last change: ", link(placeOf(name, bytesOf(last)), pathOf(last), { class: "mono" }), `, ${ago(now - last.at)}.`] : null),
      h("div", { class: "figures" },
        figure(size(view.bytes), growth ? `${growth > 0 ? "+" : ""}${size(growth)}/s` : "in all", "large"),
        h("div", { class: "spark" }, sparkline(this._live.series.get(name) ?? [], now)),
        figure(count(view.files), "files"),
        figure(count(view.dirs), "directories"),
        doubt(name, quality.suspects, "may still grow", "busy"),
        doubt(name, quality.debts, "disputed", "doubt"),
        doubt(name, quality.blind, "changed unseen", "doubt"),
        doubt(name, quality.unscanned_total, "not listed", "doubt"),
      ),
      quality.frozen ? this._frozen(name) : null,
      h("p", { class: "fed dim" }, fed(view, now)),
    );
  }

  _frozen(name) {
    const decide = async (reject) => {
      this._told = "";
      await post(`/views/${encodeURIComponent(name)}/confirm`, { reject }).catch((error) => (this._told = `${error.message}. ${error.remedy}`));
      this._onChange();
    };
    return h("p", { class: "actions" },
      this._told ? h("span", { class: "wrong", role: "alert" }, this._told) : null,
      h("button", { onclick: () => decide(false) }, "It is right, remove"),
      h("button", { onclick: () => decide(true) }, "Throw the scan away"));
  }

  _trouble() {
    const troubled = Object.values(this._live.state.pipes)
      .map((pipe) => [pipe, doing(pipe)])
      .filter(([, did]) => did.kind === "bad" || did.kind === "doubt");
    if (!troubled.length) return null;
    return h("section", { class: "trouble", "data-key": "trouble", "aria-label": "Pipes in trouble" },
      h("h2", null, "Pipes that do not feed"),
      h("ul", null, troubled.map(([pipe, did]) => h("li", { "data-key": pipe.id }, link("#/flow", pipe.id), " ", h("span", { class: `verdict ${did.kind}` }, did.text)))));
  }

  _foot() {
    const { version, roles } = this._live.state.process;
    return h("p", { class: "foot dim", "data-key": "foot" }, `fustor ${version}, ${(roles ?? []).join(" and ")}. `, "Press ? for keys.");
  }
}

/** One sentence for all of it. */
function headline(views, written, live) {
  if (!views.length) return "No views here.";
  const now = live.now();
  const kinds = views.map(([name, view]) => [name, verdict(view, now, live.growth(name) !== 0)]);
  const bad = kinds.filter(([, said]) => said.kind === "bad");
  if (bad.length) return bad.length === 1 ? `${bad[0][0]}: ${bad[0][1].text}.` : `${bad.length} views need a look.`;
  const active = written.filter((one) => isActive(one, now));
  if (active.length === 1) {
    return [link(placeOf(active[0].view, active[0].bytes), shown(active[0].bytes), { class: "mono" }), " is being written."];
  }
  if (active.length) return `${active.length} directories are being written.`;
  if (written.length) return written.length === 1 ? "One directory settles." : `${written.length} directories settle.`;
  const doubts = kinds.filter(([, said]) => said.kind === "doubt");
  if (doubts.length) return doubts.length === 1 ? `${doubts[0][0]} is ${doubts[0][1].text}.` : `${doubts.length} views are not certain.`;
  return "All is quiet, and complete.";
}

function written(directories, now) {
  return directories.some((one) => isActive(one, now)) ? "Being written" : "Settling";
}

/** `30 s`; `30 s to 2 min` where views differ. */
function settleTimes(directories) {
  const times = directories.map((one) => one.settled);
  const [least, most] = [Math.min(...times), Math.max(...times)].map(span);
  return least === most ? least : `${least} to ${most}`;
}

function settling(left) {
  return left > 1 ? `settles in ${span(left)}` : "not settled yet";
}

function isActive(one, now) {
  return one.rate > 0 || now - one.newest < activeOf(one.settled);
}

function directoryRow(one, now) {
  const quiet = Math.max(0, now - one.newest);
  const left = Math.max(0, 1 - quiet / one.settled);
  const others = [
    one.files.size > 1 ? `${counted(one.files.size, "file")} changed there a moment ago` : "",
    one.created > 1 ? `${count(one.created)} of them new` : "",
    one.deleted ? `${count(one.deleted)} removed` : "",
  ].filter(Boolean).join(", ");
  return h("li", { "data-key": one.key, class: isActive(one, now) ? "active" : "settling" },
    h("i", { class: "heat", title: `quiet for ${span(quiet)}`, style: { "--left": left.toFixed(3) } }),
    h("div", null,
      link(placeOf(one.view, one.bytes), shown(one.bytes), { class: "path mono" }),
      h("span", { class: "dim" }, ` in ${one.view}`),
      h("p", { class: "why" }, "because ", link(placeOf(one.view, one.by.bytes), steps(one.by.bytes).at(-1).name, { class: "mono" }),
        ` was ${one.by.what} ${ago(quiet)}`, one.rate > 0 ? " and grows" : "", others ? `; ${others}` : ""),
    ),
    h("b", { class: "rate" }, one.rate > 0 ? `+${size(one.rate)}/s` : isActive(one, now) ? "" : settling(one.settled - quiet)),
  );
}

function doubt(view, number, word, kind) {
  const element = figure(count(number), word, number ? kind : "none");
  element.title = `${word}: ${count(number)}`;
  return element;
}

function fed(view, now) {
  const leader = view.leader ? `Led by ${view.leader.agent} for ${span(now - seconds(view.leader.since))}` : "Nobody leads it";
  const sessions = view.sessions === undefined ? "" : `, ${counted(view.sessions, "session")}`;
  const audit = view.last_audit ? `, last audit ${ago(now - seconds(view.last_audit.at))}` : ", no audit yet";
  return `${leader}${sessions}${audit}.`;
}

function nothing() {
  return h("p", { class: "empty" }, "This process keeps no view. Pipes that feed views elsewhere are under ", link("#/flow", "Flow"), ".");
}
