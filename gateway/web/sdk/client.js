/** The client: what a program asks for, and what it is told. Where it stands among tabs is `seat.js`'s; what is seen, `mirror.js`'s. */

import { Drafts } from './drafts.js';
import { OutboxFull, Stopped } from './errors.js';
import { MAX_PEOPLE, MAX_WATCHED } from './interest.js';
import { lost } from './leader.js';
import { Mirror } from './mirror.js';
import { Pages } from './pages.js';
import { Seat } from './seat.js';
import { Sending } from './sending.js';
import { MemoryStore } from './store.js';
import { MAX_FRAME_BYTES } from './wire.js';

/** @import {Api} from './api.js' */
/** @import {Setting} from './leader.js' */
/** @import {Attachment, Frame, Kind, Link, Row, Store} from './types.js' */

const VERSION = '0.1.0';

/** @typedef {{message_id: string, conversation_id: string, rev: number}} Known a message that is stored */

/** One user's connection, kept up from `start` to `close`. Its events are in docs/sdk.md. */
export class Client extends EventTarget {
  drafts;
  #setting;
  #mirror;
  #pages;
  #cap;
  #wantsTabs;
  #seat;

  /**
   * @param {object} options
   * @param {Api} options.api
   * @param {string} [options.url] of the server, if it is another than the api's
   * @param {Store} [options.store]
   * @param {string} [options.clientName]
   * @param {string} [options.deviceId]
   * @param {boolean} [options.tabs] whether tabs share one connection, where the browser lets them
   * @param {boolean} [options.receipts] whether it is said by itself what has been received
   * @param {number} [options.outboxCap]
   * @param {any} [options.WebSocket] a class, where there is no global one
   */
  constructor({ api, url = api.url, store, clientName = 'headrace-web', deviceId, tabs = true, receipts = true, outboxCap = 1000, ...rest }) {
    super();
    const client = { name: clientName, version: VERSION, instance_id: crypto.randomUUID(), ...(deviceId && { device_id: deviceId }) };
    /** @type {Setting} */
    this.#setting = {
      api,
      url: `${url.replace(/^http/, 'ws').replace(/\/+$/, '')}/ws`,
      store: store ?? new MemoryStore(),
      WebSocket: rest.WebSocket ?? globalThis.WebSocket,
      client,
      receipts,
    };
    this.#wantsTabs = tabs;
    this.#cap = outboxCap;
    this.#mirror = new Mirror(api.user?.user_id ?? '', (event, detail) => this.#say(event, detail), (mends) => this.#pages.mend(mends));
    this.#pages = new Pages(api, () => this.#mirror.view);
    this.drafts = new Drafts(this.#setting.store, () => this.view.userId, (conversationId, draft) =>
      this.#seat.drafted(conversationId, draft),
    );
    this.#seat = new Seat(this.#setting, this.#mirror, this.drafts, (event, detail) => this.#say(event, detail));
  }

  /** @returns {Link} */
  get link() {
    return this.#seat.closed ? 'disconnected' : this.#mirror.link;
  }

  /** When the next try is, as `Date.now()`, while disconnected. */
  get retryAt() {
    return this.#mirror.retryAt;
  }

  /** What is going on, with what is on its way laid over it. */
  get view() {
    return this.#mirror.view;
  }

  /** Whether this tab holds the connection. */
  get leads() {
    return this.#seat.leader !== null;
  }

  /** Show what is cached, connect, and stay connected. */
  start() {
    this.view.userId ||= this.#setting.api.user?.user_id ?? '';
    this.#seat.start(this.#wantsTabs);
  }

  /** Disconnect. What is not stored yet stays in the store's outbox. */
  async close() {
    if (this.#seat.closed) return;
    await this.#seat.close();
    const why = new Stopped('the client was closed; the message may or may not be sent later');
    for (const sending of this.#mirror.sendings.values()) sending.stop(why);
  }

  /** Try now. */
  retryNow() {
    this.#seat.command({ do: 'probe' });
  }

  // Sending

  /**
   * Put a message into the outbox. It is seen at once, on disk in a moment, and then sent.
   *
   * @param {string} conversationId
   * @param {{text?: string, replyTo?: string | null, threadRootId?: string | null, mentions?: string[], attachments?: (Attachment | string)[], clientMsgId?: string}} content
   */
  send(conversationId, { text = '', replyTo, threadRootId, mentions, attachments, clientMsgId = crypto.randomUUID() }) {
    const files = attachments?.filter((one) => typeof one !== 'string');
    const frame = {
      client_msg_id: clientMsgId,
      content: { text },
      attachments: attachments?.length ? attachments.map((one) => (typeof one === 'string' ? one : one.attachment_id)) : undefined,
      reply_to: replyTo ?? undefined,
      thread_root_id: threadRootId ?? undefined,
      mentions: mentions?.length ? mentions : undefined,
    };
    return this.#put('send', 'message.send', conversationId, clientMsgId, frame, files);
  }

  /** Give a message another text. @param {Known} message @param {string} text @param {{onlyIfUnchanged?: boolean}} [options] */
  edit(message, text, { onlyIfUnchanged = false } = {}) {
    return this.#change('edit', 'message.edit', message, { content: { text }, expected_rev: onlyIfUnchanged ? message.rev : undefined });
  }

  /** Delete a message. @param {Known} message */
  remove(message) {
    return this.#change('delete', 'message.delete', message, {});
  }

  /** React, or take the reaction back. @param {Known} message @param {string} emoji @param {{remove?: boolean}} [options] */
  react(message, emoji, { remove = false } = {}) {
    return this.#change('react', remove ? 'reaction.remove' : 'reaction.add', message, { emoji });
  }

  /** What failed goes out again. @param {Sending} sending @returns {Sending} the one that does: another where its id was used up */
  retry(sending) {
    if (sending.error?.code === 'idempotency_conflict') {
      this.discard(sending);
      const { type, ...frame } = sending.frame;
      const id = crypto.randomUUID();
      const renamed = { ...frame, [sending.kind === 'send' ? 'client_msg_id' : 'client_op_id']: id };
      return this.#put(sending.kind, type, sending.conversationId, id, renamed, sending.attachments);
    }
    const row = { ...sending.row, error: null };
    void this.#setting.store.put(row).catch(lost);
    this.#mirror.hear({ news: 'sending', id: sending.id, state: 'sending' });
    this.#seat.command({ do: 'retry', row });
    return sending;
  }

  /** Throw away what failed. @param {Sending} sending */
  discard(sending) {
    void this.#setting.store.remove(sending.id).catch(lost);
    this.#mirror.hear({ news: 'discarded', id: sending.id });
    this.#seat.command({ do: 'discard', id: sending.id });
  }

  /** What is on its way, or failed, of this and of earlier runs; the oldest first. @returns {Sending[]} */
  pending() {
    return [...this.#mirror.sendings.values()];
  }

  // Having read, and what is fleeting

  /** We have read this far. @param {string} conversationId @param {number} seq @param {{threadRootId?: string | null, private?: boolean}} [options] */
  read(conversationId, seq, { threadRootId = null, private: hidden = false } = {}) {
    if (!threadRootId) this.#mirror.read(conversationId, seq);
    this.#seat.command({ do: 'mark', conversationId, threadRootId, levels: hidden ? { privateRead: seq } : { read: seq } });
  }

  /** We have received this far; said by itself unless `receipts` is false. @param {string} conversationId @param {number} seq @param {{threadRootId?: string | null}} [options] */
  received(conversationId, seq, { threadRootId = null } = {}) {
    this.#seat.command({ do: 'mark', conversationId, threadRootId, levels: { delivered: seq } });
  }

  /** We type; call it for every key. @param {string} conversationId @param {{stop?: boolean, threadRootId?: string | null}} [options] */
  typing(conversationId, { stop = false, threadRootId = null } = {}) {
    this.#seat.command({ do: 'type', conversationId, threadRootId, stop });
  }

  /** Hear who types in a conversation. Throws `RangeError` beyond 20. @param {string} conversationId */
  watch(conversationId) {
    this.#want(this.#seat.watched, [conversationId], MAX_WATCHED);
  }

  /** @param {string} conversationId */
  unwatch(conversationId) {
    this.#unwant(this.#seat.watched, [conversationId]);
  }

  /** Hear how these people are seen, now and at every change. Throws `RangeError` beyond 500. @param {string[]} userIds */
  subscribePresence(userIds) {
    this.#want(this.#seat.people, userIds, MAX_PEOPLE);
  }

  /** @param {string[]} userIds */
  unsubscribePresence(userIds) {
    this.#unwant(this.#seat.people, userIds);
  }

  /** How this device is shown. @param {'online' | 'away' | 'busy' | 'invisible'} status */
  setPresence(status) {
    this.#seat.status = status;
    this.#seat.command({ do: 'status', status });
  }

  // Paging; each returns whether there is more

  /** @param {string} conversationId */
  loadOlder = (conversationId) => this.#pages.older(conversationId);
  /** @param {string} conversationId */
  loadNewer = (conversationId) => this.#pages.newer(conversationId);
  /** @param {string} conversationId @param {string} rootId */
  loadThread = (conversationId, rootId) => this.#pages.thread(conversationId, rootId);
  /** Show the messages around this number. @param {string} conversationId @param {number} seq */
  loadAround = (conversationId, seq) => this.#pages.around(conversationId, seq);
  /** Show the newest messages again. @param {string} conversationId */
  showLatest = (conversationId) => this.#pages.latest(conversationId);

  /** Figures of this moment; null where another tab leads. */
  stats() {
    const core = this.#seat.leader?.core;
    return core ? { ...core.counts, repeats: core.inbox.repeats, outbox: core.outboxSize, position: this.view.position } : null;
  }

  /** @param {Set<string>} wanted @param {string[]} more @param {number} most */
  #want(wanted, more, most) {
    if (new Set([...wanted, ...more]).size > most) throw new RangeError(`at most ${most} at once`);
    for (const one of more) wanted.add(one);
    this.#seat.want();
  }

  /** @param {Set<string>} wanted @param {string[]} less */
  #unwant(wanted, less) {
    for (const one of less) wanted.delete(one);
    this.#want(wanted, [], Infinity);
  }

  /** @param {Kind} kind @param {string} type @param {Known} message @param {object} fields */
  #change(kind, type, { message_id, conversation_id }, fields) {
    const id = crypto.randomUUID();
    return this.#put(kind, type, conversation_id, id, { client_op_id: id, message_id, ...fields });
  }

  /**
   * @param {Kind} kind
   * @param {string} type
   * @param {string} conversationId
   * @param {string} id
   * @param {object} fields
   * @param {Attachment[]} [attachments]
   */
  #put(kind, type, conversationId, id, fields, attachments) {
    if (this.#mirror.stopped) throw this.#mirror.stopped;
    if (this.#seat.closed) throw new Stopped('the client was closed');
    if (this.#mirror.sendings.size >= this.#cap) throw new OutboxFull(`${this.#cap} messages wait for the server already`);
    /** @type {Frame} */
    const frame = { type, conversation_id: conversationId, ...fields };
    const bytes = new TextEncoder().encode(JSON.stringify(frame)).length;
    if (bytes > MAX_FRAME_BYTES - 32) throw new RangeError(`the message is ${bytes} bytes as a frame; that is too long`);
    /** @type {Row} */
    const row = { id, user: this.view.userId || null, conversationId, kind, frame, createdAt: Date.now() };
    if (attachments?.length) row.attachments = attachments;
    const sending = new Sending(row);
    this.#mirror.add(sending);
    void this.#setting.store
      .put(row)
      .catch(lost)
      .then(() => this.#seat.command({ do: 'put', row }));
    return sending;
  }

  /** @param {string} event @param {any} detail */
  #say(event, detail) {
    if (event === 'event' && detail.event === 'conversation.created') {
      const room = this.view.rooms.get(detail.data.conversation_id);
      if (room && !room.marks_whole) void this.#pages.enter(detail.data.conversation_id);
    }
    if (event === 'ephemeral' && detail.event === 'typing' && detail.data.state === 'start') {
      setTimeout(() => this.#typed(detail.data), detail.data.expires_in_ms + 20);
    }
    this.dispatchEvent(new CustomEvent(event, { detail }));
  }

  /** Who does not go on typing has ended. @param {{conversation_id: string, user_id: string}} typing */
  #typed({ conversation_id, user_id }) {
    const typing = this.view.rooms.get(conversation_id)?.typing;
    if (!((typing?.get(user_id) ?? Infinity) <= Date.now())) return;
    typing?.delete(user_id);
    this.view.touch(conversation_id);
  }
}
