// Questions to the server, with the key that lets in. The key lives as long as this tab.

const BASE = "/api/v1";
const KEPT = "fustor.key";
let key = sessionStorage.getItem(KEPT) ?? "";
let onLocked = () => {};

/** A refusal, as the server told it. */
export class Problem extends Error {
  constructor(document) {
    super(document.detail ?? document.title ?? "the server did not answer");
    this.status = document.status ?? 0;
    this.remedy = document.remedy ?? "";
    this.slug = (document.type ?? "").split(":").at(-1);
  }
}

export function hasKey() {
  return key !== "";
}

export function use(given) {
  key = given.trim();
  sessionStorage.setItem(KEPT, key);
}

export function forget() {
  key = "";
  sessionStorage.removeItem(KEPT);
}

/** What happens when the key is good no longer. */
export function whenLocked(act) {
  onLocked = act;
}

/** Exchanges the code of a link for a key; a code is good once. */
export async function login(code) {
  const { key: given } = await send("POST", "/login", null, { code });
  use(given);
}

export function get(path, parameters) {
  return send("GET", path, parameters);
}

export function post(path, body) {
  return send("POST", path, null, body ?? {});
}

export function remove(path) {
  return send("DELETE", path);
}

async function send(method, path, parameters, body) {
  const query = parameters ? `?${new URLSearchParams(parameters)}` : "";
  const headers = {};
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  let reply;
  try {
    reply = await fetch(`${BASE}${path}${query}`, {
      method,
      headers,
      body: body ? JSON.stringify(body) : undefined,
      cache: "no-store",
      credentials: "omit",
    });
  } catch {
    throw new Problem({ detail: "the server cannot be reached", remedy: "is it running?" });
  }
  const document = await reply.json().catch(() => ({}));
  if (reply.ok) return document;
  if (reply.status === 401 && path !== "/login") onLocked();
  throw new Problem({ status: reply.status, ...document });
}

/** Address of the WebSocket, with a ticket that opens it once. */
export async function socketAddress(run, seq) {
  const { ticket } = await post("/state/tickets");
  const place = run ? { run, resume: seq } : {};
  const query = new URLSearchParams({ ticket, ...place });
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${BASE}/state/ws?${query}`;
}
