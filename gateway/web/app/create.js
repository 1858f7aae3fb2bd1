/** New conversations: search for people, choose one or several, talk. */

import { avatar } from "./avatar.js";
import { composes, fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { attempt, dialog } from "./overlay.js";
import { go } from "./router.js";
import { isDirect, otherOf, state } from "./state.js";

/** Open the conversation with somebody, a new one if there is none. */
export async function openDirect(userId) {
  const known = [...state.view.rooms.values()].find((room) => isDirect(room) && otherOf(room) === userId && !state.isMe(userId));
  if (known) return go(known.conversation.conversation_id);
  await attempt(async () => {
    const conversation = await state.api.createDirect(userId);
    await arrived(conversation.conversation_id);
    go(conversation.conversation_id);
  });
}

/** Wait until a conversation that was just made is in the view: its event comes by the socket. */
function arrived(conversationId) {
  return new Promise((resolve) => {
    const look = () => {
      if (!state.room(conversationId)) return;
      state.removeEventListener("changed", look);
      clearTimeout(late);
      resolve(undefined);
    };
    const late = setTimeout(() => {
      state.removeEventListener("changed", look);
      resolve(undefined);
    }, 5000);
    state.addEventListener("changed", look);
    look();
  });
}

/**
 * A field that finds people, and those who were chosen.
 * @param {{without?: Set<string>, onchange: () => void}} options
 */
export function peopleField({ without = new Set(), onchange }) {
  const chosen = new Map();
  const input = h("input", { class: "field", type: "search", placeholder: "Name", "aria-label": "Search people by username", autocomplete: "off", spellcheck: "false", autofocus: true });
  const tags = h("div", { class: "tags" });
  const found = h("ul", { class: "people choices", "aria-label": "People found" });
  let timer = 0;
  const draw = (users) => {
    fill(tags, [...chosen.values()].map((user) => h("button", { type: "button", class: "tag", "aria-label": `Remove ${user.display_name}`, onclick: () => toggle(user) }, avatar(user.user_id, { size: "tiny" }), h("span", { dir: "auto" }, user.display_name), icon("close"))));
    fill(found, users.filter((user) => !without.has(user.user_id) && !state.isMe(user.user_id)).map((user) => h("li", null, h("button", { type: "button", class: "person", "aria-pressed": String(chosen.has(user.user_id)), onclick: () => toggle(user) }, avatar(user.user_id, { size: "small" }), h("span", { class: "person-text" }, h("span", { dir: "auto" }, user.display_name), h("span", { class: "quiet" }, `@${user.username}`)), chosen.has(user.user_id) ? icon("check") : null))));
  };
  let last = [];
  const known = () => state.people.all().filter((user) => user.username && !user.bot).slice(0, 12);
  const toggle = (user) => {
    if (!chosen.delete(user.user_id)) chosen.set(user.user_id, user);
    input.value = "";
    last = known();
    draw(last);
    input.focus();
    onchange();
  };
  input.addEventListener("input", () => {
    clearTimeout(timer);
    const query = input.value.trim().replace(/^@/, "");
    if (!query) return draw((last = known()));
    const local = known().filter((user) => user.username.startsWith(query.toLowerCase()) || user.display_name.toLowerCase().includes(query.toLowerCase()));
    draw((last = local));
    timer = setTimeout(async () => {
      const answer = await state.api.searchUsers(query.slice(0, 32)).catch(() => null);
      if (!answer || !input.isConnected || input.value.trim().replace(/^@/, "") !== query) return;
      const users = answer.items ?? answer;
      state.people.learn(users);
      draw((last = [...users, ...local.filter((one) => !users.some((user) => user.user_id === one.user_id))]));
    }, 200);
  });
  input.addEventListener("keydown", (event) => {
    if (composes(event)) return;
    if (event.key === "Enter") {
      event.preventDefault();
      const first = last.find((user) => !without.has(user.user_id) && !state.isMe(user.user_id) && !chosen.has(user.user_id));
      if (input.value && first) toggle(first);
    } else if (event.key === "Backspace" && input.value === "" && chosen.size > 0) toggle([...chosen.values()].at(-1));
    else if (event.key === "ArrowDown") /** @type {any} */ (found.querySelector("button"))?.focus();
  });
  last = known();
  draw(last);
  return { element: h("div", { class: "people-field" }, tags, input, found), chosen, input };
}

/** The dialog for a new conversation. */
export function newConversation() {
  const title = h("input", { class: "field", placeholder: "Name of the group", "aria-label": "Name of the group", maxlength: "80", dir: "auto" });
  const titleRow = h("label", { class: "row-field", hidden: true }, h("span", { class: "label" }, "Group name"), title);
  const begin = h("button", { type: "submit", class: "button primary", disabled: true }, "Start");
  const onchange = () => {
    begin.disabled = people.chosen.size === 0;
    titleRow.hidden = people.chosen.size < 2;
    begin.textContent = people.chosen.size < 2 ? "Start conversation" : "Create group";
  };
  const people = peopleField({ onchange });
  onchange();
  const key = crypto.randomUUID();
  const submit = async (event) => {
    event.preventDefault();
    begin.disabled = true;
    const ids = [...people.chosen.keys()];
    const done = await attempt(async () => {
      if (ids.length === 1) {
        box.close();
        await openDirect(ids[0]);
        return;
      }
      const conversation = await state.api.createGroup({ title: title.value.trim() || undefined, memberIds: ids, key });
      await arrived(conversation.conversation_id);
      box.close();
      go(conversation.conversation_id);
    });
    if (!done) begin.disabled = false;
  };
  const box = dialog("New conversation", [h("form", { class: "form", onsubmit: submit }, people.element, titleRow, h("div", { class: "buttons" }, begin))]);
  people.input.focus();
}
