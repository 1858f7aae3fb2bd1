/** Pictures of people and groups: initials on one of twelve calm colours. */

import { h } from "./dom.js";
import { hue, initials } from "./format.js";
import { icon } from "./icons.js";
import { isDirect, otherOf, state, titleOf } from "./state.js";

/** Somebody's picture; their name stands beside it, so it says nothing itself. */
export function avatar(userId, { size = "", presence = false } = {}) {
  const name = state.people.name(userId);
  const element = h("span", { class: `avatar ${size} hue-${hue(userId)}`, "aria-hidden": "true" }, name === "…" ? "" : initials(name));
  if (!presence) return element;
  return h("span", { class: "seat" }, element, presenceDot(userId));
}

export function presenceDot(userId) {
  const status = state.presence.of(userId);
  return h("span", { class: `dot ${status}`, "data-presence": userId }, h("span", { class: "visually-hidden" }, status === "offline" ? "" : status));
}

/** A room's picture. */
export function roomAvatar(room, options = {}) {
  if (isDirect(room)) return avatar(otherOf(room), { presence: true, ...options });
  const title = titleOf(room);
  const element = h("span", { class: `avatar group ${options.size ?? ""} hue-${hue(room.conversation.conversation_id)}`, "aria-hidden": "true" });
  element.append(title === "…" ? icon("users") : initials(title));
  return element;
}

/** Keep the dots that are in the document as people come and go. */
export function followDots() {
  state.presence.addEventListener("changed", (/** @type {any} */ event) => {
    for (const dot of document.querySelectorAll(`[data-presence="${CSS.escape(event.detail)}"]`)) dot.replaceWith(presenceDot(event.detail));
  });
}
