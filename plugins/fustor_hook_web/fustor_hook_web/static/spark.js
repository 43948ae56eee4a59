// A line of how much there was, over the last minutes.

import { s } from "./dom.js";

const WIDTH = 160;
const HEIGHT = 36;
const LEAST_S = 60;

/** The bytes of a view over time, as far as this page has seen it: `points` are `{at, bytes}`. */
export function sparkline(points, now) {
  const from = Math.min(points[0]?.at ?? now, now - LEAST_S);
  const values = points.map((point) => point.bytes);
  const least = Math.min(...values);
  const most = Math.max(...values);
  const range = most - least;
  const x = (at) => Math.max(0, Math.min(WIDTH, ((at - from) / (now - from)) * WIDTH));
  const y = (bytes) => (range ? HEIGHT - 3 - ((bytes - least) / range) * (HEIGHT - 6) : HEIGHT / 2);
  let line = "";
  let before = null;
  for (const point of points) {
    const at = x(point.at).toFixed(1);
    const high = y(point.bytes).toFixed(1);
    line += before === null ? `M${at} ${high}` : `H${at}V${high}`;
    before = high;
  }
  if (before !== null) line += `H${WIDTH}`;
  const label = range ? "size over the last minutes" : "no change in size while this page was open";
  return s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    s("path", { class: range ? "moved" : "still", d: line, fill: "none", "vector-effect": "non-scaling-stroke" }));
}
