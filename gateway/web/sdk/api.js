/** REST, under the names of docs/protocol.md. What is thrown: `ApiError` if the server refused, `Unreachable` if nobody knows. */

import { ApiError, Unreachable } from './errors.js';
import { upload } from './files.js';
import { ask } from './http.js';
import { Session } from './session.js';

/** @import {Attachment, Conversation, Message, State, User} from './types.js' */
/** @import {Options} from './http.js' */
/** @import {Keeper, SignedIn, TokenOptions} from './session.js' */
/** @import {UploadOptions} from './files.js' */

/** @template T @typedef {{items: T[], next_cursor: string | null}} Page */

const e = encodeURIComponent;

/** For the answer to a refresh, but the last. */
const REFRESH_MS = 3000;
const REFRESHES = 3;

/** One person at one server. */
export class Api {
  /** Of the server, without a slash at the end. */
  url;
  #session;
  #fetch;
  #cookie;
  #token;

  /**
   * @param {object} options
   * @param {string} options.url of the server
   * @param {boolean} [options.cookie] whether the refresh token is a cookie; by default on https pages of the same origin
   * @param {(options?: TokenOptions) => Promise<string>} [options.token] gives good access tokens, in place of signing in here
   * @param {typeof globalThis.fetch} [options.fetch]
   * @param {Keeper} [options.storage] keeps who is signed in, and without a cookie the refresh token
   */
  constructor({ url, cookie, token, fetch = (...given) => globalThis.fetch(...given), storage }) {
    this.url = url.replace(/\/+$/, '');
    const { protocol, origin } = globalThis.location ?? {};
    this.#cookie = cookie ?? (protocol === 'https:' && new URL(this.url).origin === origin);
    this.#fetch = fetch;
    this.#token = token;
    const shared = !token && !storage && Boolean(globalThis.document && globalThis.localStorage && globalThis.BroadcastChannel);
    this.#session = new Session(this.url, storage ?? (shared ? globalThis.localStorage : inMemory()), shared, (token) => this.#refresh(token));
  }

  /** Who is signed in. @returns {User | null} */
  get user() {
    return this.#session.user;
  }

  /** The session that this is. */
  get sessionId() {
    return this.#session.sessionId;
  }

  /** Make an account and sign in. @param {{username: string, password: string, displayName?: string, email?: string, device?: string}} person */
  async register({ displayName, ...person }) {
    return this.#signIn('/api/auth/register', { ...person, display_name: displayName });
  }

  /** @param {{username?: string, email?: string, password: string, device?: string}} person */
  async login(person) {
    return this.#signIn('/api/auth/login', person);
  }

  /** The session that is still there; null if there is none. Offline, whoever it was last: what is cached can be read. */
  async restore() {
    const { kept } = this.#session;
    if (!kept) return null;
    this.#session.resume(kept.user);
    try {
      await this.token();
    } catch (failure) {
      if (failure instanceof ApiError && !failure.temporary) return null;
    }
    return this.user;
  }

  /** End this session, or all; here it ends also where the server can not be reached. @param {{everywhere?: boolean}} [options] */
  async logout({ everywhere = false } = {}) {
    try {
      await this.request('POST', '/api/auth/logout', { body: { everywhere } });
    } finally {
      this.#session.signedOut();
    }
  }

  /** An access token; refreshed once for all callers, and by one tab for all tabs. @param {TokenOptions} [options] */
  async token(options) {
    return this.#token ? this.#token(options) : this.#session.token(options);
  }

  /**
   * A request of whoever is signed in: JSON in, JSON out.
   *
   * @param {string} method
   * @param {string} path
   * @param {Options} [options]
   * @returns {Promise<any>}
   */
  async request(method, path, options) {
    return (await this.answer(method, path, options)).result;
  }

