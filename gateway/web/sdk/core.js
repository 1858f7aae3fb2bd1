/**
 * The protocol without I/O: frames, failures and the clock go in, effects come out.
 *
 * The shell (`socket.js`) calls one method for each thing that happens, carries out the effects in order, and calls `tick` at `wakeAt()`.
 * Times are milliseconds on any clock that only goes forward.
 */

import { reconnectDelay } from './backoff.js';
import { Stopped } from './errors.js';
import { Inbox } from './inbox.js';
import { Interest } from './interest.js';
import { Line } from './link.js';
import { Marks } from './marks.js';
import { Outbox } from './outbox.js';
import { formatPosition, messageOf, NEVER, newestMessages, parsePosition, remember } from './wire.js';

/** @import {Effect, Entry, ErrorBody, Frame, Levels, Message, Random, Row, Saved, State} from './types.js' */

/** For the answer to `sync`. */
const MEND_MS = 10_000;
/** Where a resync begins here and not with a hint of the server: what broke one log may have broken everybody's. */
const RESYNC_SPREAD_MS = 2000;

/** One user's connection, outbox and inbox. */
export class Core {
  /** @type {string | null} */
  userId = null;
  counts = { connects: 0, recoveries: 0, resyncs: 0, gaps: 0, sent: 0, resent: 0, accepted: 0, stored: 0, rejected: 0 };
  marks = new Marks();
  interest = new Interest();
  /** Refused for good, until the person tries again or throws them away. @type {Map<string, Row>} */
  failed = new Map();
  /** What was stored lately: a late rejection of it is not to be believed. @type {Map<string, Message>} */
  stored = new Map();
  inbox;
  line;
  #outbox;
  #random;
  #saved;
  #client;
  /** @type {Effect[]} */
  #out = [];
  #request = 0;
  /** @type {number | null} */
  #mendRequest = null;
  #mendDeadAt = NEVER;
  #mends = true;
  #head = '';
  #reason = '';
  #loadNumber = 0;
  #loadAt = NEVER;
  #loadFailures = 0;

  /**
   * @param {Saved} saved
   * @param {{client?: Record<string, string>, inboxLimit?: number, random?: Random}} [options]
   */
  constructor(saved, { client = {}, inboxLimit = 1000, random = Math.random } = {}) {
    this.#saved = { ...saved };
    this.#client = client;
    this.#random = random;
    this.#outbox = new Outbox(random);
    this.inbox = new Inbox(inboxLimit);
    this.line = new Line(random);
  }

  /** Rows that wait to be stored, those of an earlier run included. */
  get outboxSize() {
    return this.#outbox.size + this.#saved.outbox.length;
  }

  // What the shell tells

  /** A connection is being made. */
  dialling() {
    this.line.state = 'connecting';
  }

  /** No connection could be made, or no token could be got. @param {number} now @param {number} [retryAfterMs] */
  undialled(now, retryAfterMs = 0) {
    this.line.hint(retryAfterMs);
    return this.lost(null, '', now);
  }

  /** The socket is open: say who we are, and from where to resume. @param {string} token @param {number} now */
  opened(token, now) {
    this.#request = 0;
    const saved = this.#saved.positions[this.userId ?? this.#saved.userId ?? ''];
    const from = this.line.opened(this.inbox.last ?? parsePosition(saved), now);
    this.#ask({ type: 'connect', token, client: this.#client, resume: from ? formatPosition(from) : undefined });
    return this.#effects();
  }

  /** A frame came. @param {string} text @param {number} now */
  received(text, now) {
    this.line.heard(now);
    try {
      this.#dispatch(JSON.parse(text), now);
    } catch (failure) {
      if (!(failure instanceof SyntaxError)) throw failure;
      this.#out.push({ do: 'hang', why: String(failure) });
    }
    return this.#pumped(now);
  }

  /** The connection ended. @param {number | null} code @param {string} reason @param {number} now */
  lost(code, reason, now) {
    const failure = this.line.lost(code, reason, now);
    if (failure) this.#out.push({ do: 'stop', error: failure });
    this.#endMending();
    this.#outbox.disconnected();
    this.marks.disconnected();
    this.interest.disconnected();
    return this.#effects();
  }

