/** What all parts of the client share: who is signed in, the SDK's client, people, settings of this device, and a few events. */

import { People } from "./people.js";
import { Presence } from "./presence.js";

/** @typedef {import("../sdk/index.js").Api} Api */
/** @typedef {import("../sdk/index.js").Client} Client */

class State extends EventTarget {
  /** @type {any} */ api = null;
  /** @type {any} */ client = null;
  /** @type {any} */ user = null;
  people = new People();
  presence = new Presence();

  get view() {
    return this.client?.view;
  }

  /** @returns {any} */
  room(conversationId) {
    return this.view?.rooms.get(conversationId) ?? null;
  }

  /** Tell the parts that something of theirs may have changed. */
  tell(type, detail = undefined) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  isMe(userId) {
    return userId === this.user?.user_id;
  }
}

export const state = new State();

/** What the other one of a direct conversation is called, or the group; never empty. */
export function titleOf(room) {
  const { conversation } = room;
  if (conversation.kind === "direct") return state.people.name(otherOf(room));
  if (conversation.title) return conversation.title;
  const others = [...room.members.keys()].filter((id) => !state.isMe(id));
  return others.slice(0, 3).map((id) => state.people.name(id)).join(", ") || "Just you";
}

/** The other one of a direct conversation. */
export function otherOf(room) {
  for (const id of room.members.keys()) if (!state.isMe(id)) return id;
  return state.user?.user_id;
}

export const isDirect = (room) => room.conversation.kind === "direct";
export const isArchived = (room) => room.conversation.archived === true;

/** Whether one is not to be disturbed by it now. */
export function isMuted(room) {
  const until = room.conversation.muted_until;
  return Boolean(until) && new Date(until).getTime() > Date.now();
}

/** One's own role in a room. */
export function roleOf(room, userId = state.user?.user_id) {
  return room.members.get(userId)?.role ?? null;
}

/** Whether one may: the table is schemas/roles.py, the server has the last word. */
export function may(room, what) {
  const role = roleOf(room);
  if (!role) return false;
  const admin = role === "owner" || role === "admin";
  if (isDirect(room)) return what === "pin";
  return { pin: admin, update: admin, add: admin, remove: admin, role: role === "owner", all: admin, deleteOthers: admin }[what] ?? true;
}

/** The newest message that a list shows, or null. */
export function newestOf(room) {
  for (let at = room.messages.length - 1; at >= 0; at -= 1) {
    const item = room.messages[at];
    if (!item.thread_root_id && item.sender_id) return item;
  }
  return room.lastMessage ?? null;
}

/** When something last happened in it, as text that sorts. */
export function activityOf(room) {
  return newestOf(room)?.created_at ?? room.conversation.created_at ?? "";
}
