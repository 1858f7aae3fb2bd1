/** One conversation as it is now: what is known of it, which stretch of it is shown, and what is on its way laid over it. No I/O. */

import { laidOver, unsent } from './optimistic.js';

/** @import {Conversation, Member, Message, Receipt} from './types.js' */
/** @import {Item, Levels, Pending} from './optimistic.js' */

/**
 * @typedef {object} RoomDump a room as it is cached, and as a tab shows it to another
 * @property {Conversation} conversation
 * @property {Member[]} members
 * @property {Message[]} messages the newest
 * @property {number} last_seq
 * @property {number} whole_from
 * @property {boolean} marks_whole
 * @property {number} rev
 * @property {[number, number]} mentioned
 */

/** A conversation. `messages` has every message of the shown stretch, and then what is not stored yet. */
export class Room {
  /** @type {Map<string, Member>} */
  members = new Map();
  /** Every message that is known, also outside of what is shown. @type {Map<number, Message>} */
  known = new Map();
  last_seq;
  /** From this number on every message is known. */
  whole_from;
  /** Whether everybody's marks are known: who is brought in has to ask for those that were. */
  marks_whole = true;
  /** The highest revision that was seen. */
  rev;
  /** An older stretch that is shown in place of the newest. @type {{from: number, to: number} | null} */
  slice = null;
  /** Who types, until when (as `Date.now()`). @type {Map<string, number>} */
  typing = new Map();
  /** Threads that were paged: from which number on each is whole. @type {Map<string, number>} */
  threads = new Map();
  /** How far we have read, the server not having confirmed it. */
  localRead = 0;
  /** Rows that are on their way, or failed, in order. @type {Pending[]} */
  pending = [];
  /** Mentions below what is known, and up to where. @type {[number, number]} */
  #mentioned;
  #userId;
  /** @type {Item[] | null} */
  #items = null;
  /** @type {Map<number, {message: Message, levels: Levels, item: Item}>} */
  #cache = new Map();
  /** @type {Levels} */
  #levels = { others: 0, delivered: [], read: [] };
  /** Those of `pending` that change a message. @type {Pending[]} */
  #changes = [];

  /** @param {Conversation} conversation @param {string} userId */
  constructor(conversation, userId) {
    const { members = [], messages = [], last_message: _, ...rest } = conversation;
    this.conversation = /** @type {Conversation} */ (rest);
    this.#userId = userId;
    for (const member of members) this.members.set(member.user_id, member);
    this.last_seq = conversation.last_seq;
    this.rev = conversation.rev;
    this.whole_from = messages[0]?.seq ?? conversation.last_seq + 1;
    this.take(messages);
    this.#mentioned = [Math.max(0, (conversation.mention_count ?? 0) - this.#mentions()), this.whole_from];
  }

  /** The oldest number that is ours to see, and not gone for its age. */
  get first_seq() {
    return Math.max(this.conversation.first_seq ?? 1, (this.conversation.expired_seq ?? 0) + 1);
  }

  /** Whether there is something older than what is shown, to be loaded. */
  get hasOlder() {
    return !this.marks_whole || (this.slice?.from ?? this.whole_from) > this.first_seq;
  }

  /** Whether what is shown is an older stretch, with something newer to be loaded. */
  get hasNewer() {
    return this.slice !== null;
  }

  /** How far we have read, on any device, or here a moment ago. */
  get readSeq() {
    const { read_seq = 0, private_read_seq = 0 } = this.conversation;
    return Math.max(read_seq, private_read_seq, this.localRead);
  }

