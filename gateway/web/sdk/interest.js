/**
 * What this user looks at, whose presence they want to see, and how they show themselves. No I/O.
 *
 * All of it belongs to one connection on the server, so it is kept here as what is wanted, and said anew on every connection: what was
 * said on this one and what is wanted differ by the frames that are due.
 */

import { NEVER, remember } from './wire.js';

/** @import {ErrorBody, Frame} from './types.js' */

export const MAX_WATCHED = 20;
export const MAX_PEOPLE = 500;
const IN_A_FRAME = 200;
/** Between two times at which it is said that we type in a conversation: the server passes one in 3 s. */
export const TYPING_MS = 3200;
const RETRY_MS = 1000;

/** The ephemeral wants of one user. */
export class Interest {
  /** @type {Set<string>} */
  watched = new Set();
  /** @type {Set<string>} */
  people = new Set();
  /** @type {string | null} */
  status = null;
  /** By conversation: when we said so last, and whether it goes on. @type {Map<string, {at: number, on: boolean}>} */
  #typing = new Map();
  /** @type {Set<string>} */
  #away = new Set();
  /** @type {Map<number, Frame>} */
  #requests = new Map();
  #againAt = 0;
  /** @type {Set<string>} */
  #saidRooms = new Set();
  /** @type {Set<string>} */
  #saidPeople = new Set();
  /** @type {string | null} */
  #saidStatus = null;

  /**
   * The frame to write now; null where it would say nothing new. What is not said at once is not worth saying later.
   *
   * @param {string} conversationId
   * @param {string | null} threadRootId
   * @param {boolean} stop
   * @param {number} now
   * @returns {Frame | null}
   */
  type(conversationId, threadRootId, stop, now) {
    const said = this.#typing.get(conversationId) ?? { at: -NEVER, on: false };
    if (stop ? !said.on : now - said.at < TYPING_MS) return null;
    remember(this.#typing, conversationId, { at: stop ? said.at : now, on: !stop });
    const state = stop ? 'stop' : 'start';
    return { type: 'typing', conversation_id: conversationId, state, thread_root_id: threadRootId ?? undefined };
  }

  /** We are put out of a conversation: the server has ended the watching, and would refuse another. @param {string} conversationId */
  left(conversationId) {
    this.#saidRooms.delete(conversationId);
    this.#away.add(conversationId);
  }

  /** We are in a conversation, perhaps again. @param {string} conversationId */
  came(conversationId) {
    this.#away.delete(conversationId);
  }

  /**
   * What to say now; the caller says under which number with `written`.
   *
   * @param {number} now
   * @returns {Frame[]}
   */
  takeDue(now) {
    if (now < this.#againAt) return [];
    this.#againAt = 0;
    const rooms = [...this.watched].filter((room) => !this.#away.has(room));
    /** @type {Frame[]} */
    const frames = [
      ...without(this.#saidRooms, this.watched).map((room) => ({ type: 'unwatch', conversation_id: room })),
      ...without(rooms, this.#saidRooms).map((room) => ({ type: 'watch', conversation_id: room })),
      ...inFrames('presence.unsubscribe', without(this.#saidPeople, this.people)),
      ...inFrames('presence.subscribe', without(this.people, this.#saidPeople)),
    ];
    this.#saidRooms = new Set(rooms);
    this.#saidPeople = new Set(this.people);
    if (this.status && this.status !== this.#saidStatus) frames.push({ type: 'presence.set', status: this.status });
    this.#saidStatus = this.status;
    return frames;
  }

  /** A frame of `takeDue` went out under this number. @param {number} request @param {Frame} frame */
  written(request, frame) {
    this.#requests.set(request, frame);
  }

  /** Which of our frames that was, if it was one. @param {number} request */
  answered(request) {
    const frame = this.#requests.get(request);
    this.#requests.delete(request);
    return frame;
  }

  /**
   * A frame was refused: said again later if that may help; else it is wanted no more.
   *
   * @param {Frame} frame
   * @param {ErrorBody} error
   * @param {number} now
   */
  refused(frame, error, now) {
    const again = Boolean(error.temporary);
    if (again) this.#againAt = now + (error.retry_after_ms || RETRY_MS);
    const { type, conversation_id: room, user_ids: users } = frame;
    if (type === 'watch') {
      this.#saidRooms.delete(room);
      if (!again) this.watched.delete(room);
    } else if (type === 'presence.subscribe') {
      for (const user of users) {
        this.#saidPeople.delete(user);
        if (!again) this.people.delete(user);
      }
    } else if (type === 'presence.set') {
      this.#saidStatus = null;
      if (!again) this.status = null;
    } else if (again && type === 'unwatch') {
      this.#saidRooms.add(room);
    } else if (again) {
      for (const user of users) this.#saidPeople.add(user);
    }
  }

  /** The server forgets with the connection what was said on it. */
  disconnected() {
    this.#againAt = 0;
    this.#typing.clear();
    this.#requests.clear();
    this.#saidRooms.clear();
    this.#saidPeople.clear();
    this.#saidStatus = null;
  }

  /** When `takeDue` has something that waits for the clock; infinite if nothing does. */
  nextDue() {
    return this.#againAt || NEVER;
  }
}

/** @param {Iterable<string>} all @param {Set<string>} some */
const without = (all, some) => [...all].filter((one) => !some.has(one));

/** @param {string} type @param {string[]} users @returns {Frame[]} */
function inFrames(type, users) {
  const frames = [];
  for (let start = 0; start < users.length; start += IN_A_FRAME) {
    frames.push({ type, user_ids: users.slice(start, start + IN_A_FRAME) });
  }
  return frames;
}
