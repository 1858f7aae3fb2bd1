/**
 * The life of the connection: when to dial, from where to resume, when a silent server counts as dead, and when to stop. No I/O.
 */

import { reconnectDelay } from './backoff.js';
import { Stopped } from './errors.js';
import { NEVER } from './wire.js';

/** @import {Frame, Link, Position, Random} from './types.js' */

/** From the open socket to `connected`. */
export const CONNECT_MS = 10_000;
/** Beyond the server's ping interval, before a silent connection counts as dead. */
export const GRACE_MS = 10_000;
/** For any word of the server after the machine slept, or the network came back. */
export const PROBE_MS = 4000;
/** A connection that lived this long resets the backoff. */
const STABLE_MS = 30_000;
const MAX_FAILED_RESUMES = 3;

/** One connection after the other. */
export class Line {
  /** @type {Link} */
  state = 'disconnected';
  /** When to dial. */
  dialAt = 0;
  /** When silence is death. */
  deadAt = NEVER;
  /** The server called the token expired, and there is no other yet: get one before dialling. */
  tokenStale = false;
  /** The position that the connection asked to resume from. @type {Position | null} */
  resumed = null;
  #failures = 0;
  #failedResumes = 0;
  #hintMs = 0;
  /** Until when a server's hint forbids to dial. */
  #notBefore = 0;
  /** @type {Frame | null} */
  #farewell = null;
  #stableAt = NEVER;
  #intervalMs = 25_000;
  #random;

  /** @param {Random} random */
  constructor(random) {
    this.#random = random;
  }

  /** A server, or whoever gives tokens, asks to come later. @param {number} ms */
  hint(ms) {
    this.#hintMs = Math.max(this.#hintMs, ms);
  }

  /**
   * The socket is open. Returns from where to resume: after three failed resumes from nowhere.
   *
   * @param {Position | null} position
   * @param {number} now
   */
  opened(position, now) {
    this.resumed = this.#failedResumes < MAX_FAILED_RESUMES ? position : null;
    this.deadAt = now + CONNECT_MS;
    return this.resumed;
  }

  /** A frame came. @param {number} now */
  heard(now) {
    if (this.state === 'connected') this.deadAt = now + this.#intervalMs + GRACE_MS;
  }

  /** Any word by then, or the line is dead. @param {number} now */
  probed(now) {
    this.deadAt = Math.min(this.deadAt, now + PROBE_MS);
  }

  /** The server knows us. @param {Frame} frame @param {number} now */
  connected(frame, now) {
    this.state = 'connected';
    this.#failedResumes = 0;
    this.#intervalMs = frame.heartbeat_interval_ms ?? this.#intervalMs;
    this.#stableAt = now + STABLE_MS;
    this.heard(now);
  }

  /** The server says why it will close: the close code may get lost. @param {Frame} frame */
  farewell(frame) {
    this.#farewell = frame;
  }

  /**
   * The connection ended, with this close code if there was one. Returns why there will be no other; null if there will.
   *
   * @param {number | null} code
   * @param {string} reason
   * @param {number} now
   */
  lost(code, reason, now) {
    const farewell = this.#farewell;
    if (farewell && (!code || code === 1006)) ({ code, reason } = /** @type {any} */ (farewell));
    const connecting = this.state === 'connecting';
    this.state = 'disconnected';
    this.tokenStale ||= code === 4004;
    if (connecting && this.resumed) this.#failedResumes += 1;
    let ends = (code !== null && code >= 4500 && code < 5000) || farewell?.reconnect === false;
    if (code === 4504 && connecting && this.resumed) {
      this.#failedResumes = MAX_FAILED_RESUMES; // perhaps it is our position that the server can not read
      ends = false;
    }
    if (now >= this.#stableAt) this.#failures = 0;
    this.hint(farewell?.retry_after_ms ?? 0);
    this.#notBefore = now + this.#hintMs;
    this.dialAt = now + reconnectDelay(this.#failures, this.#random, this.#hintMs);
    this.#failures += 1;
    this.#hintMs = 0;
    this.#farewell = this.resumed = null;
    this.#stableAt = this.deadAt = NEVER;
    return ends ? new Stopped(reason || 'closed for good by the server', code) : null;
  }

  /** The network is back, or a person asks: dial at once, but not before a server's hint. @param {number} now */
  hurry(now) {
    if (this.state === 'disconnected') this.dialAt = Math.min(this.dialAt, Math.max(now, this.#notBefore));
  }
}
