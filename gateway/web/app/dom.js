/** Elements without HTML text: whatever is a string becomes a text node, so nothing that somebody wrote can be markup. */

/**
 * Make an element.
 * @param {string} tag
 * @param {Record<string, any> | null} [props] `class`, `on…` for events, `.name` for properties, `data-…`, attributes; false, null, undefined: left out
 * @param {...any} children nodes, strings, numbers, arrays of them; false, null, undefined: left out
 * @returns {any}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) set(element, name, value);
  append(element, children);
  return element;
}

function set(element, name, value) {
  if (value === undefined || value === null || value === false) return;
  if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
  else if (name.startsWith(".")) element[name.slice(1)] = value;
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** Append what `h` takes as children. */
export function append(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(element, child);
    else if (child !== undefined && child !== null && child !== false) element.append(child);
  }
}

/** Replace an element's children. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/**
 * Make the children of `parent` those of `items`, in order, keeping the elements that are there already.
 * @param {any} parent
 * @param {any[]} items
 * @param {(item: any, index: number) => string} keyOf
 * @param {(item: any, index: number) => Element} make
 * @param {(element: any, item: any, index: number) => void} [update] of elements that stay
 * @returns {Element[]} those that are new
 */
export function keyed(parent, items, keyOf, make, update) {
  const before = parent.keyed ?? new Map();
  const after = new Map();
  const fresh = [];
  items.forEach((item, index) => {
    const key = keyOf(item, index);
    let element = before.get(key);
    if (element) update?.(element, item, index);
    else fresh.push((element = make(item, index)));
    after.set(key, element);
  });
  for (const [key, element] of before) if (!after.has(key)) element.remove();
  let at = parent.firstElementChild;
  for (const element of after.values()) {
    if (element === at) at = at.nextElementSibling;
    else move(parent, element, at);
  }
  parent.keyed = after;
  return fresh;
}

/** Put an element before another; the focus in it stays. */
function move(parent, element, before) {
  if (parent.moveBefore && element.parentNode === parent) return parent.moveBefore(element, before);
  const focused = element.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement) : null;
  parent.insertBefore(element, before);
  focused?.focus({ preventScroll: true });
}

/** A custom element whose listeners end when it leaves the document. */
export class Part extends HTMLElement {
  connectedCallback() {
    this.gone = new AbortController();
    this.start();
  }

  disconnectedCallback() {
    this.gone.abort();
    this.stop();
  }

  start() {}
  stop() {}

  /** Hear `type` of `target` for as long as this is in the document. */
  hear(target, type, listener, options = {}) {
    target.addEventListener(type, listener, { ...options, signal: this.gone.signal });
  }
}

/** Whether a key belongs to a composition: in Safari the Enter that ends one says so by its code alone. */
export const composes = (event) => event.isComposing || event.keyCode === 229;

/** The arrows, Home and End move the focus among `selector` in `container`; one of them is in the order of Tab. */
export function roving(container, selector) {
  container.addEventListener("keydown", (event) => {
    const all = [...container.querySelectorAll(selector)].filter((one) => one.offsetParent !== null);
    const at = all.indexOf(document.activeElement?.closest(selector));
    if (at < 0) return;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined || !all[to]) return;
    event.preventDefault();
    for (const one of all) one.tabIndex = -1;
    all[to].tabIndex = 0;
    all[to].focus();
  });
}

/** Say something to whoever listens instead of looking. */
export function announce(text) {
  const live = document.getElementById("live");
  if (!live || !text) return;
  const line = h("p", null, text);
  live.append(line);
  while (live.childElementCount > 5) live.firstElementChild?.remove();
  setTimeout(() => line.remove(), 10_000);
}
