/** Beside a room: who is in it and as what, and what one can do about it. */

import { avatar, roomAvatar } from "./avatar.js";
import { openDirect, peopleField } from "./create.js";
import { Part, fill, h, roving } from "./dom.js";
import { date } from "./format.js";
import { icon } from "./icons.js";
import { attempt, confirm, dialog, menu, toast } from "./overlay.js";
import { go } from "./router.js";
import { isArchived, isDirect, isMuted, may, otherOf, roleOf, state, titleOf } from "./state.js";

const HOUR = 3_600_000;
const FOR_EVER = "9999-12-31T00:00:00.000Z";
const ORDER = { owner: 0, admin: 1, member: 2 };

export class Details extends Part {
  conversationId = "";
  onclose = () => {};
  #shown = "";

  start() {
    this.body = h("div", { class: "panel-body" });
    this.replaceChildren(h("header", { class: "panel-head" }, h("h2", null, "Details"), h("button", { type: "button", class: "plain-button", "aria-label": "Close details", onclick: () => this.onclose() }, icon("close"))), this.body);
    roving(this.body, ".person");
    this.hear(state, "changed", () => this.#draw());
    this.hear(state.people, "changed", () => this.#draw());
    this.#draw();
  }

  #draw() {
    const room = state.room(this.conversationId);
    if (!room) return;
    const members = [...room.members.values()].sort((one, other) => ORDER[one.role] - ORDER[other.role] || state.people.name(one.user_id).localeCompare(state.people.name(other.user_id)));
    const shown = JSON.stringify([titleOf(room), isMuted(room), isArchived(room), [...(state.view.blocked ?? [])], members.map((one) => [one.user_id, one.role, state.people.name(one.user_id)])]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    fill(this.body, this.#head(room), this.#settings(room), isDirect(room) ? null : this.#members(room, members), this.#ends(room));
  }

  #head(room) {
    const direct = isDirect(room);
    const user = direct ? state.people.get(otherOf(room)) : null;
    return h("div", { class: "details-head" }, roomAvatar(room, { size: "huge" }), h("h3", { dir: "auto" }, titleOf(room)), h("p", { class: "quiet" }, direct ? (user?.username ? `@${user.username}` : "") : `Group · since ${date(room.conversation.created_at)}`), may(room, "update") && !direct ? h("button", { type: "button", class: "button small", onclick: () => this.#rename(room) }, icon("edit"), "Rename") : null);
  }

  #settings(room) {
    const id = this.conversationId;
    const muted = isMuted(room);
    const set = (values) => attempt(() => state.api.mine(id, values));
    const mute = (event) =>
      muted
        ? void set({ mutedUntil: null })
        : menu(event.currentTarget, "Mute", [
            { icon: "muted", label: "For an hour", act: () => void set({ mutedUntil: new Date(Date.now() + HOUR).toISOString() }) },
            { icon: "muted", label: "Until tomorrow", act: () => void set({ mutedUntil: new Date(Date.now() + 24 * HOUR).toISOString() }) },
            { icon: "muted", label: "Until I change it", act: () => void set({ mutedUntil: FOR_EVER }) },
          ]);
    return h("div", { class: "card" }, action(muted ? "bell" : "muted", muted ? "Unmute" : "Mute", mute), action("archive", isArchived(room) ? "Bring back from the archive" : "Archive", () => void set({ archived: !isArchived(room) })));
  }

  #members(room, members) {
    return h(
      "section",
      null,
      h("div", { class: "section-head" }, h("h3", { class: "label" }, `Members · ${members.length}`), may(room, "add") ? h("button", { type: "button", class: "plain-button", "aria-label": "Add members", title: "Add members", onclick: () => this.#add(room) }, icon("plus")) : null),
      h("ul", { class: "people card" }, members.map((member, at) => this.#member(room, member, at))),
    );
  }

  #member(room, member, at) {
    const me = state.isMe(member.user_id);
    const user = state.people.get(member.user_id);
    return h("li", null, h("button", { type: "button", class: "person", tabindex: at === 0 ? "0" : "-1", "aria-haspopup": me ? null : "menu", onclick: (event) => !me && this.#about(event.currentTarget, room, member) }, avatar(member.user_id, { size: "small", presence: true }), h("span", { class: "person-text" }, h("span", { dir: "auto" }, state.people.name(member.user_id), me ? h("span", { class: "quiet" }, " (you)") : null), user?.username ? h("span", { class: "quiet" }, `@${user.username}`) : null), member.role === "member" ? null : h("span", { class: "role" }, member.role)));
  }

  #about(anchor, room, member) {
    const id = this.conversationId;
    const { user_id: userId, role } = member;
    const name = state.people.name(userId);
    const blocked = state.view.blocked?.has(userId);
    const owner = roleOf(room) === "owner";
    const change = (to) => () => void attempt(() => state.api.setRole(id, userId, to));
    menu(anchor, name, [
      { icon: "thread", label: "Message", act: () => void openDirect(userId) },
      owner && role === "member" && { icon: "shield", label: "Make an admin", act: change("admin") },
      owner && role === "admin" && { icon: "users", label: "Make a member", act: change("member") },
      owner && { icon: "shield", label: "Make the owner", act: () => void this.#give(id, userId, name) },
      may(room, "remove") && role !== "owner" && (owner || role === "member") && { icon: "leave", label: "Remove from the group", danger: true, act: () => void this.#remove(id, userId, name) },
      { icon: "block", label: blocked ? "Unblock" : "Block", danger: !blocked, act: () => void block(userId, !blocked) },
    ]);
  }

  async #give(id, userId, name) {
    if (await confirm(`Make ${name} the owner?`, "You become an admin. Only they can give it back.", "Make the owner", { danger: false })) await attempt(() => state.api.setRole(id, userId, "owner"));
  }

  async #remove(id, userId, name) {
    if (await confirm(`Remove ${name}?`, "They see nothing of what is said from then on.", "Remove")) await attempt(() => state.api.removeMember(id, userId));
  }

  #rename(room) {
    const input = h("input", { class: "field", ".value": room.conversation.title ?? "", "aria-label": "Name", maxlength: "80", dir: "auto", required: true });
    const submit = async (event) => {
      event.preventDefault();
      if (await attempt(() => state.api.updateConversation(this.conversationId, { title: input.value.trim() }))) box.close();
    };
    const box = dialog("Rename the group", [h("form", { class: "form", onsubmit: submit }, input, h("div", { class: "buttons" }, h("button", { class: "button primary" }, "Rename")))], { class: "small" });
    input.select();
  }

  #add(room) {
    const button = h("button", { class: "button primary", disabled: true }, "Add");
    const people = peopleField({ without: new Set(room.members.keys()), onchange: () => (button.disabled = people.chosen.size === 0) });
    const submit = async (event) => {
      event.preventDefault();
      if (await attempt(() => state.api.addMembers(this.conversationId, [...people.chosen.keys()]))) box.close();
    };
    const box = dialog("Add members", [h("form", { class: "form", onsubmit: submit }, people.element, h("div", { class: "buttons" }, button))]);
    people.input.focus();
  }

  #ends(room) {
    if (isDirect(room)) {
      const other = otherOf(room);
      const blocked = state.view.blocked?.has(other);
      return h("div", { class: "card" }, action("trash", "Clear for me", () => void this.#clear(), true), action("block", blocked ? "Unblock" : `Block ${titleOf(room)}`, () => void block(other, !blocked), !blocked));
    }
    return h("div", { class: "card" }, action("trash", "Clear for me", () => void this.#clear(), true), action("leave", "Leave the group", () => void this.#leave(), true));
  }

  async #clear() {
    if (await confirm("Clear this conversation?", "What was said so far is gone for you, on all your devices. Others keep it.", "Clear")) await attempt(() => state.api.mine(this.conversationId, { cleared: true }));
  }

  async #leave() {
    if (!(await confirm("Leave this group?", "Somebody has to bring you in again.", "Leave"))) return;
    if (await attempt(() => state.api.removeMember(this.conversationId, state.user.user_id))) go(null);
  }
}

function action(name, label, act, danger = false) {
  return h("button", { type: "button", class: danger ? "action danger" : "action", onclick: act }, icon(name), h("span", null, label));
}

/** Block somebody, or not any more. */
export async function block(userId, on) {
  const name = state.people.name(userId);
  if (on && !(await confirm(`Block ${name}?`, "They can not write to you in your direct conversation, and do not see what you have read there.", "Block"))) return;
  if (await attempt(() => (on ? state.api.block(userId) : state.api.unblock(userId)))) toast(on ? `${name} is blocked` : `${name} is not blocked any more`);
}

customElements.define("hr-details", Details);