  get unread() {
    if (this.known.get(this.last_seq)?.sender_id === this.#userId) return 0;
    return Math.max(0, this.last_seq - Math.max(this.readSeq, this.first_seq - 1));
  }

  get mentions() {
    const [below, upTo] = this.#mentioned;
    return Math.min(this.unread, this.#mentions() + (this.readSeq + 1 < upTo ? below : 0));
  }

  /** The newest message that is known. @returns {Message | null} */
  get lastMessage() {
    for (let seq = this.last_seq; seq >= this.whole_from; seq -= 1) {
      const message = this.known.get(seq);
      if (message) return message;
    }
    return null;
  }

  /** What is shown, the oldest first; the same array until something changes, and the same items where nothing did. @returns {Item[]} */
  get messages() {
    const { from, to } = this.slice ?? { from: this.whole_from, to: this.last_seq };
    return (this.#items ??= this.#build(from, to, this.slice === null));
  }

  /**
   * A thread: its root, if that is known, and its replies.
   *
   * @param {string} rootId
   */
  thread(rootId) {
    const levels = this.#marks();
    const found = [...this.known.values()].filter((one) => one.thread_root_id === rootId).sort((a, b) => a.seq - b.seq);
    const root = [...this.known.values()].find((one) => one.message_id === rootId);
    const from = this.threads.get(rootId);
    const items = found.filter((one) => one.seq >= (from ?? this.whole_from)).map((one) => this.#item(one, levels));
    const sends = this.#sends().filter((one) => one.frame.thread_root_id === rootId);
    return {
      root: root ? this.#item(root, levels) : null,
      messages: [...items, ...sends.map((one) => unsent(one, this.#userId))],
      hasOlder: from === undefined || from > (root?.seq ?? 0) + 1,
    };
  }

  /** Something has changed: what was built is built anew. */
  touch() {
    this.#items = null;
  }

  /** Take messages in: the newer of two copies stays. @param {Message[]} messages */
  take(messages) {
    for (const message of messages) {
      const { duplicate: _, ...rest } = message;
      this.last_seq = Math.max(this.last_seq, message.seq);
      this.rev = Math.max(this.rev, message.rev);
      const known = this.known.get(message.seq);
      if (message.seq >= this.first_seq && (known?.rev ?? -1) < message.rev) this.known.set(message.seq, rest);
      if (message.sender_id) this.typing.delete(message.sender_id);
    }
    this.touch();
  }

  /** Drop what is not ours to see any more. */
  trim() {
    for (const seq of this.known.keys()) if (seq < this.first_seq) this.known.delete(seq);
    this.touch();
  }

  /** Somebody's watermarks: they only rise, so order and repeats do not matter. @param {Receipt | Member} marks */
  mark({ user_id, delivered_seq = 0, read_seq = 0 }) {
    const member = this.members.get(user_id);
    if (!member) return;
    const higher = { delivered_seq: Math.max(member.delivered_seq, delivered_seq), read_seq: Math.max(member.read_seq, read_seq) };
    this.members.set(user_id, { ...member, ...higher });
    this.touch();
  }

  /** @param {number} limit how many messages @returns {RoomDump} */
  dump(limit) {
    const from = Math.max(this.whole_from, this.last_seq - limit + 1);
    const messages = [...this.known.values()].filter((one) => one.seq >= from).sort((a, b) => a.seq - b.seq);
    const { conversation, last_seq, marks_whole, rev } = this;
    const members = [...this.members.values()];
    return { conversation, members, messages, last_seq, whole_from: from, marks_whole, rev, mentioned: this.#mentioned };
  }

  /** @param {RoomDump} dump @param {string} userId */
  static restored(dump, userId) {
    const { conversation, members, messages, mentioned, ...rest } = dump;
    const room = Object.assign(new Room({ ...conversation, members, messages }, userId), rest);
    room.#mentioned = mentioned;
    return room;
  }

  /** @param {number} from @param {number} to @param {boolean} newest @returns {Item[]} */
  #build(from, to, newest) {
    const levels = this.#marks();
    const items = [];
    for (let seq = from; seq <= to; seq += 1) {
      const message = this.known.get(seq);
      if (message) items.push(this.#item(message, levels));
    }
    return newest ? [...items, ...this.#sends().map((one) => unsent(one, this.#userId))] : items;
  }

  /** Sends whose message is not here yet. */
  #sends() {
    const sends = this.pending.filter((one) => one.kind === 'send');
    const here = new Set(sends.length ? [...this.known.values()].map((one) => one.client_msg_id) : []);
    return sends.filter((one) => !here.has(one.id));
  }

  /** Others' watermarks; the same object as before until they change. */
  #marks() {
    this.#changes = this.pending.filter((one) => one.kind !== 'send');
    const others = [...this.members.values()].filter((one) => one.user_id !== this.#userId);
    const rising = (/** @type {'delivered_seq' | 'read_seq'} */ name) => others.map((one) => one[name]).sort((a, b) => a - b);
    const levels = { others: others.length, delivered: rising('delivered_seq'), read: rising('read_seq') };
    if (JSON.stringify(levels) !== JSON.stringify(this.#levels)) this.#levels = levels;
    return this.#levels;
  }

  /** @param {Message} message @param {Levels} levels @returns {Item} */
  #item(message, levels) {
    const cached = this.#cache.get(message.seq);
    const changes = this.#changes.filter((one) => one.frame.message_id === message.message_id);
    const plain = !changes.length && cached?.message === message && !cached.item.local.change;
    if (plain && cached.levels === levels) return cached.item;
    let item = laidOver(message, changes, this.#userId, levels);
    if (plain && same(cached.item.local, item.local)) item = cached.item;
    this.#cache.set(message.seq, { message, levels, item });
    return item;
  }

  /** Of the known ones, how many mention us and are not read. */
  #mentions() {
    let count = 0;
    for (let seq = Math.max(this.readSeq + 1, this.whole_from); seq <= this.last_seq; seq += 1) {
      const message = this.known.get(seq);
      if (message?.mentions?.some((one) => one === this.#userId || one === 'all') && message.sender_id !== this.#userId) count += 1;
    }
    return Math.min(100, count);
  }
}

/** @param {any} a @param {any} b */
const same = (a, b) => Object.keys(b).every((key) => a[key] === b[key]);
