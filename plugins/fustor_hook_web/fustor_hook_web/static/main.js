// The frame of the page: who is let in, which part is shown, keys, and when all is drawn again.

import { h, link, show } from "./dom.js";
import { Live } from "./live.js";
import { forget, hasKey, login, use, whenLocked } from "./server.js";
import { clock } from "./words.js";
import { Overview } from "./overview.js";
import { Flow } from "./flow.js";
import { Files } from "./files.js";
import { Search } from "./search.js";
import { Jobs } from "./jobs.js";
import { Machines } from "./machines.js";

const PARTS = [
  ["overview", "Overview", Overview],
  ["flow", "Flow", Flow],
  ["files", "Files", Files],
  ["jobs", "Jobs", Jobs],
  ["machines", "Machines", Machines],
];
const HIDDEN = [["search", "Search", Search]];
const DRAWN_MS = 200; // the most often that all is drawn; ages are renewed every second

const live = new Live(changed, locked);
let part = null;
let told = "";
let waiting = false;
let helping = false;
let shownAt = 0;

/** What the address says: `#/files/projects?path=/a` → its part, its names, its parameters. */
function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/").filter(Boolean).map(decodeURIComponent);
  return { name: name ?? "overview", rest, query: new URLSearchParams(query ?? "") };
}

function chosen() {
  const { name } = place();
  return [...PARTS, ...HIDDEN].find(([one]) => one === name) ?? PARTS[0];
}

function changed() {
  if (waiting) return;
  waiting = true;
  setTimeout(draw, Math.max(0, shownAt + DRAWN_MS - Date.now()));
}

function draw() {
  waiting = false;
  shownAt = Date.now();
  if (!hasKey()) return show(document.body, gate());
  const [name, title, Part] = chosen();
  if (!(part instanceof Part)) {
    part?.leave?.();
    part = new Part(live, changed);
    part.enter?.(place());
    window.scrollTo(0, 0);
  }
  document.title = title === "Overview" ? "Fustor" : `${title} · Fustor`;
  show(
    document.body,
    h("a", { class: "skip", href: "#main" }, "To the content"),
    head(name),
    notice(),
    h("main", { id: "main", class: `part ${name} ${live.link === "lost" ? "old" : ""}`, "data-key": name, tabindex: -1 }, known() ? part.draw() : silence()),
    helping && help(),
  );
  return part.drawn?.();
}

function known() {
  return live.state.process?.version !== undefined;
}

function silence() {
  return h("p", { class: "empty" }, live.link === "lost" ? "The server cannot be reached." : "Asking the server…");
}

function head(current) {
  const tabs = PARTS.map(([name, title]) =>
    link(`#/${name}`, title, { "aria-current": name === current ? "page" : null, "data-key": name }),
  );
  return h(
    "header",
    { class: "head", "data-key": "head" },
    link("#/overview", "Fustor", { class: "brand" }),
    h("nav", { "aria-label": "Parts" }, tabs),
    h(
      "form",
      { class: "seek", role: "search", onsubmit: seek },
      h("input", {
        type: "search", name: "q", placeholder: "Find a name", "aria-label": "Find a name, key /",
        autocomplete: "off", spellcheck: "false", "data-key": "seek",
      }),
    ),
    h("span", { class: `link ${live.link}`, role: "status" }, h("i"), { live: "live", lost: "lost", connecting: "…" }[live.link]),
    h("button", { class: "quiet", onclick: leave, title: "Forget the key" }, "Leave"),
  );
}

function notice() {
  if (live.link !== "lost") return null;
  const left = Math.max(0, Math.ceil((live.retryAt - Date.now()) / 1000));
  const since = live.lostAt && known() ? `Not connected. What you see is as of ${clock(live.lostAt)}. ` : "Not connected. ";
  return h("p", { class: "notice", role: "alert", "data-key": "notice" }, since, left ? `Next try in ${left} s.` : "Trying…");
}

function seek(event) {
  event.preventDefault();
  const pattern = new FormData(event.target).get("q").trim();
  if (pattern) location.hash = `#/search?${new URLSearchParams({ q: pattern })}`;
}

// ---- the gate

function gate() {
  return h(
    "main",
    { class: "gate", "data-key": "gate" },
    h("h1", null, "Fustor"),
    h("p", null, "What is there, what is changing, and how far that can be trusted."),
    h(
      "form",
      { onsubmit: enter },
      h("label", { for: "key" }, "Paste a key"),
      h("input", { id: "key", name: "key", type: "password", autocomplete: "off", spellcheck: "false", placeholder: "fst_…", "data-key": "key" }),
      h("button", { class: "main" }, "Look"),
    ),
    told && h("p", { class: "wrong", role: "alert" }, told),
    h("p", { class: "hint" }, "On the host, ", h("code", null, "fustor key link"), " prints a link that lets in at once, and ",
      h("code", null, "fustor key create"), " a key. It stays in this tab and is forgotten with it."),
  );
}

async function enter(event) {
  event.preventDefault();
  const key = new FormData(event.target).get("key").trim();
  if (!key) return;
  use(key);
  begin();
}

function locked(problem) {
  forget();
  live.close();
  told = problem?.status === 403 ? "This key may not read here." : "This key is not good here, or not any more.";
  changed();
}

function leave() {
  part?.leave?.();
  forget();
  location.hash = "";
  location.reload();
}

function begin() {
  told = "";
  live.open();
  changed();
}

// ---- keys

function help() {
  const rows = [
    ["1 – 5", "the parts of the page"], ["/", "find a name"], ["↑ ↓", "in a list: up and down"],
    ["Enter", "open"], ["Backspace", "in files: the directory above"], ["Esc", "close"], ["?", "this list"],
  ];
  return h(
    "dialog",
    { open: true, class: "help", "data-key": "help", "aria-label": "Keys" },
    h("h2", null, "Keys"),
    h("dl", null, rows.map(([key, does]) => [h("dt", null, h("kbd", null, key)), h("dd", null, does)])),
    h("button", { onclick: () => helps(false) }, "Close"),
  );
}

function helps(wanted) {
  helping = wanted;
  changed();
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !hasKey()) return;
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    helps(false);
  }
  if (typing) return;
  const number = Number(event.key);
  if (number >= 1 && number <= PARTS.length) location.hash = `#/${PARTS[number - 1][0]}`;
  else if (event.key === "/") document.querySelector(".seek input")?.focus();
  else if (event.key === "?") helps(!helping);
  else if (!part?.pressed?.(event)) return;
  event.preventDefault();
}

// ---- begin

async function start() {
  whenLocked(locked);
  window.onhashchange = () => {
    part?.enter?.(place());
    changed();
  };
  window.onkeydown = pressed;
  document.onvisibilitychange = changed;
  setInterval(() => document.hidden || changed(), 1000);
  const code = /^#code=([\w-]+)$/.exec(location.hash)?.[1];
  if (code) {
    history.replaceState(null, "", "/");
    await login(code).catch((error) => {
      told = `${error.message}. ${error.remedy}`;
    });
  }
  if (hasKey()) begin();
  else changed();
}

start();