  /** A row for the outbox. Told twice, also after it failed, it is taken once. @param {Row} row @param {number} now */
  put(row, now) {
    const known = this.#outbox.has(row.id) || this.failed.has(row.id) || this.stored.has(row.id);
    if (!known && !this.#saved.outbox.some((one) => one.id === row.id)) this.#outbox.add(row);
    return this.#pumped(now);
  }

  /** A failed row goes out again, last of its conversation. @param {Row} row @param {number} now */
  retry(row, now) {
    this.failed.delete(row.id);
    return this.put({ ...row, error: null }, now);
  }

  /** We have received and read this far. @param {string} conversationId @param {string | null} rootId @param {Levels} levels @param {number} now */
  mark(conversationId, rootId, levels, now) {
    this.marks.raise(conversationId, rootId, levels, now);
    return this.#pumped(now);
  }

  /** What `interest` wants has changed, or there may be something due. @param {number} now */
  pump(now) {
    return this.#pumped(now);
  }

  /** We type, or stop; said only while connected. @param {string} conversationId @param {string | null} rootId @param {boolean} stop @param {number} now */
  type(conversationId, rootId, stop, now) {
    const frame = this.line.state === 'connected' && this.interest.type(conversationId, rootId, stop, now);
    if (frame) this.#out.push({ do: 'write', frame });
    return this.#effects();
  }

  /** A new token for the live socket. @param {string} token @param {number} now */
  refreshed(token, now) {
    if (this.line.state === 'connected') this.#ask({ type: 'refresh', token });
    return this.#pumped(now);
  }

  /** The state that `load` asked for. A stale one, begun before the newest connection or resync, is not used. @param {number} number @param {State} state @param {number} now */
  loaded(number, state, now) {
    const position = parsePosition(state.position);
    if (!position) return this.loadFailed(number, now);
    if (!this.inbox.loading || number !== this.#loadNumber) return [];
    this.#loadFailures = 0;
    this.counts.resyncs += 1;
    this.#out.push({ do: 'resynced', state, reason: this.#reason });
    for (const message of newestMessages(state)) this.#settle(this.#mine(message), message, null);
    for (const conversation of state.conversations) {
      this.marks.loaded(conversation, this.userId);
      this.interest.came(conversation.conversation_id);
    }
    for (const entry of this.inbox.replace(state, position)) this.#hear(entry, now);
    return this.#pumped(now);
  }

  /** The state could not be had: again, later. @param {number} number @param {number} now @returns {Effect[]} */
  loadFailed(number, now) {
    if (this.inbox.loading && number === this.#loadNumber) {
      this.#loadAt = now + reconnectDelay(this.#loadFailures, this.#random);
      this.#loadFailures += 1;
    }
    return [];
  }

  /** The machine woke, or the network is back: is the server still there? Not connected: try now. @param {number} now */
  probe(now) {
    this.line.hurry(now);
    if (this.line.state === 'connected') {
      if (this.#mendRequest === null) {
        const after = this.inbox.last ? formatPosition(this.inbox.last) : this.#head;
        this.#mendRequest = this.#ask({ type: 'sync', after, limit: 1 });
        this.#mendDeadAt = now + MEND_MS; // other words may come meanwhile, and while this waits no gap is mended
        this.#mends = false;
      }
      this.line.probed(now);
    }
    return this.#effects();
  }

  /** Time passed: carry out what `wakeAt` promised. @param {number} now @returns {Effect[]} */
  tick(now) {
    if (this.line.state !== 'disconnected' && now >= Math.min(this.line.deadAt, this.#mendDeadAt)) {
      const why = now >= this.line.deadAt ? 'silence' : 'no answer to sync';
      this.line.deadAt = this.#mendDeadAt = NEVER;
      return [{ do: 'hang', why }];
    }
    if (now >= this.#loadAt && this.line.state === 'connected') {
      this.#loadAt = NEVER;
      this.#out.push({ do: 'load', number: this.#loadNumber });
    }
    return this.#pumped(now);
  }

  /** When `tick` has something to do; infinite if only a frame can change anything. */
  wakeAt() {
    const { state, deadAt } = this.line;
    if (state === 'disconnected') return NEVER;
    const due = Math.min(deadAt, this.#mendDeadAt);
    return state === 'connected'
      ? Math.min(due, this.#loadAt, this.#outbox.nextDue(), this.marks.nextDue(), this.interest.nextDue())
      : due;
  }

  // Frames

  /** @param {Frame} frame @param {number} now */
  #dispatch(frame, now) {
    switch (frame?.type) {
      case 'connected':
        return this.#connected(frame, now);
      case 'reply':
        return this.#reply(frame, now);
      case 'event':
        return this.#hear(/** @type {any} */ (frame), now);
      case 'ephemeral':
        return void this.#out.push({ do: 'ephemeral', event: frame.event, data: frame.data });
      case 'ping':
        return this.#ping(frame, now);
      case 'token_expiring':
        return void this.#out.push({ do: 'refresh' });
      case 'resync_required':
        return this.#beginLoad(frame.reason, frame.retry_after_ms, now);
      case 'disconnect':
        return this.line.farewell(frame);
      default: // of a later version
    }
  }

  /** @param {Frame} frame @param {number} now */
  #connected(frame, now) {
    const { user_id: userId, position, recovered, resync } = frame;
    if (this.userId && this.userId !== userId) {
      this.#out.push({ do: 'stop', error: new Stopped('the token is of another user; make a new Client') });
      return;
    }
    const stranger = userId !== (this.userId ?? this.#saved.userId);
    this.line.connected(frame, now);
    this.counts.connects += 1;
    this.#head = position;
    if (!this.userId) this.#become(userId);
    if (!resync && recovered && this.line.resumed && !stranger) {
      this.counts.recoveries += 1;
      this.#loadNumber += 1;
      this.#loadAt = NEVER;
      this.inbox.follow(this.line.resumed);
    } else {
      // also if somebody else's position was taken for ours: never go on from it
      this.#beginLoad(resync || 'fresh', frame.retry_after_ms, now);
    }
  }

  /** The first connection tells who we are: what an earlier run of this user left goes before what this run sent. @param {string} userId */
  #become(userId) {
    const since = this.#outbox.rows();
    const left = this.#saved.outbox.filter((row) => !row.user || row.user === userId);
    this.userId = userId;
    this.#outbox = new Outbox(this.#random);
    this.#saved.outbox = [];
    for (const row of [...left, ...since]) {
      if (row.error) this.failed.set(row.id, row);
      else this.#outbox.add(row);
    }
    this.#out.push({ do: 'adopt', userId, rows: left });
  }

  // Events

  /** @param {Entry} entry @param {number} now */
  #hear(entry, now) {
    const { event } = entry;
    if (typeof event !== 'string') return; // not one of ours
    const data = entry.data ?? {};
    if (event === 'receipt.updated' && data.user_id === this.userId) this.marks.heard(data);
    if (event.startsWith('conversation.')) this.interest.came(data.conversation_id);
    if (event.startsWith('member.') && data.members?.some((/** @type {any} */ one) => one.user_id === this.userId)) {
      this.interest[event === 'member.left' ? 'left' : 'came'](data.conversation_id);
    }
    const { id, message, error } = this.#outcome(entry);
    const hide = Boolean(error && id && this.stored.has(id));
    const heard = this.inbox.hear(entry);
    if (heard === 'foreign') return this.#beginLoad('epoch_changed', RESYNC_SPREAD_MS, now);
    if (heard === 'taken') {
      this.#out.push({ do: 'deliver', position: entry.position, entry: this.inbox.isNews(entry) && !hide ? entry : null });
    }
    if (!hide) this.#settle(id, message, error);
  }

  /**
   * Which of our messages or changes an event settles, and how.
   *
   * @param {Entry} entry
   * @returns {{id?: string | null, message: Message | null, error: ErrorBody | null}}
   */
  #outcome(entry) {
    const message = messageOf(entry);
    if (message) {
      const id = entry.event === 'message.created' ? this.#mine(message) : entry.actor_id === this.userId ? entry.client_op_id : null;
      return { id, message, error: null };
    }
    const { client_msg_id, client_op_id, error } = entry.data ?? {};
    return { id: /\.rejected$/.test(entry.event) ? client_msg_id || client_op_id : null, message: null, error };
  }

  /** @param {Message} message */
  #mine(message) {
    return message.sender_id === this.userId ? message.client_msg_id : null;
  }

