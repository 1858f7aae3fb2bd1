/**
 * What every tab sees: the view, what is on its way, and the link, kept up to date by what the leader tells (`News`). No I/O.
 */

import { Stopped } from './errors.js';
import { Sending } from './sending.js';
import { View } from './view.js';

/** @import {Draft, Entry, ErrorBody, Link, Message, Row, State} from './types.js' */
/** @import {Dump, Mend, Presence} from './view.js' */

/**
 * @typedef {{news: 'link', link: Link, retryAt: number | null}
 *   | {news: 'adopt', userId: string, rows: Row[]}
 *   | {news: 'event', position: string, entry: Entry | null}
 *   | {news: 'resynced', state: State, reason: string}
 *   | {news: 'glimpse', event: string, data: any}
 *   | {news: 'row', row: Row}
 *   | {news: 'sending', id: string, state: Sending['state'], error?: ErrorBody | null, message?: Message | null}
 *   | {news: 'discarded', id: string}
 *   | {news: 'read', conversationId: string, seq: number}
 *   | {news: 'unmarked', conversationId: string}
 *   | {news: 'draft', conversationId: string, draft: Draft | null}
 *   | {news: 'stopped', why: string, code: number | null}
 *   | {news: 'snapshot', view: Dump, presence?: Presence[], rows: Row[], accepted: string[], link: Link, retryAt: number | null}} News
 */

/** One tab's picture. `say` tells the program: the name of an event on the client, and its detail. */
export class Mirror {
  /** @type {Link} */
  link = 'disconnected';
  /** @type {number | null} */
  retryAt = null;
  /** @type {Stopped | null} */
  stopped = null;
  /** @type {Map<string, Sending>} */
  sendings = new Map();
  view;
  #say;
  #mend;
  /** @type {Set<string>} */
  #changed = new Set();
  #all = false;
  #told = true;

  /**
   * @param {string} userId
   * @param {(event: string, detail: any) => void} say
   * @param {(mends: Mend[]) => void} mend has older messages looked at again
   */
  constructor(userId, say, mend) {
    this.#say = say;
    this.#mend = mend;
    this.view = new View(userId, (id) => this.#touched(id));
  }

  /** Which conversations changed is told apart from the program, too: what is cached. @type {(conversationId: string) => void} */
  touched = () => {};

  /** @param {News} news @returns {void} */
  hear(news) {
    const { view } = this;
    switch (news.news) {
      case 'link':
        if (news.link === this.link && news.retryAt === this.retryAt) return;
        this.link = news.link;
        this.retryAt = news.retryAt;
        return this.#say('link', news.link);
      case 'adopt':
        if (view.userId !== news.userId) {
          view.rooms.clear(); // somebody else's
          view.blocked.clear();
          view.position = null;
        }
        view.userId = news.userId;
        for (const [id, one] of this.sendings) if (one.user && one.user !== news.userId) this.sendings.delete(id);
        return this.restore(news.rows);
      case 'event':
        view.position = news.position;
        if (!news.entry) return;
        view.apply(news.entry);
        return this.#say('event', news.entry);
      case 'resynced':
        this.#mend(view.replace(news.state));
        this.#pend();
        return this.#say('resynced', news.reason);
      case 'glimpse':
        view.glimpse(news.event, news.data, Date.now());
        return this.#say('ephemeral', { event: news.event, data: news.data });
      case 'row':
        return this.restore([news.row]);
      case 'sending':
        return this.#become(news);
      case 'discarded':
        return this.#drop(news.id);
      case 'read':
        return this.read(news.conversationId, news.seq);
      case 'unmarked':
        return this.read(news.conversationId, 0);
      case 'draft':
        return this.#say('draft', news);
      case 'stopped':
        this.link = 'disconnected';
        this.retryAt = null;
        this.stopped = new Stopped(news.why, news.code);
        for (const one of this.sendings.values()) one.stop(this.stopped);
        this.#say('link', this.link);
        return this.#say('stopped', this.stopped);
      case 'snapshot':
        this.#mend(view.restore(news.view));
        for (const one of news.presence ?? []) view.presence.set(one.user_id, one); // none of a leader of an earlier version
        this.restore(news.rows);
        for (const id of news.accepted) this.#become({ id, state: 'accepted' });
        return this.hear({ news: 'link', link: news.link, retryAt: news.retryAt });
    }
  }

  /** Rows of another tab, or of an earlier run. @param {Row[]} rows */
  restore(rows) {
    const fresh = rows.filter((row) => !this.sendings.has(row.id));
    for (const row of fresh) this.add(new Sending(row));
  }

  /** @param {Sending} sending */
  add(sending) {
    this.sendings.set(sending.id, sending);
    this.#pend(sending.conversationId);
    this.#say('sending', sending);
  }

  /** We have read this far, the server may not know yet; 0: it will never know. @param {string} conversationId @param {number} seq */
  read(conversationId, seq) {
    const room = this.view.rooms.get(conversationId);
    if (!room || (seq && seq <= room.readSeq)) return;
    room.localRead = seq;
    this.view.touch(conversationId);
  }

  /** @param {{id: string, state: Sending['state'], error?: ErrorBody | null, message?: Message | null}} news */
  #become({ id, state, error, message }) {
    const sending = this.sendings.get(id);
    if (!sending) return;
    if (state === 'sending') sending.again();
    else sending.become(state, { error: error ?? null, message: message ?? null });
    if (state === 'stored') this.sendings.delete(id);
    this.#pend(sending.conversationId);
    this.#say('sending', sending);
  }

  /** @param {string} id */
  #drop(id) {
    const sending = this.sendings.get(id);
    if (!sending) return;
    this.sendings.delete(id);
    this.#pend(sending.conversationId);
    this.#say('sending', sending);
  }

  /** @param {string} [conversationId] the one that changed */
  #pend(conversationId) {
    this.view.pend(this.sendings.values());
    if (conversationId) this.view.touch(conversationId);
  }

  /** The program is told once for all that happens at a time. @param {string | null} conversationId */
  #touched(conversationId) {
    if (conversationId === null) this.#all = true;
    else {
      this.touched(conversationId);
      this.#changed.add(conversationId);
    }
    if (!this.#told) return;
    this.#told = false;
    queueMicrotask(() => {
      const detail = { conversations: this.#changed, all: this.#all };
      this.#changed = new Set();
      this.#all = false;
      this.#told = true;
      this.#say('changed', detail);
    });
  }
}
