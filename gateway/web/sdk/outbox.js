/**
 * What waits to be stored: what to write next, when to write it again, and what an answer means. No I/O.
 *
 * Each conversation is a queue whose first message alone is under way, until it is stored or refused: that keeps a sender's order
 * whatever gets lost. A message is resent unchanged, under the same id, so a resend can never become a second message.
 */

import { jittered } from './backoff.js';
import { NEVER } from './wire.js';

/** @import {ErrorBody, Random, Row} from './types.js' */

/** Without a reply this long the frame is written again. */
export const ACCEPT_MS = 10_000;
/** Accepted but not stored this long: written again; then after twice that, and so on. */
export const STORE_MS = 30_000;
const STORE_CAP_MS = 960_000;
const RETRY_CAP_MS = 30_000;
/** Requests under way at once: half of what a gateway takes before it stops reading. */
export const UNANSWERED = 32;

/** One row on its way. */
export class Outgoing {
  /** When to write it (again). */
  due = 0;
  /** Its number while a reply is awaited. @type {number | null} */
  request = null;
  /** How many times the server accepted it, asked to come later, was written to. */
  accepted = 0;
  refused = 0;
  writes = 0;

  /** @param {Row} row */
  constructor(row) {
    this.row = row;
  }
}

/** The rows of one user, a queue a conversation. */
export class Outbox {
  /** In the order in which they came: the first of each conversation is the one that may be under way. @type {Map<string, Outgoing>} */
  #byId = new Map();
  /** @type {Map<number, Outgoing>} */
  #byRequest = new Map();
  #random;

  /** @param {Random} random */
  constructor(random) {
    this.#random = random;
  }

  get size() {
    return this.#byId.size;
  }

  /** @param {string} id */
  has(id) {
    return this.#byId.has(id);
  }

  /** @returns {Row[]} the oldest first */
  rows() {
    return [...this.#byId.values()].map((one) => one.row);
  }

  /** Take a row in, behind those of its conversation. @param {Row} row */
  add(row) {
    this.#byId.set(row.id, new Outgoing(row));
  }

  /**
   * What to write now, one at a time. The caller writes each under a new number and says so with `written`.
   *
   * @param {number} now
   */
  *takeDue(now) {
    for (const first of this.#firsts()) {
      if (this.#byRequest.size >= UNANSWERED) return;
      if (first.due <= now) yield first;
    }
  }

  /**
   * It went out as this request; a reply is expected within `ACCEPT_MS`.
   *
   * @param {Outgoing} outgoing
   * @param {number} request
   * @param {number} now
   */
  written(outgoing, request, now) {
    this.#forget(outgoing);
    outgoing.request = request;
    outgoing.due = now + jittered(ACCEPT_MS, this.#random);
    outgoing.writes += 1;
    this.#byRequest.set(request, outgoing);
  }

  /** When `takeDue` has something again; infinite if nothing waits. */
  nextDue() {
    const full = this.#byRequest.size >= UNANSWERED;
    return (full ? [...this.#byRequest.values()] : this.#firsts()).reduce((due, one) => Math.min(due, one.due), NEVER);
  }

  /**
   * The server has it. Returns which; undefined if this request was none of ours, or is settled.
   *
   * @param {number} request
   * @param {number} now
   */
  accept(request, now) {
    const outgoing = this.#answered(request);
    if (outgoing) {
      outgoing.due = now + jittered(Math.min(STORE_CAP_MS, STORE_MS * 2 ** outgoing.accepted), this.#random);
      outgoing.accepted += 1;
    }
    return outgoing;
  }

  /**
   * The server did not take it. Temporary: it stays first and is written again after the wait that was asked for.
   * Returns its id if the refusal is for good.
   *
   * @param {number} request
   * @param {ErrorBody} error
   * @param {number} now
   */
  refuse(request, error, now) {
    const outgoing = this.#answered(request);
    if (!outgoing) return undefined;
    if (!error.temporary && error.code !== 'token_expired') return outgoing.row.id;
    const own = Math.min(RETRY_CAP_MS, 1000 * 2 ** outgoing.refused);
    outgoing.due = now + jittered(Math.max(own, error.retry_after_ms ?? 0), this.#random);
    outgoing.refused += 1;
    return undefined;
  }

  /**
   * It is stored, or refused for good: out. The next of its conversation may go. Undefined if it is not here.
   *
   * @param {string} id
   */
  settle(id) {
    const outgoing = this.#byId.get(id);
    if (!outgoing) return undefined;
    this.#byId.delete(id);
    this.#forget(outgoing);
    return outgoing.row;
  }

  /** Replies under way are lost: those go first on the next connection. */
  disconnected() {
    for (const outgoing of this.#byRequest.values()) {
      outgoing.request = null;
      outgoing.due = 0;
    }
    this.#byRequest.clear();
  }

  #firsts() {
    /** @type {Map<string, Outgoing>} */
    const firsts = new Map();
    for (const one of this.#byId.values()) if (!firsts.has(one.row.conversationId)) firsts.set(one.row.conversationId, one);
    return [...firsts.values()];
  }

  /** @param {number} request */
  #answered(request) {
    const outgoing = this.#byRequest.get(request);
    if (outgoing) this.#forget(outgoing);
    return outgoing;
  }

  /** @param {Outgoing} outgoing */
  #forget(outgoing) {
    if (outgoing.request !== null) this.#byRequest.delete(outgoing.request);
    outgoing.request = null;
  }
}
