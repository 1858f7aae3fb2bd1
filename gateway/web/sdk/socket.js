/** The shell around `core.js`: a socket and a timer. It carries out what the core decides, and tells it what happens. */

import { ApiError, Stopped } from './errors.js';
import { SUBPROTOCOL } from './wire.js';

/** @import {Core} from './core.js' */
/** @import {Effect, State} from './types.js' */

const DIAL_MS = 10_000;

/**
 * @typedef {object} Wiring
 * @property {string} url of the socket
 * @property {(options?: import('./session.js').TokenOptions) => Promise<string>} token
 * @property {() => Promise<State>} load
 * @property {typeof WebSocket} WebSocket
 * @property {(effect: Effect) => void} tell everything that is not about the socket
 * @property {() => void} changed `link` or `retryAt` may have changed
 */

/** Connects, talks, waits, again, from `start` to `close`. */
export class Socket {
  #core;
  #wiring;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #closed = true;
  #token = '';
  /** Counts connections: what is told of an earlier one is not heard. */
  #number = 0;

  /** @param {Core} core @param {Wiring} wiring */
  constructor(core, wiring) {
    this.#core = core;
    this.#wiring = wiring;
  }

  /** When it will be dialled, as `Date.now()`; null unless disconnected. */
  get retryAt() {
    const { state, dialAt } = this.#core.line;
    return this.#closed || state !== 'disconnected' ? null : Date.now() + Math.max(0, dialAt - now());
  }

  start() {
    this.#closed = false;
    this.#arm();
  }

  close() {
    this.#closed = true;
    this.#hang();
    clearTimeout(this.#timer);
  }

  /** Carry out what a method of the core returned. @param {Effect[]} effects */
  apply(effects) {
    for (const effect of effects) this.#carryOut(effect);
    this.#arm();
    this.#wiring.changed();
  }

  /** @param {Effect} effect */
  #carryOut(effect) {
    switch (effect.do) {
      case 'write':
        return this.#socket?.send(JSON.stringify(effect.frame));
      case 'hang':
        return this.#hang();
      case 'load':
        return void this.#load(effect.number);
      case 'refresh':
        return void this.#refresh();
      case 'stop':
        this.close();
        return this.#wiring.tell(effect);
      default:
        return this.#wiring.tell(effect);
    }
  }

  /** Dial, or wake the core, when it is time. */
  #arm() {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    const down = this.#core.line.state === 'disconnected';
    const at = down ? this.#core.line.dialAt : this.#core.wakeAt();
    if (at === Infinity) return;
    this.#timer = setTimeout(() => (down ? this.#dial() : this.apply(this.#core.tick(now()))), Math.max(0, at - now()));
  }

  async #dial() {
    this.#number += 1;
    const number = this.#number;
    const gone = () => this.#closed || number !== this.#number;
    this.#core.dialling();
    this.#wiring.changed();
    try {
      const token = await this.#wiring.token(this.#core.line.tokenStale ? { renew: true, stale: this.#token } : {});
      if (gone()) return;
      this.#token = token;
      this.#core.line.tokenStale = false;
      this.#connect(number, token);
    } catch (failure) {
      if (gone()) return;
      const refused = failure instanceof ApiError ? failure : null;
      if (refused ? !refused.temporary : failure instanceof Stopped) {
        return this.apply([{ do: 'stop', error: /** @type {Error} */ (failure) }]);
      }
      this.apply(this.#core.undialled(now(), refused?.retryAfterMs));
    }
  }

  /** @param {number} number @param {string} token */
  #connect(number, token) {
    const socket = (this.#socket = new this.#wiring.WebSocket(this.#wiring.url, SUBPROTOCOL));
    const patience = setTimeout(() => this.#end(number, null, ''), DIAL_MS);
    socket.onopen = () => {
      clearTimeout(patience);
      if (number === this.#number) this.apply(this.#core.opened(token, now()));
    };
    socket.onmessage = ({ data }) => {
      if (number === this.#number) this.apply(this.#core.received(String(data), now()));
    };
    socket.onclose = ({ code, reason }) => {
      clearTimeout(patience);
      this.#end(number, code, reason);
    };
    socket.onerror = () => {}; // `close` follows, and says more
  }

  /** A silent server does not answer a close either: it is over at once. */
  #hang() {
    this.#end(this.#number, null, '');
  }

  /** @param {number} number @param {number | null} code @param {string} reason */
  #end(number, code, reason) {
    const socket = this.#socket;
    if (number !== this.#number || this.#core.line.state === 'disconnected') return;
    this.#number += 1;
    this.#socket = null;
    if (socket && socket.readyState < 2) socket.close();
    this.apply(this.#core.lost(code, reason, now()));
  }

  /** @param {number} number */
  async #load(number) {
    try {
      const state = await this.#wiring.load();
      if (!this.#closed) this.apply(this.#core.loaded(number, state, now())); // else the store is closed, too
    } catch {
      if (!this.#closed) this.apply(this.#core.loadFailed(number, now()));
    }
  }

  async #refresh() {
    try {
      const token = await this.#wiring.token({ renew: true });
      this.apply(this.#core.refreshed(token, now()));
    } catch {
      // the server will say 4004 when the old one has ended
    }
  }
}

/** Of a clock that only goes forward. */
export const now = () => performance.now();
