/** Ctrl+K: go to a conversation by a few letters. */

import { roomAvatar } from "./avatar.js";
import { composes, fill, h } from "./dom.js";
import { brief } from "./format.js";
import { dialog } from "./overlay.js";
import { go } from "./router.js";
import { activityOf, newestOf, state, titleOf } from "./state.js";

const MOST = 9;

/** Open it, unless it is open. */
export function openSwitcher() {
  if (document.querySelector(".dialog")) return;
  const list = h("div", { class: "choices", role: "listbox", id: "switcher-list", "aria-label": "Conversations" });
  const input = h("input", { class: "field", placeholder: "Go to…", role: "combobox", "aria-expanded": "true", "aria-controls": "switcher-list", "aria-label": "Go to a conversation", autocomplete: "off", spellcheck: "false", autofocus: true });
  let found = [];
  let at = 0;
  const choose = (room) => {
    box.close();
    go(room.conversation.conversation_id);
  };
  const mark = () => {
    [...list.children].forEach((one, index) => one.setAttribute("aria-selected", String(index === at)));
    input.setAttribute("aria-activedescendant", `switch-${at}`);
  };
  const draw = () => {
    const query = input.value.trim().toLowerCase();
    found = [...state.view.rooms.values()]
      .filter((room) => titleOf(room).toLowerCase().includes(query))
      .sort((one, other) => rank(other, query) - rank(one, query) || (activityOf(one) < activityOf(other) ? 1 : -1))
      .slice(0, MOST);
    at = 0;
    fill(list, found.map((room, index) => h("div", { role: "option", id: `switch-${index}`, class: "person", onclick: () => choose(room) }, roomAvatar(room, { size: "small" }), h("span", { class: "person-text" }, h("span", { dir: "auto" }, titleOf(room))), room.unread > 0 ? h("span", { class: "badge" }, String(room.unread)) : h("span", { class: "quiet" }, newestOf(room) ? brief(newestOf(room).created_at) : ""))));
    mark();
  };
  input.addEventListener("input", draw);
  input.addEventListener("keydown", (event) => {
    if (composes(event)) return;
    if (event.key === "ArrowDown") at = Math.min(found.length - 1, at + 1);
    else if (event.key === "ArrowUp") at = Math.max(0, at - 1);
    else if (event.key === "Enter" && found[at]) choose(found[at]);
    else return;
    event.preventDefault();
    mark();
  });
  const box = dialog("Go to", [input, list], { class: "switcher" });
  draw();
  input.focus();
}

function rank(room, query) {
  return (titleOf(room).toLowerCase().startsWith(query) ? 2 : 0) + (query === "" && room.unread > 0 ? 1 : 0);
}
