/** The conversations: newest first, with what is unread, who is there, and a search for more. */

import { avatar, roomAvatar } from "./avatar.js";
import { newConversation, openDirect } from "./create.js";
import { Part, composes, fill, h, keyed, roving } from "./dom.js";
import { brief } from "./format.js";
import { icon } from "./icons.js";
import { progress } from "./message.js";
import { menu } from "./overlay.js";
import { setTheme, theme } from "./prefs.js";
import { go, pathOf, place, router } from "./router.js";
import { openSettings } from "./settings.js";
import { activityOf, isArchived, isDirect, isMuted, newestOf, otherOf, state, titleOf } from "./state.js";

const SEARCH_MS = 250;

export class Sidebar extends Part {
  #query = "";
  #archived = false;
  #frame = 0;
  #searching = 0;
  #found = [];

  start() {
    this.search = h("input", { type: "search", class: "field search", placeholder: "Search", "aria-label": "Search conversations and people", autocomplete: "off", spellcheck: "false" });
    this.list = h("ul", { class: "rooms", "aria-label": "Conversations" });
    this.more = h("div", { class: "rooms-more" });
    this.foot = h("div", { class: "rooms-foot" });
    this.replaceChildren(
      h("header", { class: "side-head" }, h("button", { type: "button", class: "myself", "aria-label": "You: settings and more", onclick: (event) => this.#menu(event.currentTarget) }, avatar(state.user.user_id, { presence: true }), h("span", { class: "my-name", dir: "auto" }, state.user.display_name)), h("button", { type: "button", class: "plain-button", "aria-label": "New conversation", title: "New conversation", onclick: () => newConversation() }, icon("edit"))),
      h("div", { class: "search-box" }, icon("search"), this.search, h("kbd", { "aria-hidden": "true" }, /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘K" : "Ctrl K")),
      h("nav", { class: "side-scroll", "aria-label": "Conversations" }, this.list, this.more, this.foot),
    );
    roving(this, ".room-link");
    this.hear(this.search, "input", () => this.#onSearch());
    this.hear(this.search, "keydown", (event) => this.#onSearchKey(event));
    this.hear(state, "changed", () => this.#later());
    this.hear(state, "draft", () => this.#later());
    this.hear(state.client, "draft", () => this.#later());
    this.hear(state.people, "changed", () => this.#later());
    this.hear(router, "moved", () => this.#later());
    this.#draw();
  }

  #later() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      if (this.isConnected) this.#draw();
    });
  }

  #rooms() {
    const query = this.#query.toLowerCase();
    const all = [...state.view.rooms.values()];
    const shown = query ? all.filter((room) => titleOf(room).toLowerCase().includes(query) || usernameOf(room).startsWith(query)) : all.filter((room) => isArchived(room) === this.#archived);
    return shown.sort((one, other) => (activityOf(one) < activityOf(other) ? 1 : -1));
  }

  #draw() {
    const rooms = this.#rooms();
    const here = place().conversationId;
    const make = (room) => {
      const element = h("li", { class: "room-item" });
      this.#renew(element, room, here);
      return element;
    };
    keyed(this.list, rooms, (room) => room.conversation.conversation_id, make, (element, room) => this.#renew(element, room, here));
    const current = this.list.querySelector("[aria-current]") ?? this.list.querySelector(".room-link");
    for (const one of this.list.querySelectorAll(".room-link")) one.tabIndex = one === current ? 0 : -1;
    this.#drawFoot(rooms);
    state.presence.follow([state.user.user_id, ...rooms.slice(0, 100).filter(isDirect).map(otherOf), ...(state.room(here)?.members.keys() ?? [])]);
  }

  #renew(element, room, here) {
    const id = room.conversation.conversation_id;
    const newest = newestOf(room);
    const draft = id === here ? "" : (state.client.drafts.get(id)?.text ?? "");
    const own = newest && state.isMe(newest.sender_id);
    const title = titleOf(room);
    const signature = [title, newest?.rev, newest?.message_id, newest?.content?.text, newest?.local?.state, room.unread, room.mentions, isMuted(room), id === here, draft, newest && state.people.name(newest.sender_id), newest && brief(newest.created_at)].join("\u0001");
    if (element.signature === signature) return;
    element.signature = signature;
    const focused = element.contains(document.activeElement);
    const unread = room.unread > 0;
    const badge = room.mentions > 0 ? h("span", { class: "badge mention-badge", title: "You are mentioned" }, "@") : null;
    fill(
      element,
      h(
        "a",
        { class: `room-link ${unread ? "unread" : ""}`, href: pathOf(id), "aria-current": id === here ? "page" : null, tabindex: "-1", onclick: (event) => this.#open(event, id) },
        roomAvatar(room),
        h("span", { class: "room-text" }, h("span", { class: "room-line" }, h("span", { class: "room-name", dir: "auto" }, title), isMuted(room) ? icon("muted", "Muted") : null, newest ? h("time", { datetime: newest.created_at }, brief(newest.created_at)) : null), h("span", { class: "room-line" }, h("span", { class: "room-last", dir: "auto" }, draft ? [h("em", null, "Draft: "), draft] : lastOf(room, newest, own)), own && !draft && newest.seq !== undefined ? progress(newest) : null, badge, unread ? h("span", { class: `badge ${isMuted(room) ? "still" : ""}` }, room.unread > 99 ? "99+" : String(room.unread), h("span", { class: "visually-hidden" }, " unread")) : null)),
      ),
    );
    if (focused) element.querySelector("a").focus();
  }

  #open(event, id) {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    this.#clear();
    go(id);
  }

  #clear() {
    if (!this.#query) return;
    this.search.value = "";
    this.#query = "";
    this.#found = [];
    this.#later();
  }

  /** People who are found, and the way to more. */
  #drawFoot(rooms) {
    const many = [...state.view.rooms.values()].filter(isArchived).length;
    const known = new Set(rooms.filter(isDirect).map(otherOf));
    const people = this.#query ? this.#found.filter((user) => !known.has(user.user_id) && !state.isMe(user.user_id)) : [];
    const empty = rooms.length + people.length === 0;
    refill(this.more, people, () => this.#people(people));
    refill(this.foot, [this.#query !== "", this.#archived, many, empty], () => this.#foot(many, empty));
  }

  #people(people) {
    if (people.length === 0) return null;
    return [h("h2", { class: "label" }, "People"), h("ul", { class: "rooms" }, people.map((user) => h("li", null, h("button", { type: "button", class: "room-link", tabindex: "0", onclick: () => this.#talk(user) }, avatar(user.user_id), h("span", { class: "room-text" }, h("span", { class: "room-name", dir: "auto" }, user.display_name), h("span", { class: "room-last" }, `@${user.username}`))))))];
  }

  #foot(many, empty) {
    if (this.#query) return empty ? h("p", { class: "quiet centered" }, "Nothing by that name.") : null;
    if (this.#archived) return h("button", { type: "button", class: "foot-button", onclick: () => this.#showArchived(false) }, icon("back"), "All conversations");
    if (many > 0) return h("button", { type: "button", class: "foot-button", onclick: () => this.#showArchived(true) }, icon("archive"), `Archived · ${many}`);
    return empty ? h("div", { class: "nothing" }, icon("wave"), h("p", null, "No conversations yet."), h("button", { type: "button", class: "button primary", onclick: () => newConversation() }, "Start one")) : null;
  }

  #showArchived(on) {
    this.#archived = on;
    this.#draw();
  }

  #talk(user) {
    state.people.learn([user]);
    this.#clear();
    void openDirect(user.user_id);
  }

  #onSearch() {
    this.#query = this.search.value.trim();
    this.#found = [];
    this.#draw();
    clearTimeout(this.#searching);
    const query = this.#query.replace(/^@/, "");
    if (!query || query.length > 32) return;
    this.#searching = setTimeout(async () => {
      const answer = await state.api.searchUsers(query).catch(() => null);
      if (!answer || !this.isConnected || this.#query.replace(/^@/, "") !== query) return;
      this.#found = answer.items ?? answer;
      state.people.learn(this.#found);
      this.#draw();
    }, SEARCH_MS);
  }

  #onSearchKey(event) {
    if (composes(event)) return;
    const first = /** @type {any} */ (this.querySelector(".rooms .room-link"));
    if (event.key === "Escape") this.#clear();
    else if (event.key === "ArrowDown") first?.focus();
    else if (event.key === "Enter") first?.click();
    else return;
    event.preventDefault();
  }

  #menu(anchor) {
    const now = state.presence.of(state.user.user_id);
    const status = (name, label) => ({ icon: h("span", { class: `status-dot ${name}` }), label, checked: now === name, act: () => state.client.setPresence(name) });
    const next = theme() === "dark" ? "light" : "dark";
    menu(anchor, "You", [status("online", "Online"), status("away", "Away"), status("busy", "Busy"), { icon: "sun", label: next === "dark" ? "Dark theme" : "Light theme", act: () => setTheme(next) }, { icon: "gear", label: "Settings", act: () => openSettings() }]);
  }
}

/** Fill an element, unless it shows this already: the focus in it stays, and a click on it is not lost. */
function refill(element, shown, make) {
  const signature = JSON.stringify(shown);
  if (element.signature === signature) return;
  element.signature = signature;
  fill(element, make());
}

function usernameOf(room) {
  return isDirect(room) ? (state.people.get(otherOf(room))?.username ?? "") : "";
}

/** The newest message in a line. */
function lastOf(room, newest, own) {
  if (!newest) return isDirect(room) ? "" : "New group";
  const who = own ? "You: " : isDirect(room) ? "" : `${state.people.name(newest.sender_id)}: `;
  if (newest.deleted_at || !newest.content) return `${who}deleted a message`;
  const files = newest.attachments?.length ?? 0;
  return who + (newest.content.text || (files > 1 ? `${files} files` : (newest.attachments?.[0]?.name ?? "a file")));
}

customElements.define("hr-sidebar", Sidebar);