  /** @param {string | null | undefined} id @param {Message | null} message @param {ErrorBody | null} error */
  #settle(id, message, error) {
    if (!id) return;
    const row = this.#outbox.settle(id);
    if (message ? !row && !this.failed.delete(id) : !row) return;
    if (message) {
      this.counts.stored += 1;
      remember(this.stored, id, message);
    } else if (row) {
      this.counts.rejected += 1;
      this.failed.set(id, { ...row, error });
    }
    this.#out.push({ do: 'settled', id, message, error });
  }

  /** @param {Frame} frame @param {number} now */
  #ping(frame, now) {
    this.#out.push({ do: 'write', frame: { type: 'pong' } });
    const head = parsePosition(frame.position);
    if (head && !this.inbox.hearHead(head)) this.#beginLoad('epoch_changed', RESYNC_SPREAD_MS, now);
  }

  /** @param {string} reason @param {number | undefined} spreadMs @param {number} now */
  #beginLoad(reason, spreadMs, now) {
    this.#reason = reason;
    this.#loadNumber += 1;
    this.#loadAt = now + this.#random() * (spreadMs ?? 0);
    this.#endMending();
    this.inbox.hold();
  }

  // Requests

  /** @param {Frame} frame @param {number} now */
  #reply({ id, ok, result, error }, now) {
    if (id !== null && id === this.#mendRequest) return this.#mended(ok ? (result?.events ?? []) : null, error, now);
    const asked = this.interest.answered(id);
    if (ok) {
      for (const data of (asked && result?.states) || []) this.#out.push({ do: 'ephemeral', event: 'presence', data });
      const outgoing = this.#outbox.accept(id, now);
      if (!outgoing) return;
      this.counts.accepted += 1;
      this.#out.push({ do: 'accepted', id: outgoing.row.id });
    } else if (error) {
      if (error.code === 'token_expired') this.#out.push({ do: 'refresh' });
      if (asked) this.interest.refused(asked, error, now);
      const unmarked = this.marks.refuse(id, error, now);
      if (unmarked) this.#out.push({ do: 'unmarked', conversationId: unmarked.conversationId, threadRootId: unmarked.threadRootId });
      this.#settle(this.#outbox.refuse(id, error, now), null, error);
    }
  }

  /** @param {Entry[] | null} page @param {ErrorBody | undefined} error @param {number} now */
  #mended(page, error, now) {
    const mends = this.#mends;
    this.#endMending();
    if (this.inbox.loading || (!mends && (error?.temporary || page?.length === 0))) return; // it was to hear a word
    if (!page || !this.inbox.mends(page)) return this.#beginLoad('gap', RESYNC_SPREAD_MS, now);
    for (const entry of page) this.#hear(entry, now);
  }

  #endMending() {
    this.#mendRequest = null;
    this.#mendDeadAt = NEVER;
    this.#mends = true;
  }

  /** Write what is due: messages, marks, interest, and the request for what is missing. @param {number} now */
  #pumped(now) {
    if (this.line.state === 'connected') {
      for (const outgoing of this.#outbox.takeDue(now)) {
        this.#outbox.written(outgoing, this.#ask(outgoing.row.frame), now);
        this.counts.sent += 1;
        if (outgoing.writes > 1) this.counts.resent += 1;
      }
      for (const { frame, requests } of this.marks.takeDue(now)) requests.push(this.#ask(frame));
      for (const frame of this.interest.takeDue(now)) this.interest.written(this.#ask(frame), frame);
      const after = this.#mendRequest === null && this.inbox.gapAfter;
      if (after) {
        this.#mendRequest = this.#ask({ type: 'sync', after: formatPosition(after) });
        this.#mendDeadAt = now + MEND_MS;
        this.counts.gaps += 1;
      }
    }
    return this.#effects();
  }

  /** Write a frame under the next number. @param {Frame} frame */
  #ask(frame) {
    this.#request += 1;
    this.#out.push({ do: 'write', frame: { ...frame, id: this.#request } });
    return this.#request;
  }

  #effects() {
    const effects = this.#out;
    this.#out = [];
    return effects;
  }
}
