// Scans that somebody asked for.

import { h, link } from "./dom.js";
import { remove } from "./server.js";
import { ago, bytesOf, count, pathOf, placeOf, seconds, span } from "./words.js";

const KINDS = { pending: "doubt", running: "busy", completed: "good", failed: "bad", cancelled: "doubt" };

export class Jobs {
  constructor(live, onChange) {
    this._live = live;
    this._onChange = onChange;
    this._told = "";
  }

  draw() {
    const jobs = Object.values(this._live.state.jobs).sort((one, other) => (one.created_at < other.created_at ? 1 : -1));
    const open = jobs.filter((job) => job.finished_at === null).length;
    return [
      h("h1", { "data-key": "h" }, open ? `${count(open)} at work.` : "Nothing is being looked at on request."),
      this._told && h("p", { class: "notice", role: "alert", "data-key": "told" }, this._told),
      jobs.length
        ? h("ul", { class: "jobs", "data-key": "jobs" }, jobs.map((job) => this._job(job)))
        : h("p", { class: "empty", "data-key": "none" }, "Under ", link("#/files", "Files"), ", “Look again now” asks for a scan of a directory."),
    ];
  }

  _job(job) {
    const now = this._live.now();
    const ended = job.finished_at === null ? now : seconds(job.finished_at);
    const { directories, entries } = job.progress;
    const found = job.result ? `${count(job.result.entries)} entries, ${count(job.result.changed)} changed` : `${count(directories)} directories, ${count(entries)} entries so far`;
    return h("li", { "data-key": job.id },
      h("span", { class: `verdict ${KINDS[job.state]}` }, job.state),
      h("div", null,
        link(placeOf(job.view, bytesOf(job)), pathOf(job), { class: "path mono" }), h("span", { class: "dim" }, ` in ${job.view}`),
        h("p", { class: "why" }, `${found}; took ${span(ended - seconds(job.created_at))}${job.agent ? ` on ${job.agent}` : ""}, asked for ${ago(now - seconds(job.created_at))}`),
        job.error ? h("p", { class: "wrong" }, job.error) : null),
      job.finished_at === null ? h("button", { onclick: () => this._cancel(job.id) }, "Cancel") : null);
  }

  async _cancel(id) {
    this._told = "";
    await remove(`/jobs/${encodeURIComponent(id)}`).catch((error) => {
      this._told = error.message;
    });
    this._onChange();
  }
}