  /** As `request`, with the status. @param {string} method @param {string} path @param {Options} [options] */
  async answer(method, path, options = {}) {
    const stale = await this.token();
    try {
      return await ask(this.#fetch, this.url + path, method, { ...options, token: stale });
    } catch (failure) {
      if (!(failure instanceof ApiError && failure.code === 'token_expired')) throw failure;
      return ask(this.#fetch, this.url + path, method, { ...options, token: await this.token({ renew: true, stale }) });
    }
  }

  close() {
    this.#session.close();
  }

  // People

  /** @returns {Promise<User & {email: string | null}>} */
  me = () => this.#get('/api/me');
  /** @param {{display_name?: string, email?: string | null}} change */
  changeMe = (change) => this.request('PATCH', '/api/me', { body: change });
  /** @param {string} query @returns {Promise<User[]>} */
  searchUsers = async (query) => (await this.#get('/api/users', { query })).items;
  /** @param {string} id @returns {Promise<User>} */
  getUser = (id) => this.#get(`/api/users/${e(id)}`);
  /** @param {string} id */
  block = (id) => this.request('PUT', `/api/users/${e(id)}/block`);
  /** @param {string} id */
  unblock = (id) => this.request('DELETE', `/api/users/${e(id)}/block`);
  blocks = async () => (await this.#get('/api/blocks')).items;
  sessions = async () => (await this.#get('/api/auth/sessions')).items;
  /** @param {string} id */
  endSession = (id) => this.request('DELETE', `/api/auth/sessions/${e(id)}`);
  /** @param {string} current @param {string} next */
  changePassword = (current, next) =>
    this.request('POST', '/api/auth/password', { body: { current_password: current, new_password: next } });

  // Conversations

  /** @param {{cursor?: string, limit?: number}} [page] @returns {Promise<Page<Conversation>>} */
  conversations = (page) => this.#get('/api/conversations', page);
  /** @param {string} id @returns {Promise<Conversation>} */
  conversation = (id) => this.#get(room(id));
  /** The same again, if there is one. @param {string} userId */
  createDirect = (userId) => this.#create({ kind: 'direct', member_ids: [userId] });
  /** @param {{title?: string, memberIds: string[], key?: string}} group */
  createGroup = ({ title, memberIds, key }) => this.#create({ kind: 'group', member_ids: memberIds, title }, key);
  /** @param {string} id @param {{title?: string, history?: string, retention_days?: number | null}} change */
  updateConversation = (id, change) => this.request('PATCH', room(id), { body: change });
  /** For oneself alone. @param {string} id @param {{archived?: boolean, mutedUntil?: string | null, cleared?: boolean}} change */
  mine = (id, { mutedUntil, ...rest }) => this.request('PATCH', `${room(id)}/mine`, { body: { ...rest, muted_until: mutedUntil } });
  /** @param {string} id @param {string[]} userIds */
  addMembers = (id, userIds) => this.request('POST', `${room(id)}/members`, { body: { user_ids: userIds } });
  /** @param {string} id @param {string} userId */
  removeMember = (id, userId) => this.request('DELETE', `${room(id)}/members/${e(userId)}`);
  /** @param {string} id @param {string} userId @param {'owner' | 'admin' | 'member'} role */
  setRole = (id, userId, role) => this.request('PATCH', `${room(id)}/members/${e(userId)}`, { body: { role } });

  // Messages

  /**
   * A page, the oldest first.
   *
   * @param {string} id
   * @param {{beforeSeq?: number, afterSeq?: number, sinceRev?: number, threadRootId?: string, cursor?: string, limit?: number}} [page]
   * @returns {Promise<Page<Message>>}
   */
  messages = (id, { beforeSeq, afterSeq, sinceRev, threadRootId, ...page } = {}) =>
    this.#get(`${room(id)}/messages`, {
      before_seq: beforeSeq,
      after_seq: afterSeq,
      since_rev: sinceRev,
      thread_root_id: threadRootId,
      ...page,
    });
  /** @param {string} id @returns {Promise<Message>} */
  message = (id) => this.#get(`/api/messages/${e(id)}`);
  /** @param {string} id conversation @returns {Promise<Message[]>} */
  pins = async (id) => (await this.#get(`${room(id)}/pins`)).items;
  /** @param {string} id message */
  pin = (id) => this.request('PUT', `/api/messages/${e(id)}/pin`);
  /** @param {string} id message */
  unpin = (id) => this.request('DELETE', `/api/messages/${e(id)}/pin`);
  /** @param {string} id @param {{cursor?: string, limit?: number}} [page] @returns {Promise<Page<{root: Message, read_seq: number, unread_count: number}>>} */
  threads = (id, page) => this.#get(`${room(id)}/threads`, page);
  /** @param {string} id message @param {{cursor?: string}} [page] */
  receipts = (id, page) => this.#get(`/api/messages/${e(id)}/receipts`, page);

  // Files

  /** What became of a file. @param {string} id @returns {Promise<Attachment>} */
  attachment = (id) => this.#get(`/api/attachments/${e(id)}`);
  /** @param {Blob} file @param {UploadOptions} [options] @returns {Promise<Attachment>} to be scanned yet */
  upload = (file, options) => upload(this, file, options);
  /** A link for a moment. @param {string} id @param {{thumbnail?: boolean}} [options] @returns {Promise<{url: string, expires_at: string}>} */
  link = (id, { thumbnail = false } = {}) => this.#get(`/api/attachments/${e(id)}/${thumbnail ? 'thumbnail' : 'content'}`);

  /** The whole state, as of the position of its first page. @returns {Promise<State>} */
  sync = async () => {
    /** @type {State} */
    const state = await this.#get('/api/sync');
    for (let cursor = state.next_cursor; cursor; ) {
      const page = await this.#get('/api/sync', { cursor });
      state.conversations.push(...page.conversations);
      cursor = page.next_cursor;
    }
    return state;
  };

  /** @param {string} path @param {Options['query']} [query] */
  #get(path, query) {
    return this.request('GET', path, { query });
  }

  /** @param {object} body @param {string} [key] @returns {Promise<Conversation>} */
  async #create(body, key = crypto.randomUUID()) {
    const made = await this.request('POST', '/api/conversations', { body, key });
    if (made.kind) return made;
    throw new Unreachable('the conversation was accepted, but is not stored yet; ask again with the same key');
  }

  /** @param {string} path @param {object} body */
  async #signIn(path, body) {
    this.#session.signedIn(await this.#anonymous(path, { ...body, cookie: this.#cookie }));
    return this.user;
  }

  /**
   * A lost answer has spent the token: the server repeats it for 10 s, and takes whoever comes later for a thief.
   *
   * @param {string | undefined} refresh_token
   * @returns {Promise<SignedIn>}
   */
  async #refresh(refresh_token) {
    for (let tries = 1; ; tries += 1) {
      try {
        // the last try may take its time, where all is slow
        return await this.#anonymous('/api/auth/refresh', { refresh_token }, tries < REFRESHES ? REFRESH_MS : undefined);
      } catch (failure) {
        if (tries === REFRESHES || !(failure instanceof Unreachable)) throw failure;
      }
    }
  }

  /** @param {string} path @param {object} body @param {number} [patienceMs] */
  async #anonymous(path, body, patienceMs) {
    return (await ask(this.#fetch, this.url + path, 'POST', { body, patienceMs })).result;
  }
}

/** @param {string} id */
const room = (id) => `/api/conversations/${e(id)}`;

/** @returns {Keeper} */
function inMemory() {
  /** @type {Map<string, string>} */
  const kept = new Map();
  return {
    getItem: (name) => kept.get(name) ?? null,
    setItem: (name, value) => void kept.set(name, value),
    removeItem: (name) => void kept.delete(name),
  };
}
