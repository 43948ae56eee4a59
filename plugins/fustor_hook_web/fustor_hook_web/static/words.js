// Figures, times and names as people read them.

const COUNTS = new Intl.NumberFormat("en");
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

export function count(number) {
  return COUNTS.format(number ?? 0);
}

export function counted(number, one, many) {
  return `${count(number)} ${number === 1 ? one : many ?? `${one}s`}`;
}

export function size(bytes) {
  let value = Math.abs(bytes ?? 0);
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) [value, unit] = [value / 1024, unit + 1];
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${bytes < 0 ? "−" : ""}${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** A time that has passed: two units at most. */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min${whole < 600 && whole % 60 ? ` ${whole % 60} s` : ""}`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

export function ago(seconds) {
  return seconds < 1 ? "just now" : `${span(seconds)} ago`;
}

/** Seconds since 1970 of a time as the server writes it. */
export function seconds(text) {
  return text ? Date.parse(text) / 1000 : null;
}

/** How long nothing in a view has to change until it counts as settled, in s. */
export function settledOf(view) {
  return view?.hot_file_threshold_s ?? 30;
}

export function clock(atSeconds) {
  return new Date(atSeconds * 1000).toLocaleTimeString("en-GB");
}

export function day(atSeconds) {
  const at = new Date(atSeconds * 1000);
  return `${at.toLocaleDateString("en-CA")} ${at.toLocaleTimeString("en-GB")}`;
}

// ---- names: bytes that somebody else chose

const STRICT = new TextDecoder("utf-8", { fatal: true });
const ENCODER = new TextEncoder();
const ODD = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** The bytes of a field that is text, or base64 under `<field>_b64`. */
export function bytesOf(document, field = "path") {
  const packed = document[`${field}_b64`];
  if (packed === undefined) return ENCODER.encode(document[field] ?? "");
  return Uint8Array.from(atob(packed), (char) => char.charCodeAt(0));
}

/** The same as parameters of a request: `path`, or `path_b64` where it is no text. */
export function parameters(bytes, field = "path") {
  try {
    return { [field]: STRICT.decode(bytes) };
  } catch {
    return { [`${field}_b64`]: btoa(String.fromCharCode(...bytes)) };
  }
}

/** Bytes as they are shown: what is no text, or would hide or turn text around, is spelled out. */
export function shown(bytes) {
  let text = "";
  try {
    text = STRICT.decode(bytes);
  } catch {
    for (const part of pieces(bytes)) text += part;
  }
  return text.replace(ODD, (char) => `\\u{${char.charCodeAt(0).toString(16)}}`);
}

function* pieces(bytes) {
  for (let at = 0; at < bytes.length; ) {
    const width = [1, 2, 3, 4].find((length) => decodes(bytes.subarray(at, at + length)));
    if (width) yield STRICT.decode(bytes.subarray(at, at + width));
    else yield `\\x${bytes[at].toString(16).padStart(2, "0")}`;
    at += width ?? 1;
  }
}

function decodes(bytes) {
  try {
    return STRICT.decode(bytes).length > 0;
  } catch {
    return false;
  }
}

export function nameOf(document) {
  return shown(bytesOf(document, "name"));
}

export function pathOf(document, field = "path") {
  return shown(bytesOf(document, field));
}

/** Every directory on the way to a path, the root first: `{bytes, name}`. */
export function steps(bytes) {
  const found = [{ bytes: ENCODER.encode("/"), name: "/" }];
  let from = 1;
  for (let at = 1; at <= bytes.length; at += 1) {
    if (at < bytes.length && bytes[at] !== 47) continue;
    if (at > from) found.push({ bytes: bytes.slice(0, at), name: shown(bytes.slice(from, at)) });
    from = at + 1;
  }
  return found;
}

export function parent(bytes) {
  const way = steps(bytes);
  return way.length > 1 ? way.at(-2).bytes : null;
}

/** Where the page shows a path of a view. */
export function placeOf(view, bytes) {
  return `#/files/${encodeURIComponent(view)}?${new URLSearchParams(parameters(bytes))}`;
}
