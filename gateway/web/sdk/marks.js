/**
 * How far this user has received and read, on its way to the server. No I/O.
 *
 * A mark is a number that only rises: marks of one thing are merged while they wait, and one is sent again after every reconnect until
 * `receipt.updated`, or a loaded state, says as much. Kept in memory: what is lost with the page, the next reading says again.
 */

import { NEVER, remember } from './wire.js';

/** @import {Conversation, ErrorBody, Frame, Levels, Receipt} from './types.js' */

/** Between two times at which marks are written; the first goes at once. */
const PAUSE_MS = 300;
const AT_ONCE = 100;
const RETRY_MS = 1000;

/** @typedef {{conversationId: string, threadRootId: string | null, levels: Levels, due: number, requests: number[]}} Waiting */

const NAMES = /** @type {const} */ (['delivered', 'read', 'privateRead']);

/** @param {Levels} [a] @param {Levels} [b] @returns {Levels} the higher of each */
const highest = (a = {}, b = {}) => Object.fromEntries(NAMES.map((name) => [name, Math.max(a[name] ?? 0, b[name] ?? 0)]));

/** @param {Levels | undefined} a @param {Levels} b whether nothing of `b` is higher */
const covers = (a = {}, b) => NAMES.every((name) => (a[name] ?? 0) >= (b[name] ?? 0));

/** @param {string} conversationId @param {string | null} [threadRootId] */
const keyOf = (conversationId, threadRootId) => `${conversationId} ${threadRootId ?? ''}`;

/** The marks of one user that the server has not confirmed. */
export class Marks {
  /** @type {Map<string, Waiting>} */
  #waiting = new Map();
  /** @type {Map<string, Levels>} */
  #known = new Map();
  #writeAt = 0;

  /**
   * Want these levels; what is known to be reached needs nothing.
   *
   * @param {string} conversationId
   * @param {string | null} threadRootId
   * @param {Levels} wanted
   * @param {number} now
   */
  raise(conversationId, threadRootId, wanted, now) {
    const key = keyOf(conversationId, threadRootId);
    const waiting = this.#waiting.get(key);
    const levels = highest(wanted, waiting?.levels);
    if (covers(this.#known.get(key), levels) || (waiting && covers(waiting.levels, levels))) return;
    this.#waiting.set(key, { conversationId, threadRootId, levels, due: now, requests: [] });
  }

  /**
   * What to write now; the caller adds each frame's number to `requests`.
   *
   * @param {number} now
   * @returns {{frame: Frame, requests: number[]}[]}
   */
  takeDue(now) {
    if (now < this.#writeAt) return [];
    const due = [...this.#waiting.values()].filter((one) => one.due <= now).slice(0, AT_ONCE);
    if (due.length) this.#writeAt = now + PAUSE_MS;
    return due.flatMap((one) => {
      one.due = NEVER;
      one.requests = [];
      return framesOf(one).map((frame) => ({ frame, requests: one.requests }));
    });
  }

  /** A `receipt.updated` of this user. @param {Receipt} receipt */
  heard(receipt) {
    this.#confirm(keyOf(receipt.conversation_id, receipt.thread_root_id), {
      delivered: receipt.delivered_seq ?? 0,
      read: receipt.read_seq ?? 0,
      privateRead: receipt.private_read_seq ?? 0,
    });
  }

  /** A conversation as the server has it. @param {Conversation} conversation @param {string | null} userId */
  loaded(conversation, userId) {
    const me = conversation.members?.find((member) => member.user_id === userId);
    if (me) this.heard({ ...me, conversation_id: conversation.conversation_id, private_read_seq: conversation.private_read_seq ?? 0 });
  }

  /**
   * A frame was refused: again later if that may help, else never. Returns what is given up.
   *
   * @param {number} request
   * @param {ErrorBody} error
   * @param {number} now
   */
  refuse(request, error, now) {
    for (const [key, waiting] of this.#waiting) {
      if (!waiting.requests.includes(request)) continue;
      if (!error.temporary) {
        this.#waiting.delete(key);
        return waiting;
      }
      waiting.due = now + (error.retry_after_ms || RETRY_MS);
    }
    return null;
  }

  /** What is not confirmed is due again: it may never have arrived. */
  disconnected() {
    this.#writeAt = 0;
    for (const waiting of this.#waiting.values()) {
      waiting.due = 0;
      waiting.requests = [];
    }
  }

  /** When `takeDue` has something; infinite if nothing waits for the clock. */
  nextDue() {
    let due = NEVER;
    for (const waiting of this.#waiting.values()) due = Math.min(due, waiting.due);
    return due === NEVER ? due : Math.max(due, this.#writeAt);
  }

  /** @param {string} key @param {Levels} levels the server has this much */
  #confirm(key, levels) {
    const known = highest(levels, this.#known.get(key));
    remember(this.#known, key, known);
    const waiting = this.#waiting.get(key);
    if (waiting && covers(known, waiting.levels)) this.#waiting.delete(key);
  }
}

/**
 * The frames that say these levels: one for what others may see, one for what they may not.
 *
 * @param {Waiting} waiting
 * @returns {Frame[]}
 */
function framesOf({ conversationId, threadRootId, levels: { delivered, read, privateRead } }) {
  const about = { type: 'receipt', conversation_id: conversationId, thread_root_id: threadRootId ?? undefined };
  const frames = [];
  if (delivered || read) frames.push({ ...about, delivered_seq: delivered || undefined, read_seq: read || undefined });
  if (privateRead) frames.push({ ...about, read_seq: privateRead, private: true });
  return frames;
}
