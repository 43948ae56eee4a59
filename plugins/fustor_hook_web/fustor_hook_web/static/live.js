// The live state: frames of the WebSocket, applied; what is missing is asked for by its number.

import { Problem, socketAddress } from "./server.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15000;
const SERIES_S = 600;
const NOT_YOURS = 4401;

/** What the server says, and how it has grown. */
export class Live {
  constructor(onChange, onLocked) {
    this.state = { process: {}, views: {}, pipes: {}, sessions: {}, jobs: {}, runs: {} };
    this.link = "connecting"; // then: live, lost
    this.lostAt = null;
    this.retryAt = null;
    this.series = new Map(); // view → [{at, bytes, files}]
    this.beats = new Map(); // session → when it was last acknowledged something
    this._offset = 0; // of the server's clock
    this._run = "";
    this._seq = 0;
    this._pause = FIRST_PAUSE_MS;
    this._onChange = onChange;
    this._onLocked = onLocked;
    this._socket = null;
    this._ended = false;
  }

  /** Seconds since 1970 on the server's clock. */
  now() {
    return Date.now() / 1000 + this._offset;
  }

  async open() {
    this._ended = false;
    let address;
    try {
      address = await socketAddress(this._run, this._seq);
    } catch (error) {
      if (error instanceof Problem && [401, 403].includes(error.status)) return this._onLocked(error);
      return this._lost();
    }
    if (this._ended) return undefined;
    const socket = new WebSocket(address);
    this._socket = socket;
    socket.onmessage = ({ data }) => this._take(JSON.parse(data));
    socket.onclose = ({ code }) => {
      if (this._socket !== socket) return;
      if (code === NOT_YOURS) this._onLocked(new Problem({ status: 401, detail: "the key has ended" }));
      else this._lost();
    };
    return undefined;
  }

  close() {
    this._ended = true;
    const socket = this._socket;
    this._socket = null;
    if (socket) socket.close();
  }

  _lost() {
    if (this._ended) return;
    if (this.link !== "lost") this.lostAt = this.now();
    this.link = "lost";
    const pause = this._pause * (0.75 + Math.random() / 2);
    this._pause = Math.min(this._pause * 2, LONGEST_PAUSE_MS);
    this.retryAt = Date.now() + pause;
    setTimeout(() => this._ended || this.open(), pause);
    this._onChange();
  }

  _take(frame) {
    if (frame.base_seq !== 0 && (frame.run !== this._run || frame.base_seq !== this._seq)) {
      this._socket.send(JSON.stringify({ resume: 0 }));
      return;
    }
    const before = this.state;
    this.state = applied(frame.base_seq ? before : {}, frame.update_mask, frame.payload);
    this._run = frame.run;
    this._seq = frame.seq;
    this._offset = frame.timestamp - Date.now() / 1000;
    this._pause = FIRST_PAUSE_MS;
    this.link = "live";
    this._record(frame.timestamp, before);
    this._onChange();
  }

  _record(at, before) {
    for (const [name, view] of Object.entries(this.state.views)) {
      const points = this.series.get(name) ?? [];
      const last = points.at(-1);
      if (!last || at - last.at >= 1) points.push({ at, bytes: view.bytes, files: view.files });
      else Object.assign(last, { bytes: view.bytes, files: view.files });
      while (points.length > 2 && points[1].at < at - SERIES_S) points.shift();
      this.series.set(name, points);
    }
    for (const [id, session] of Object.entries(this.state.sessions)) {
      const known = before.sessions?.[id];
      if (known && known.acked !== session.acked) this.beats.set(id, Date.now());
    }
  }

  /** Bytes a second that a view has grown by within the last seconds. */
  growth(view, within = 10) {
    const points = this.series.get(view) ?? [];
    const now = this.now();
    const recent = points.filter((point) => point.at >= now - within);
    const first = points[points.length - recent.length - 1] ?? recent[0];
    const last = points.at(-1);
    if (!first || first === last) return 0;
    return (last.bytes - first.bytes) / Math.max(1, Math.min(within, now - first.at));
  }
}

/** The state after a frame. What no frame names stays the very same object. */
export function applied(state, mask, payload) {
  const changed = { ...state };
  const own = new Set([changed]);
  for (const spelled of mask) {
    const path = parts(spelled);
    let place = changed;
    let value = payload;
    for (const part of path.slice(0, -1)) {
      if (!own.has(place[part])) own.add((place[part] = { ...place[part] }));
      place = place[part];
      value = value?.[part];
    }
    const last = path.at(-1);
    if (value && Object.hasOwn(value, last)) place[last] = value[last];
    else delete place[last];
  }
  return changed;
}

/** A path of the mask: a dot that belongs to a name is escaped. */
function parts(spelled) {
  const found = [""];
  for (let at = 0; at < spelled.length; at += 1) {
    if (spelled[at] === "\\") found[found.length - 1] += spelled[(at += 1)];
    else if (spelled[at] === ".") found.push("");
    else found[found.length - 1] += spelled[at];
  }
  return found;
}
