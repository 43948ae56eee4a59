// What is being written now, by directory: files that may still grow, and the changes of the last moments.

import { get } from "./server.js";
import { bytesOf, parent, seconds, settledOf, shown } from "./words.js";

const LIMIT = 500;
const PAUSE_MS = 1000;
const RATE_S = 10;
const ACTIVE_S = 10;

/** What changed so lately is being written; the rest settles. */
export function activeOf(settled) {
  return Math.min(ACTIVE_S, settled / 3);
}

/** Asks again while a view says that something in it changes or may still grow. */
export class Writing {
  constructor(live, onChange) {
    this._live = live;
    this._onChange = onChange;
    this._views = new Map(); // view → what is known of it
    this._sizes = new Map(); // view + path → [{at, size}]
  }

  /** Every directory in which something was written a moment ago, the latest first. */
  directories() {
    const found = [];
    for (const [name, view] of Object.entries(this._live.state.views)) {
      this._ask(name, view);
      found.push(...this._directories(name));
    }
    return found.sort((one, other) => other.rate - one.rate || other.newest - one.newest);
  }

  /** The last change of a view: `{at, path, origin}`. */
  last(name) {
    return this._views.get(name)?.last ?? null;
  }

  _ask(name, view) {
    const known = this._views.get(name) ?? { askedAt: 0, busy: false, told: "", cursor: null, suspects: [], changes: [], last: null };
    this._views.set(name, known);
    const quality = view.quality ?? {};
    const told = `${quality.as_of} ${view.files} ${view.bytes} ${quality.suspects}`;
    const idle = told === known.told && !known.suspects.length;
    if (known.busy || idle || Date.now() - known.askedAt < PAUSE_MS) return;
    Object.assign(known, { askedAt: Date.now(), busy: true, told });
    this._look(name, quality.suspects > 0, known)
      .catch(() => (known.cursor = null)) // that the link is lost is said elsewhere
      .finally(() => {
        known.busy = false;
        this._onChange();
      });
  }

  async _look(name, suspects, known) {
    const place = `/views/${encodeURIComponent(name)}`;
    const since = known.cursor === null ? {} : { since: known.cursor };
    const [listed, feed, stable] = await Promise.all([
      suspects ? get(`${place}/suspects`, { limit: LIMIT }) : { entries: [] },
      get(`${place}/changes`, { limit: LIMIT, ...since }),
      get(`${place}/stable`),
    ]);
    const now = this._live.now();
    const settled = settledOf(this._live.state.views[name]);
    known.last = stable.last_change && { ...stable.last_change, at: seconds(stable.last_change.at) };
    known.suspects = listed.entries;
    known.cursor = feed.more ? null : feed.cursor; // too many to read them all: go on from the latest
    known.changes.push(...feed.changes.map((change) => ({ ...change, at: seconds(change.at) })));
    known.changes = known.changes.filter((change) => change.at > now - settled && change.entry?.type !== "dir").slice(-4 * LIMIT);
    for (const entry of known.suspects) this._measure(`${name}:${shown(bytesOf(entry))}`, entry.size, now);
    for (const [key, points] of this._sizes) if (points.at(-1).at < now - Math.max(settled, RATE_S)) this._sizes.delete(key);
  }

  _directories(view) {
    const known = this._views.get(view);
    const now = this._live.now();
    const settled = settledOf(this._live.state.views[view]);
    const found = new Map();
    const at = (bytes) => {
      const above = parent(bytes) ?? bytes;
      const key = shown(above);
      if (!found.has(key)) found.set(key, { view, bytes: above, key: `${view}:${key}`, files: new Set(), created: 0, deleted: 0, newest: 0, rate: 0, by: null, settled });
      return found.get(key);
    };
    const noted = (directory, path, when, what) => {
      directory.files.add(shown(path));
      if (when >= directory.newest) Object.assign(directory, { newest: when, by: { bytes: path, what } });
    };
    for (const entry of known.suspects) {
      const path = bytesOf(entry);
      const directory = at(path);
      directory.rate += this._rate(`${view}:${shown(path)}`, now);
      noted(directory, path, Math.max(entry.mtime_ns, entry.ctime_ns) / 1e9, entry.ctime_ns > entry.mtime_ns + 1e9 ? "changed" : "written");
    }
    for (const change of known.changes) {
      if (change.at <= now - settled) continue;
      const path = bytesOf(change);
      const directory = at(path);
      if (change.kind === "created") directory.created += 1;
      if (change.kind === "deleted") directory.deleted += 1;
      noted(directory, path, change.at, KINDS[change.kind] ?? "changed");
    }
    return [...found.values()];
  }

  _measure(key, size, now) {
    const points = (this._sizes.get(key) ?? []).filter((point) => point.at >= now - RATE_S);
    points.push({ at: now, size });
    this._sizes.set(key, points);
  }

  _rate(key, now) {
    const points = this._sizes.get(key) ?? [];
    const passed = points.length ? now - points[0].at : 0;
    return passed > 0.5 ? Math.max(0, (points.at(-1).size - points[0].size) / passed) : 0;
  }
}

const KINDS = { created: "created", modified: "written", deleted: "removed", moved: "moved" };
