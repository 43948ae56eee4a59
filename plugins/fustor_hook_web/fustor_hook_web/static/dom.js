// Elements from values, and one tree made like another. Text only: nothing here ever parses markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. Children: elements, texts, numbers, lists of them; null and false are left out. */
export function h(tag, props, ...children) {
  return filled(document.createElement(tag), props, children);
}

/** An SVG element. */
export function s(tag, props, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

function filled(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element[name] = value;
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

const HANDLERS = ["onclick", "onkeydown", "oninput", "onchange", "onsubmit", "ontoggle"];

/** Makes the children of `parent` like `wanted`, and keeps what is the same: focus, hover, scroll. */
export function show(parent, ...wanted) {
  const fresh = wanted.flat(Infinity).filter((node) => node !== null && node !== undefined && node !== false);
  const keyed = new Map();
  for (const node of parent.childNodes) if (keyOf(node)) keyed.set(keyOf(node), node);
  let at = parent.firstChild;
  for (const node of fresh) {
    const known = keyOf(node) ? keyed.get(keyOf(node)) : at && !keyOf(at) ? at : null;
    if (known && alike(known, node)) {
      if (known !== at) parent.insertBefore(known, at);
      else at = at.nextSibling;
      renew(known, node);
    } else {
      parent.insertBefore(node, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function keyOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null;
}

function alike(one, other) {
  return one.nodeName === other.nodeName && keyOf(one) === keyOf(other);
}

function renew(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (name !== "style" && !fresh.hasAttribute(name) && !kept(old, name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name !== "style" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.style.cssText !== fresh.style.cssText) old.style.cssText = fresh.style.cssText;
  for (const name of HANDLERS) if (old[name] !== fresh[name]) old[name] = fresh[name];
  if ("value" in fresh && fresh.nodeName !== "LI" && document.activeElement !== old && old.value !== fresh.value) {
    old.value = fresh.value;
  }
  show(old, [...fresh.childNodes]);
}

/** What a person has changed and no drawing says otherwise about: an opened part stays open. */
function kept(element, name) {
  return name === "open" && element.nodeName === "DETAILS";
}

/** Something small that explains a number: its figure above, its word below. */
export function figure(value, word, kind) {
  return h("div", { class: `figure ${kind ?? ""}` }, h("b", null, value), h("span", null, word));
}

export function link(href, text, props) {
  return h("a", { href, ...props }, text);
}
