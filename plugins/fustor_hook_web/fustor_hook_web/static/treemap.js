// A directory as areas: as large as what is in it, as warm as it changed lately.

import { h, s } from "./dom.js";
import { nameOf, size } from "./words.js";

const MOST = 160;
const LABEL_WIDTH = 8.3; // of a character
const WARM_S = [30, 300, 3600, 86400];

/** Areas for entries with `bytes`, in pixels; `open` is called with the entry that is chosen. */
export function treemap(items, now, open, width, height) {
  const sized = items.filter((item) => item.bytes > 0).slice(0, MOST);
  if (!sized.length) return h("p", { class: "empty" }, "nothing with a size here");
  const total = sized.reduce((sum, item) => sum + item.bytes, 0);
  const scale = (width * height) / total;
  const areas = squarified(sized.map((item) => ({ item, area: item.bytes * scale })), width, height);
  return s("svg", { class: "treemap", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Sizes as areas" },
    areas.map(({ item, x, y, w, h: high }) => area(item, x, y, w, high, now, open)));
}

function area(item, x, y, w, high, now, open) {
  const text = nameOf(item.entry);
  const fits = Math.floor((w - 14) / LABEL_WIDTH);
  const name = text.length > fits ? `${text.slice(0, Math.max(0, fits - 1))}…` : text;
  const kind = `area ${item.entry.type === "dir" ? "dir" : "file"} warm${warmth(item, now)}`;
  return s("g", { class: kind, onclick: () => open(item.entry), "data-key": item.key },
    s("title", null, `${text}, ${size(item.bytes)}`),
    s("rect", { x: x + 1, y: y + 1, width: Math.max(0, w - 2), height: Math.max(0, high - 2), rx: 3 }),
    fits > 3 && high > 22 ? s("text", { x: x + 8, y: y + 18 }, name) : null,
    fits > 6 && high > 40 ? s("text", { class: "size", x: x + 8, y: y + 34 }, size(item.bytes)) : null);
}

/** 0: changed within half a minute … 4: longer than a day ago. */
export function warmth(item, now) {
  const age = now - item.changed;
  const at = WARM_S.findIndex((limit) => age < limit);
  return at < 0 ? WARM_S.length : at;
}

/** Rectangles as square as can be (Bruls, Huizing, van Wijk); `parts` are sorted, largest first. */
export function squarified(parts, width, height) {
  const placed = [];
  let [x, y, w, h] = [0, 0, width, height];
  let rest = [...parts];
  while (rest.length) {
    const side = Math.min(w, h);
    let row = [rest[0]];
    for (const next of rest.slice(1)) {
      if (worst([...row, next], side) > worst(row, side)) break;
      row = [...row, next];
    }
    const sum = row.reduce((all, part) => all + part.area, 0);
    const thick = side ? sum / side : 0;
    let along = 0;
    for (const part of row) {
      const long = thick ? part.area / thick : 0;
      placed.push(w >= h ? { item: part.item, x, y: y + along, w: thick, h: long } : { item: part.item, x: x + along, y, w: long, h: thick });
      along += long;
    }
    if (w >= h) [x, w] = [x + thick, w - thick];
    else [y, h] = [y + thick, h - thick];
    rest = rest.slice(row.length);
  }
  return placed;
}

function worst(row, side) {
  const sum = row.reduce((all, part) => all + part.area, 0);
  const most = Math.max(...row.map((part) => part.area));
  const least = Math.min(...row.map((part) => part.area));
  return Math.max((side * side * most) / (sum * sum), (sum * sum) / (side * side * least));
}
