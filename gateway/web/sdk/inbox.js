/**
 * What arrives: in order, without gaps, each change once. No I/O.
 *
 * Offsets are dense, so a hole is seen and mended by `sync`. While the state is being loaded, live events are held and those above its
 * position are applied after it.
 */

import { messageOf, newestMessages, parsePosition, remember } from './wire.js';

/** @import {Entry, Message, Position, State} from './types.js' */

/** The log of one user as this client follows it. */
export class Inbox {
  /** The newest position that was taken. @type {Position | null} */
  last = null;
  repeats = 0;
  /** @type {Entry[] | null} */
  #held = null;
  #head = -1;
  /** @type {Position | null} */
  #passedOver = null;
  /** @type {Map<string, true>} */
  #seen = new Map();
  /** @type {Map<string, number>} */
  #revs = new Map();
  #limit;

  /** @param {number} limit how many events are held while a state is loaded; the rest comes by `sync` */
  constructor(limit) {
    this.#limit = limit;
  }

  /** Whether live events are held for a state that is being loaded. */
  get loading() {
    return this.#held !== null;
  }

  /** After where entries are missing; null if none are. */
  get gapAfter() {
    return this.last && !this.loading && this.#head > this.last.offset ? this.last : null;
  }

  /** The server replays everything after this position: go on from it. @param {Position} position */
  follow(position) {
    this.last = position;
    this.#head = position.offset;
    this.#held = null;
  }

  /**
   * One entry of the log, live or from a page. `later`: held, or beyond a gap; it will come again. `foreign`: of another epoch.
   *
   * @param {Entry} entry
   * @returns {'taken' | 'repeated' | 'later' | 'foreign'}
   */
  hear(entry) {
    const position = parsePosition(entry.position);
    if (!position) throw new SyntaxError(entry.position);
    if (this.#held) {
      if (this.#held.length < this.#limit) this.#held.push(entry);
      else this.#passedOver = position;
      return 'later';
    }
    const { last } = this;
    if (!last || position.epoch !== last.epoch) return 'foreign';
    this.#head = Math.max(this.#head, position.offset);
    if (position.offset <= last.offset) return 'repeated';
    if (position.offset > last.offset + 1) return 'later';
    this.last = position;
    return 'taken';
  }

  /**
   * Whether what a taken entry tells is new: by event id, and of messages by `rev`.
   *
   * @param {Entry} entry
   */
  isNews(entry) {
    const message = messageOf(entry);
    let news = !message || this.#newer(message);
    if (entry.event_id) {
      news &&= !this.#seen.has(entry.event_id);
      remember(this.#seen, entry.event_id, true);
    }
    if (!news) this.repeats += 1;
    return news;
  }

  /** The log ends at `head`. False if that is another log than ours. @param {Position} head */
  hearHead(head) {
    if (this.loading) return true;
    if (this.last?.epoch !== head.epoch) return false;
    this.#head = Math.max(this.#head, head.offset);
    return true;
  }

  /** Whether a page goes on where we are: it must begin at the next offset, of the same epoch. @param {Entry[]} page */
  mends(page) {
    const first = parsePosition(page[0]?.position);
    return this.last !== null && first?.epoch === this.last.epoch && first.offset <= this.last.offset + 1;
  }

  /** From now on live events wait for the state. */
  hold() {
    this.#held ??= [];
  }

  /**
   * The state is here: it takes the place of everything before it. Returns what was held above it, to be heard now.
   *
   * @param {State} state
   * @param {Position} position the state's
   */
  replace(state, position) {
    const held = this.#held ?? [];
    this.follow(position);
    if (this.#passedOver?.epoch === position.epoch) this.#head = Math.max(this.#head, this.#passedOver.offset);
    this.#passedOver = null;
    this.#seen.clear();
    this.#revs.clear();
    newestMessages(state).forEach((message) => this.#newer(message));
    return held.filter((entry) => parsePosition(entry.position)?.epoch === position.epoch);
  }

  /** @param {Message} message */
  #newer(message) {
    if (message.rev <= (this.#revs.get(message.message_id) ?? -1)) return false;
    remember(this.#revs, message.message_id, message.rev);
    return true;
  }
}
