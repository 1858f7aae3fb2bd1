/** What lies over the rest: menus, dialogs and short notices. The platform's own popovers and dialogs, so Esc and focus work as everywhere. */

import { announce, h } from "./dom.js";
import { icon } from "./icons.js";

/**
 * Show something small beside an element until a click elsewhere or Esc.
 * @param {Element} anchor
 * @param {HTMLElement} content
 * @param {{label: string, role?: string}} options
 */
export function popover(anchor, content, { label, role = "dialog" }) {
  const box = h("div", { class: "popover", popover: "auto", role, "aria-label": label }, content);
  const back = /** @type {HTMLElement} */ (document.activeElement);
  document.body.append(box);
  box.addEventListener("toggle", (/** @type {any} */ event) => {
    if (event.newState !== "closed") return;
    const within = box.contains(document.activeElement) || document.activeElement === document.body;
    box.remove();
    if (within) back?.focus();
  });
  box.showPopover();
  put(box, anchor);
  return box;
}

function put(box, anchor) {
  const at = anchor.getBoundingClientRect();
  const { width, height } = box.getBoundingClientRect();
  const below = at.bottom + 6 + height <= innerHeight;
  const top = below ? at.bottom + 6 : Math.max(8, at.top - height - 6);
  const rtl = getComputedStyle(document.documentElement).direction === "rtl";
  const wanted = rtl ? at.left : at.right - width;
  box.style.setProperty("top", `${top}px`);
  box.style.setProperty("left", `${Math.min(Math.max(8, wanted), innerWidth - width - 8)}px`);
}

/**
 * A menu of actions beside an element.
 * @param {Element} anchor
 * @param {({icon: any, label: string, act: () => void, danger?: boolean, checked?: boolean} | null | false)[]} entries
 */
export function menu(anchor, label, entries) {
  const list = h("div", { class: "menu" });
  const box = popover(anchor, list, { label, role: "menu" });
  for (const entry of entries) {
    if (!entry) continue;
    const act = () => {
      box.hidePopover();
      entry.act();
    };
    list.append(
      h("button", { type: "button", role: entry.checked === undefined ? "menuitem" : "menuitemradio", class: entry.danger ? "danger" : "", "aria-checked": entry.checked === undefined ? null : String(entry.checked), tabindex: "-1", onclick: act }, typeof entry.icon === "string" ? icon(/** @type {any} */ (entry.icon)) : entry.icon, h("span", null, entry.label), entry.checked ? icon("check") : null),
    );
  }
  const all = [...list.querySelectorAll("button")];
  list.addEventListener("keydown", (event) => {
    const at = all.indexOf(/** @type {any} */ (document.activeElement));
    const to = { ArrowDown: (at + 1) % all.length, ArrowUp: (at - 1 + all.length) % all.length, Home: 0, End: all.length - 1 }[event.key];
    if (event.key === "Tab") box.hidePopover();
    if (to === undefined) return;
    event.preventDefault();
    all[to].focus();
  });
  put(box, anchor);
  all[0]?.focus();
  return box;
}

/**
 * A dialog over everything, until it is closed; `Esc` closes it.
 * @param {string} title
 * @param {any[]} content
 * @param {{class?: string}} [options]
 * @returns {HTMLDialogElement}
 */
export function dialog(title, content, options = {}) {
  const close = h("button", { type: "button", class: "plain-button", "aria-label": "Close", onclick: () => box.close() }, icon("close"));
  const id = `title-${crypto.randomUUID()}`;
  const box = h("dialog", { class: `dialog ${options.class ?? ""}`, "aria-labelledby": id }, h("header", { class: "dialog-head" }, h("h2", { id }, title), close), h("div", { class: "dialog-body" }, content));
  box.addEventListener("close", () => box.remove());
  box.addEventListener("click", (event) => {
    if (event.target === box) box.close();
  });
  document.body.append(box);
  box.showModal();
  const first = box.querySelector("[autofocus], .dialog-body input, .dialog-body button");
  (first ?? close).focus();
  return box;
}

/** Ask before something that can not be undone. */
export function confirm(title, text, verb, { danger = true } = {}) {
  return new Promise((resolve) => {
    const yes = h("button", { type: "button", class: danger ? "button danger" : "button primary", onclick: () => settle(true) }, verb);
    const no = h("button", { type: "button", class: "button", autofocus: true, onclick: () => settle(false) }, "Cancel");
    const box = dialog(title, [h("p", { class: "quiet" }, text), h("div", { class: "buttons" }, no, yes)], { class: "small" });
    box.addEventListener("close", () => resolve(false));
    const settle = (answer) => {
      resolve(answer);
      box.close();
    };
  });
}

/** Say something for a few seconds, to eyes and to ears. */
export function toast(text, { bad = false } = {}) {
  let place = document.getElementById("toasts");
  // A dialog is above everything; what is said has to be above it, too.
  const top = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body;
  if (!place) place = h("div", { id: "toasts" });
  if (place.parentElement !== top) top.append(place);
  const line = h("p", { class: bad ? "toast bad" : "toast" }, bad ? icon("alert") : null, h("span", null, text));
  place.append(line);
  announce(text);
  setTimeout(() => line.remove(), bad ? 7000 : 4000);
}

/** What an error of the server says, or that it could not be reached. */
export function sentence(error) {
  if (error?.code || error?.status) return error.message || error.code;
  if (error instanceof TypeError || error?.name === "Unreachable") return "The server can not be reached.";
  return error?.message ?? String(error);
}

/** Do something that the server may refuse; what it says is shown. Whether it was done. */
export async function attempt(work) {
  try {
    await work();
    return true;
  } catch (error) {
    toast(sentence(error), { bad: true });
    return false;
  }
}
