/**
 * What is going on, folded from the state and the events that follow it: state + events = a fresh fetch. No I/O.
 *
 * Every entity carries a `rev`, so applying an event twice, or one that the state had already, changes nothing.
 */

import { Room } from './room.js';
import { messageOf } from './wire.js';

/** @import {Conversation, Entry, Member, Message, Receipt, State} from './types.js' */
/** @import {Pending} from './optimistic.js' */
/** @import {RoomDump} from './room.js' */

/**
 * @typedef {object} Dump a view as it is cached, and as a tab shows it to another
 * @property {string} userId
 * @property {string | null} position
 * @property {string[]} blocked
 * @property {Record<string, RoomDump>} rooms
 *
 * @typedef {{user_id: string, status: string, last_active_at?: string | null}} Presence how somebody is seen
 *
 * @typedef {{conversationId: string, sinceRev: number, from: number, upTo: number}} Mend older messages that were kept, and may have changed
 */

/** Beyond so many changes older messages are rather loaded again when they are looked at. */
const MENDABLE = 1000;

/** One person's conversations. */
export class View {
  /** @type {Map<string, Room>} */
  rooms = new Map();
  /** @type {Set<string>} */
  blocked = new Set();
  /** @type {Map<string, Presence>} */
  presence = new Map();
  /** Up to where events are in here. @type {string | null} */
  position = null;
  #touched;

  /**
   * @param {string} userId whose
   * @param {(conversationId: string | null) => void} [touched] is told what changed; null: everything
   */
  constructor(userId, touched = () => {}) {
    this.userId = userId;
    this.#touched = touched;
  }

  /** Take in an event. @param {Entry} entry */
  apply(entry) {
    const { event, data } = entry;
    const message = messageOf(entry);
    if (event === 'block.updated') {
      this.blocked[data.blocked ? 'add' : 'delete'](data.user_id);
      return this.#touched(null);
    }
    const room = this.rooms.get(data?.conversation_id);
    if (message) room?.take([message]);
    else if (event.startsWith('conversation.')) this.#hear(data, room);
    else if (!room) return undefined;
    else if (event.startsWith('member.')) this.#changeMembers(room, event, data);
    else if (event === 'message.voided') room.last_seq = Math.max(room.last_seq, data.seq);
    else if (event === 'receipt.updated') this.#mark(room, data);
    else return undefined;
    if (room) room.rev = Math.max(room.rev, data.rev ?? 0);
    return this.touch(data.conversation_id);
  }

  /** Something about a conversation has changed. @param {string} conversationId */
  touch(conversationId) {
    this.rooms.get(conversationId)?.touch();
    this.#touched(conversationId);
  }

  /**
   * Begin anew from a whole state. Older messages that were paged in stay; those that may have changed meanwhile are returned.
   *
   * @param {State} state
   * @returns {Mend[]}
   */
  replace(state) {
    this.position = state.position;
    this.blocked = new Set(state.blocked_user_ids ?? []);
    return this.#adopt(state.conversations.map((one) => new Room(one, this.userId)));
  }

  /** @param {number} limit how many messages of each conversation @returns {Dump} */
  dump(limit) {
    const rooms = Object.fromEntries([...this.rooms].map(([id, room]) => [id, room.dump(limit)]));
    return { userId: this.userId, position: this.position, blocked: [...this.blocked], rooms };
  }

  /** What another tab, or an earlier run, knew. As `replace`. @param {Dump} dump */
  restore(dump) {
    this.position = dump.position;
    this.blocked = new Set(dump.blocked);
    return this.#adopt(Object.values(dump.rooms).map((one) => Room.restored(one, this.userId)));
  }

  /**
   * Take in what was asked for over REST: messages of a conversation, and how it is, for whoever was brought in and has not heard.
   *
   * @param {string} conversationId
   * @param {Message[]} messages
   * @param {{from?: number, upTo?: number, conversation?: Conversation}} [page] these are all from `from` to before `upTo`
   */
  load(conversationId, messages, { from = Infinity, upTo = 0, conversation } = {}) {
    const room = this.rooms.get(conversationId);
    if (!room) return;
    conversation?.members?.forEach((member) => room.mark(member));
    if (conversation) room.marks_whole = true;
    room.take(messages);
    if (upTo >= room.whole_from) room.whole_from = Math.max(room.first_seq, Math.min(room.whole_from, from));
    if (room.slice && room.slice.to + 1 >= room.whole_from) {
      room.whole_from = Math.min(room.whole_from, room.slice.from);
      room.slice = null;
    }
    this.touch(conversationId);
  }

