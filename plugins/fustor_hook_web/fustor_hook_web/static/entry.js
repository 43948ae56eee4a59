// One path: whether it is quiet, what is known of it, and the evidence for that.

import { h, link } from "./dom.js";
import { get, post } from "./server.js";
import { FLAGS, ORIGINS, reasonText, VERDICTS } from "./trust.js";
import { ago, bytesOf, count, day, nameOf, parameters, pathOf, placeOf, seconds, settledOf, shown, size, span } from "./words.js";

const CLAIMS = 12;
const EXAMPLES = 3;

export class Entry {
  constructor(live, onChange) {
    this._live = live;
    this._onChange = onChange;
    this._stable = this._explained = this._error = this._job = null;
  }

  enter(view, path) {
    Object.assign(this, { _view: view, _path: path, _stable: null, _explained: null, _error: null, _job: null });
  }

  /** Asks again; the answers are drawn when they come. */
  renew() {
    const [view, path] = [this._view, this._path];
    const place = `/views/${encodeURIComponent(view)}`;
    const asked = Promise.all([
      get(`${place}/stable`, { ...parameters(path), for: this._asked() }),
      get(`${place}/explain`, { ...parameters(path), limit: CLAIMS }),
    ]);
    asked
      .then(([stable, explained]) => { if (this._path === path) Object.assign(this, { _stable: stable, _explained: explained, _error: null, _at: this._live.now() }); })
      .catch((error) => { if (this._path === path) this._error = error; })
      .finally(this._onChange);
  }

  /** For how long it should have been quiet, in s: as long as its view wants. */
  _asked() {
    return settledOf(this._live.state.views[this._view]);
  }

  draw() {
    if (this._error) return h("p", { class: "empty" }, this._error.message);
    if (!this._stable) return h("p", { class: "empty" }, "Asking…");
    return [this._quiet(), this._known(), this._evidence()];
  }

  _quiet() {
    const { stable, quiet_for_s: told, last_change: last, reasons, quality } = this._stable;
    const now = this._live.now();
    const quiet = told === null || told === undefined ? null : told + (now - this._at);
    const [kind, text] = stable === null ? ["doubt", "cannot be said"] : stable ? ["good", "yes"] : ["busy", "no"];
    const part = quiet === null ? 0 : Math.min(1, quiet / this._asked());
    return h("section", { class: "stable", "data-key": "stable" },
      h("h2", null, "Is it stable?"),
      h("p", { class: `answer ${kind}` }, text),
      quiet === null ? null : h("p", { class: "dim" }, `quiet for ${span(quiet)}; asked about ${span(this._asked())}`),
      h("i", { class: "quietness", style: { "--part": part.toFixed(3) } }),
      reasons?.length ? h("ul", { class: "reasons" }, reasons.map((reason) => this._reason(reason))) : null,
      last ? h("p", null, "Last change: ", link(placeOf(this._view, bytesOf(last)), pathOf(last), { class: "mono" }), `, ${ago(now - seconds(last.at))}, ${ORIGINS[last.origin] ?? last.origin}.`) : null,
      quality && !quality.complete ? h("p", { class: "doubt" }, "Not everything here has been listed.") : null,
      this._scan());
  }

  _reason(reason) {
    const examples = (reason.examples ?? []).slice(0, EXAMPLES).map((one) => bytesOf(typeof one === "string" ? { path: one } : one));
    return h("li", { "data-key": reason.kind }, reasonText(reason),
      h("ul", { class: "examples" }, examples.map((bytes) => h("li", null, link(placeOf(this._view, bytes), shown(bytes), { class: "mono" })))));
  }

  _scan() {
    const job = this._job && (this._live.state.jobs[this._job.id] ?? this._job);
    return h("p", { class: "actions" },
      h("button", { onclick: () => this._look() }, "Look again now"),
      job ? h("span", { class: "dim" }, ` ${job.state}${job.error ? `: ${job.error}` : ""}`) : null);
  }

  async _look() {
    try {
      this._job = await post(`/views/${encodeURIComponent(this._view)}/scan`, { ...parameters(this._path), recursive: true });
    } catch (error) {
      this._job = { id: "", state: "refused", error: error.message };
    }
    this._onChange();
  }

  _known() {
    const { entry, existence } = this._explained;
    if (!entry) return h("section", { "data-key": "known" }, h("h2", null, "What is known"), h("p", null, existence === "absent" ? "It is not there; the directory above was listed whole." : "Whether it is there is not known."));
    const rollup = entry.rollup;
    const rows = [
      ["kind", entry.type],
      rollup ? ["holds", `${count(rollup.files)} files, ${count(rollup.dirs)} directories, ${size(rollup.bytes)}`] : ["size", `${size(entry.size)} (${count(entry.size)} bytes)`],
      ["modified", entry.mtime_ns ? day(entry.mtime_ns / 1e9) : "not known"],
      ["mode", entry.mode === null ? "" : `${(entry.mode & 0o7777).toString(8).padStart(4, "0")}, owner ${entry.uid}:${entry.gid}`],
      entry.nlink > 1 && entry.type !== "dir" ? ["links", count(entry.nlink)] : null,
      ["known by", ORIGINS[entry.origin] ?? entry.origin],
      ...(entry.flags ?? []).map((flag) => ["doubt", FLAGS[flag] ?? flag]),
    ];
    return h("section", { "data-key": "known" }, h("h2", null, "What is known"),
      h("dl", null, rows.filter(Boolean).map(([word, value]) => h("div", { class: "row" }, h("dt", null, word), h("dd", null, value)))));
  }

  _evidence() {
    const { claims, quality, entry } = this._explained;
    if (!claims?.length) return null;
    const wall = (us) => seconds(quality.as_of) + (us - quality.as_of_us) / 1e6;
    return h("section", { class: "claims", "data-key": "claims" },
      h("h2", null, "Why it is believed"),
      h("ol", null, [...claims].reverse().map((claim, at) => h("li", { class: claim.verdict, "data-key": `${claim.at_us} ${at}` },
        h("b", null, VERDICTS[claim.verdict] ?? claim.verdict),
        ` ${quality.as_of_us === null ? "" : ago(this._live.now() - wall(claim.at_us))}, ${ORIGINS[claim.origin] ?? claim.origin}`,
        claim.agent ? ` by ${claim.agent}` : "",
        h("span", { class: "dim" }, claim.value ? `: ${claim.value.type ?? "entry"}, ${size(claim.value.size)}` : entry ? "" : ": not there"),
        claim.rule && claim.rule !== "held" ? h("span", { class: "rule mono" }, claim.rule) : null))));
  }
}
