/**
 * Being signed in: an access token of minutes in memory, and how to get the next one.
 *
 * A refresh token works once. So one caller refreshes for all, and with Web Locks one tab for all tabs, which hear the new token over a
 * channel. The refresh token is in a cookie that no script sees; where cookies can not be had (plain http, other origins), it is kept in
 * `storage`.
 */

import { ApiError, Stopped } from './errors.js';

/** @import {User} from './types.js' */

/** Before its end, when a token is not good any more. */
const EARLY_MS = 30_000;
/** For another tab to tell its token. */
const ASK_MS = 100;

/**
 * @typedef {{access_token: string, expires_in: number, refresh_token?: string, user?: User, session_id?: string}} SignedIn
 * @typedef {{renew?: boolean, stale?: string}} TokenOptions `renew`: the last one will not do, or the one that is `stale`
 * @typedef {Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>} Keeper
 * @typedef {{user: User, refresh_token?: string}} Kept
 */

export class Session {
  /** @type {User | null} */
  user = null;
  /** @type {string | null} */
  sessionId = null;
  /** Signed out, here or in another tab: there are no tokens until somebody signs in here. */
  #ended = false;
  #access = '';
  #expiresAt = 0;
  /** @type {Promise<string> | null} */
  #flight = null;
  #name;
  #keeper;
  #refresh;
  /** @type {BroadcastChannel | null} */
  #channel = null;
  #heard = () => {};

  /**
   * @param {string} origin of the server
   * @param {Keeper} keeper
   * @param {boolean} shared whether other tabs have the same session
   * @param {(refreshToken: string | undefined) => Promise<SignedIn>} refresh asks the server for a new pair
   */
  constructor(origin, keeper, shared, refresh) {
    this.#name = `headrace-session:${origin}`;
    this.#keeper = keeper;
    this.#refresh = refresh;
    if (!shared) return;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => {
      if (data === 'token?') {
        if (this.#good()) this.#tell();
      } else if (data.access && !this.#ended && (!this.user || this.user.user_id === data.user.user_id)) {
        Object.assign(this, { user: data.user, sessionId: data.sessionId });
        this.#access = data.access;
        this.#expiresAt = data.expiresAt;
        this.#heard();
      } else if (data === 'out') this.#clear();
    };
  }

  /** Who was signed in here last, and may still be. */
  get kept() {
    /** @type {Kept | null} */
    const kept = JSON.parse(this.#keeper.getItem(this.#name) ?? 'null');
    return kept;
  }

  /**
   * An access token that lives for a while yet.
   *
   * @param {TokenOptions} [options]
   * @returns {Promise<string>}
   */
  async token({ renew = false, stale = renew ? this.#access : '' } = {}) {
    if (this.#ended) throw new Stopped('signed out');
    if (this.#good() && this.#access !== stale) return this.#access;
    return (this.#flight ??= this.#locked(stale).finally(() => (this.#flight = null)));
  }

  /** Go on as whoever was signed in here last. @param {User} user */
  resume(user) {
    this.user = user;
    this.#ended = false;
  }

  /** A pair of tokens came. @param {SignedIn} pair */
  signedIn(pair) {
    this.#ended = false;
    this.user = pair.user ?? this.user ?? this.kept?.user ?? null;
    this.sessionId = pair.session_id ?? this.sessionId;
    this.#access = pair.access_token;
    this.#expiresAt = Date.now() + pair.expires_in * 1000 - Math.min(EARLY_MS, pair.expires_in * 500);
    this.#keeper.setItem(this.#name, JSON.stringify({ user: this.user, refresh_token: pair.refresh_token }));
    this.#tell();
  }

  signedOut() {
    if (!this.#ended && this.#ours(this.kept?.user)) {
      this.#keeper.removeItem(this.#name);
      this.#channel?.postMessage('out');
    }
    this.#clear();
  }

  close() {
    this.#channel?.close();
  }

  /** @param {string} stale @returns {Promise<string>} */
  #locked(stale) {
    const locks = this.#channel && globalThis.navigator?.locks;
    return locks ? locks.request(this.#name, () => this.#renewed(stale)) : this.#renewed(stale);
  }

  /** @param {string} stale */
  async #renewed(stale) {
    if (this.#channel && (!this.#good() || this.#access === stale)) await this.#ask();
    if (this.#good() && this.#access !== stale) return this.#access; // of another tab
    const { kept } = this;
    this.#check(kept?.user);
    try {
      const pair = await this.#refresh(kept?.refresh_token);
      this.#check(pair.user);
      this.signedIn(pair);
    } catch (failure) {
      if (failure instanceof ApiError && !failure.temporary) this.signedOut();
      throw failure;
    }
    return this.#access;
  }

  /** Tokens are not ours once somebody has signed out, or in as somebody else, in another tab. @param {User | null | undefined} user whose they are */
  #check(user) {
    if (this.#ended) throw new Stopped('signed out');
    if (!this.#ours(user)) throw new Stopped('somebody else has signed in');
  }

  /** @param {User | null | undefined} user */
  #ours(user) {
    return !user || !this.user || user.user_id === this.user.user_id;
  }

  /** Whether another tab has a token. */
  #ask() {
    return new Promise((resolve) => {
      this.#heard = () => resolve(null);
      setTimeout(resolve, ASK_MS);
      this.#channel?.postMessage('token?');
    });
  }

  #tell() {
    const { user, sessionId } = this;
    this.#channel?.postMessage({ access: this.#access, expiresAt: this.#expiresAt, user, sessionId });
  }

  #good() {
    return this.#access !== '' && Date.now() < this.#expiresAt;
  }

  #clear() {
    this.#ended = true;
    this.user = this.sessionId = null;
    this.#access = '';
    this.#expiresAt = 0;
  }
}