  /** What is on its way, in the order in which it was sent. @param {Iterable<Pending>} sendings */
  pend(sendings) {
    /** @type {Map<string, Pending[]>} */
    const byRoom = new Map();
    for (const one of sendings) byRoom.set(one.conversationId, [...(byRoom.get(one.conversationId) ?? []), one]);
    for (const [id, room] of this.rooms) room.pending = byRoom.get(id) ?? [];
  }

  /** Typing and presence. @param {string} event @param {any} data @param {number} nowMs of `Date` */
  glimpse(event, data, nowMs) {
    if (event === 'presence') {
      this.presence.set(data.user_id, data);
      this.#touched(null);
    } else if (event === 'typing' && !data.thread_root_id && !this.blocked.has(data.user_id)) {
      const typing = this.rooms.get(data.conversation_id)?.typing;
      if (data.state === 'start') typing?.set(data.user_id, nowMs + data.expires_in_ms);
      else typing?.delete(data.user_id);
      this.#touched(data.conversation_id);
    }
  }

  /** @param {Room[]} rooms @returns {Mend[]} */
  #adopt(rooms) {
    const before = this.rooms;
    const mends = [];
    this.rooms = new Map();
    for (const room of rooms) {
      const id = room.conversation.conversation_id;
      const old = before.get(id);
      this.rooms.set(id, room);
      if (!old) continue;
      const { whole_from: from } = room;
      room.pending = old.pending;
      room.localRead = old.localRead;
      room.typing = old.typing;
      const kept = old.whole_from < from || old.slice || old.threads.size;
      if (kept && room.rev - old.rev <= MENDABLE) {
        room.take([...old.known.values()]);
        if (old.last_seq + 1 >= from) room.whole_from = Math.max(Math.min(from, old.whole_from), room.first_seq);
        room.threads = old.threads;
        room.slice = old.slice;
        mends.push({ conversationId: id, sinceRev: old.rev, from: old.whole_from, upTo: old.last_seq });
      }
    }
    this.#touched(null);
    return mends;
  }

  /** @param {Conversation} conversation @param {Room | undefined} room */
  #hear(conversation, room) {
    if (!room) {
      if (!conversation.members?.some((member) => member.user_id === this.userId)) return;
      const opened = new Room({ ...conversation, messages: [] }, this.userId);
      opened.marks_whole = conversation.rev <= 1;
      // who opens or is brought into a conversation has nothing to read in it
      const member = opened.members.get(this.userId);
      opened.conversation = { ...opened.conversation, read_seq: member?.read_seq ?? 0 };
      this.rooms.set(conversation.conversation_id, opened);
      return;
    }
    const known = room.conversation;
    const { title, history, retention_days, rev } = conversation;
    const news = rev >= known.rev ? { title, history, retention_days, rev } : {};
    /** @type {Record<string, unknown>} */
    const own = {};
    for (const name of /** @type {const} */ (['muted_until', 'archived', 'first_seq'])) if (name in conversation) own[name] = conversation[name];
    const expired_seq = Math.max(known.expired_seq ?? 0, conversation.expired_seq ?? 0);
    room.conversation = { ...known, ...news, ...own, expired_seq };
    room.trim();
  }

  /** @param {Room} room @param {string} event @param {{conversation_id: string, rev: number, members?: Member[]}} change */
  #changeMembers(room, event, { conversation_id, rev, members = [] }) {
    for (const member of members) {
      const known = room.members.get(member.user_id);
      if (event !== 'member.left') {
        if (known && known.rev >= member.rev) continue;
        room.members.set(member.user_id, member);
        if (known) room.mark(known);
      } else if ((known?.joined_rev ?? -1) < rev) {
        // A state that was read while somebody left may list the conversation, and its members without them.
        room.members.delete(member.user_id);
        if (member.user_id === this.userId) this.rooms.delete(conversation_id);
      }
    }
  }

  /** Those of a thread are not part of the view. @param {Room} room @param {Receipt} receipt */
  #mark(room, receipt) {
    if (receipt.thread_root_id) return;
    room.mark(receipt);
    if (receipt.user_id !== this.userId || !room.members.has(this.userId)) return;
    const { read_seq = 0, private_read_seq = 0 } = room.conversation;
    room.conversation = {
      ...room.conversation,
      read_seq: Math.max(read_seq, receipt.read_seq ?? 0),
      private_read_seq: Math.max(private_read_seq, receipt.private_read_seq ?? 0),
    };
  }
}
