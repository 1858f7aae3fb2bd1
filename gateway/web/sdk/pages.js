/** What is asked for over REST when somebody looks at it: older messages, newer ones, threads, a place in between. */

import { reconnectDelay } from './backoff.js';
import { ApiError } from './errors.js';

/** @import {Api} from './api.js' */
/** @import {Message} from './types.js' */
/** @import {Mend, View} from './view.js' */

const PAGE = 50;
const MENDED = 200;

export class Pages {
  #api;
  #view;
  /** What is on its way: the same is not asked for twice at a time. @type {Map<string, Promise<boolean>>} */
  #under = new Map();

  /** @param {Api} api @param {() => View} view */
  constructor(api, view) {
    this.#api = api;
    this.#view = view;
  }

  /** Older messages of what is shown. Returns whether there are still older ones. @param {string} id @returns {Promise<boolean>} */
  older(id) {
    return this.#once(`older ${id}`, async () => {
      const room = this.#view().rooms.get(id);
      if (!room?.hasOlder) return false;
      const conversation = room.marks_whole ? undefined : await this.#api.conversation(id);
      const { slice } = room;
      const upTo = slice?.from ?? room.whole_from;
      const page = await this.#api.messages(id, { beforeSeq: upTo, limit: PAGE });
      const from = page.next_cursor ? lowest(page.items) : room.first_seq;
      if (slice) slice.from = from;
      this.#view().load(id, page.items, { ...(!slice && { from, upTo }), ...(conversation && { conversation }) });
      return this.#view().rooms.get(id)?.hasOlder ?? false;
    });
  }

  /** Newer messages where an older stretch is shown. Returns whether there are still newer ones. @param {string} id @returns {Promise<boolean>} */
  newer(id) {
    return this.#once(`newer ${id}`, async () => {
      const room = this.#view().rooms.get(id);
      if (!room?.slice) return false;
      const page = await this.#api.messages(id, { afterSeq: room.slice.to, limit: PAGE });
      if (room.slice) room.slice.to = page.next_cursor ? (page.items.at(-1)?.seq ?? room.last_seq) : room.last_seq;
      this.#view().load(id, page.items);
      return this.#view().rooms.get(id)?.hasNewer ?? false;
    });
  }

  /** Show the messages around a number. @param {string} id @param {number} seq @returns {Promise<boolean>} whether it is shown */
  around(id, seq) {
    return this.#once(`around ${id} ${seq}`, async () => {
      const room = this.#view().rooms.get(id);
      if (!room || seq < room.first_seq) return false;
      if (seq >= room.whole_from) {
        this.latest(id);
        return true;
      }
      const before = await this.#api.messages(id, { beforeSeq: seq + 1, limit: PAGE / 2 });
      const after = await this.#api.messages(id, { afterSeq: seq, limit: PAGE / 2 });
      const from = before.next_cursor ? lowest(before.items) : room.first_seq;
      const now = this.#view().rooms.get(id); // the view may have been loaded anew
      if (!now) return false;
      now.slice = { from, to: after.next_cursor ? (after.items.at(-1)?.seq ?? seq) : now.last_seq };
      this.#view().load(id, [...before.items, ...after.items]);
      return true;
    });
  }

  /** Show the newest messages again. @param {string} id */
  latest(id) {
    const room = this.#view().rooms.get(id);
    if (!room?.slice) return;
    room.slice = null;
    this.#view().touch(id);
  }

  /** A page of a thread, and its root. Returns whether there are older replies. @param {string} id @param {string} rootId @returns {Promise<boolean>} */
  thread(id, rootId) {
    return this.#once(`thread ${id} ${rootId}`, async () => {
      const room = this.#view().rooms.get(id);
      if (!room) return false;
      const beforeSeq = room.threads.get(rootId);
      const { root, hasOlder } = room.thread(rootId);
      if (root && !hasOlder) return false;
      const found = root ? [] : [await this.#api.message(rootId)];
      const page = await this.#api.messages(id, { threadRootId: rootId, limit: PAGE, ...(beforeSeq && { beforeSeq }) });
      const now = this.#view().rooms.get(id);
      if (now?.threads.get(rootId) === beforeSeq) now?.threads.set(rootId, page.next_cursor ? lowest(page.items) : 1);
      this.#view().load(id, [...found, ...page.items]);
      return now?.thread(rootId).hasOlder ?? false;
    });
  }

  /** What somebody who was brought into a conversation has not heard: everybody's marks, and the newest messages. @param {string} id */
  async enter(id) {
    await this.#patiently(() => this.older(id));
  }

  /** Older messages that were kept through a resync: have those that changed meanwhile. @param {Mend[]} mends */
  mend(mends) {
    for (const mend of mends) {
      const rev = this.#view().rooms.get(mend.conversationId)?.rev ?? 0;
      if (rev > mend.sinceRev) void this.#patiently(() => this.#mend(mend));
    }
  }

  /** @param {Mend} mend */
  async #mend({ conversationId: id, sinceRev, from, upTo }) {
    /** @type {Message[]} */
    const changed = [];
    for (let rev = sinceRev; ; ) {
      const { items, next_cursor } = await this.#api.messages(id, { sinceRev: rev, limit: MENDED });
      changed.push(...items);
      rev = items.at(-1)?.rev ?? rev;
      if (!next_cursor) break;
    }
    const end = changed.reduce((seq, one) => Math.max(seq, one.seq), upTo);
    this.#view().load(id, changed, { from, upTo: end + 1 });
  }

  /** Until it is done, or can not be. @param {() => Promise<unknown>} work */
  async #patiently(work) {
    for (let failures = 0; ; failures += 1) {
      try {
        await work();
        return;
      } catch (failure) {
        if (failures > 8 || (failure instanceof ApiError && !failure.temporary)) return;
        const floor = failure instanceof ApiError ? failure.retryAfterMs : 0;
        await new Promise((resolve) => setTimeout(resolve, reconnectDelay(failures, Math.random, floor)));
      }
    }
  }

  /** @param {string} what @param {() => Promise<boolean>} work */
  #once(what, work) {
    const under = this.#under.get(what) ?? work().finally(() => this.#under.delete(what));
    this.#under.set(what, under);
    return under;
  }
}

/** @param {Message[]} page */
const lowest = (page) => page.reduce((seq, one) => Math.min(seq, one.seq), Infinity);
