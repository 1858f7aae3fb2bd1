/**
 * What one tab does for all: it holds the core, the socket and the outbox, writes to the store, and tells what happens.
 *
 * An event goes into the view at once, and to disk a moment later: position, changed conversations and settled rows in one transaction.
 */

import { Core } from './core.js';
import { ApiError, Stopped } from './errors.js';
import { MAX_PEOPLE, MAX_WATCHED } from './interest.js';
import { now, Socket } from './socket.js';

/** @import {Effect, Levels, Row, Saved, Store} from './types.js' */
/** @import {Mirror, News} from './mirror.js' */

/**
 * @typedef {{do: 'put', row: Row}
 *   | {do: 'retry', row: Row}
 *   | {do: 'discard', id: string}
 *   | {do: 'mark', conversationId: string, threadRootId: string | null, levels: Levels}
 *   | {do: 'want', tab: string, rooms: string[], people: string[]}
 *   | {do: 'status', status: string | null}
 *   | {do: 'type', conversationId: string, threadRootId: string | null, stop: boolean}
 *   | {do: 'probe'}} Command what any tab asks of the leader
 *
 * @typedef {object} Setting
 * @property {import('./api.js').Api} api
 * @property {string} url of the socket
 * @property {Store} store
 * @property {typeof WebSocket} WebSocket
 * @property {Record<string, string>} client
 * @property {boolean} receipts
 */

/** After an event, before it goes to disk: more may come. */
const COMMIT_MS = 100;
/** Messages of a conversation that are cached for reading offline. */
export const CACHED = 60;

export class Leader {
  core;
  #socket;
  #setting;
  #mirror;
  #tell;
  /** @type {Map<string, {rooms: string[], people: string[]}>} */
  #wants = new Map();
  /** What is not on disk yet. */
  #settled = new Set();
  /** @type {Map<string, Row>} */
  #failed = new Map();
  /** @type {Set<string>} */
  #dirty = new Set();
  /** Whoever led before may have told more than it wrote: the first commit has every conversation. */
  #whole = true;
  #moved = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #writing = Promise.resolve();
  #link = '';

  /**
   * @param {Setting} setting
   * @param {Saved} saved
   * @param {Mirror} mirror this tab's: its view is what is cached
   * @param {(news: News) => void} tell all tabs, this one included
   */
  constructor(setting, saved, mirror, tell) {
    this.#setting = setting;
    this.#mirror = mirror;
    this.#tell = tell;
    this.core = new Core(saved, { client: setting.client });
    this.#socket = new Socket(this.core, {
      url: setting.url,
      token: (options) => setting.api.token(options),
      load: () => setting.api.sync(),
      WebSocket: setting.WebSocket,
      tell: (effect) => this.#carryOut(effect),
      changed: () => this.#linked(),
    });
    mirror.touched = (id) => this.#dirty.add(id);
  }

  start() {
    this.#socket.start();
    this.#linked();
  }

  /** Kept when all that happened is on disk. */
  async close() {
    this.#mirror.touched = () => {};
    this.#socket.close();
    await this.flush();
  }

  /** Another tab leads, and knows more than we. */
  depose() {
    this.#tell = () => {};
    this.#moved = false;
    void this.close();
  }

  /** One transaction after the other, each with all that happened until then. */
  flush() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    return (this.#writing = this.#writing.then(() => this.#write()));
  }

  /** For a tab that comes. @returns {News} */
  snapshot() {
    const { view, sendings } = this.#mirror;
    const rows = [...sendings.values()].map((one) => ({ ...one.row, error: one.error }));
    const accepted = [...sendings.values()].filter((one) => one.state === 'accepted').map((one) => one.id);
    const { link, retryAt } = this.#mirror;
    const presence = [...view.presence.values()];
    return { news: 'snapshot', view: view.dump(CACHED), presence, rows, accepted, link, retryAt };
  }

  /** @param {Command} command */
  obey(command) {
    const { core } = this;
    switch (command.do) {
      case 'put': {
        // a tab that was frozen may not have heard what became of it
        const { id } = command.row;
        const message = core.stored.get(id);
        const error = core.failed.get(id)?.error;
        if (message || error) return this.#tell({ news: 'sending', id, state: message ? 'stored' : 'failed', message, error });
        this.#tell({ news: 'row', row: command.row });
        return this.#socket.apply(core.put(command.row, now()));
      }
      case 'retry':
        this.#failed.delete(command.row.id);
        this.#tell({ news: 'sending', id: command.row.id, state: 'sending' });
        return this.#socket.apply(core.retry(command.row, now()));
      case 'discard':
        core.failed.delete(command.id);
        this.#failed.delete(command.id);
        return this.#tell({ news: 'discarded', id: command.id });
      case 'mark': {
        const { conversationId, threadRootId, levels } = command;
        const seq = Math.max(levels.read ?? 0, levels.privateRead ?? 0);
        if (seq && !threadRootId) this.#tell({ news: 'read', conversationId, seq });
        return this.#socket.apply(core.mark(conversationId, threadRootId, levels, now()));
      }
      case 'want':
        this.#wants.set(command.tab, command);
        core.interest.watched = this.#wanted('rooms', MAX_WATCHED);
        core.interest.people = this.#wanted('people', MAX_PEOPLE);
        return this.#socket.apply(core.pump(now()));
      case 'status':
        core.interest.status = command.status;
        return this.#socket.apply(core.pump(now()));
      case 'type':
        return this.#socket.apply(core.type(command.conversationId, command.threadRootId, command.stop, now()));
      case 'probe':
        return this.#socket.apply(core.probe(now()));
    }
  }

  /** @param {Effect} effect */
  #carryOut(effect) {
    switch (effect.do) {
      case 'adopt':
        this.#setting.store.adopt(effect.userId).catch(lost);
        return this.#tell({ news: 'adopt', userId: effect.userId, rows: effect.rows });
      case 'deliver':
        this.#tell({ news: 'event', position: effect.position, entry: effect.entry });
        if (effect.entry?.event === 'message.created' && effect.entry.data.sender_id !== this.core.userId) {
          this.#received(effect.entry.data.conversation_id);
        }
        return this.#move();
      case 'resynced':
        this.#whole = true;
        this.#tell({ news: 'resynced', state: effect.state, reason: effect.reason });
        for (const { conversation_id } of effect.state.conversations) this.#received(conversation_id);
        return this.#move();
      case 'ephemeral':
        return this.#tell({ news: 'glimpse', event: effect.event, data: effect.data });
      case 'accepted':
        return this.#tell({ news: 'sending', id: effect.id, state: 'accepted' });
      case 'settled':
        return this.#settle(effect);
      case 'unmarked':
        return this.#tell({ news: 'unmarked', conversationId: effect.conversationId });
      case 'stop': {
        const code = effect.error instanceof Stopped ? effect.error.code : effect.error instanceof ApiError ? effect.error.status : null;
        return this.#tell({ news: 'stopped', why: effect.error.message, code });
      }
    }
  }

  /** @param {Extract<Effect, {do: 'settled'}>} effect */
  #settle({ id, message, error }) {
    const row = this.core.failed.get(id);
    this.#failed.delete(id);
    // what was said is the person's own words: it waits for them; a reaction does not
    if (row && (row.kind === 'send' || row.kind === 'edit')) this.#failed.set(id, row);
    else this.#settled.add(id);
    this.#tell({ news: 'sending', id, state: message ? 'stored' : 'failed', message, error });
    this.#move();
  }

  /** Somebody else's message is here: they will see that. @param {string} conversationId */
  #received(conversationId) {
    const room = this.#mirror.view.rooms.get(conversationId);
    const me = room?.members.get(this.#mirror.view.userId);
    if (!this.#setting.receipts || !room || !me || me.delivered_seq >= room.last_seq) return;
    this.core.marks.raise(conversationId, null, { delivered: room.last_seq }, now());
    queueMicrotask(() => this.#socket.apply(this.core.pump(now())));
  }

  /** @template {'rooms' | 'people'} N @param {N} name @param {number} most */
  #wanted(name, most) {
    return new Set([...new Set([...this.#wants.values()].flatMap((one) => one[name]))].slice(0, most));
  }

  #linked() {
    const { retryAt } = this.#socket;
    const { state } = this.core.line;
    const told = `${state} ${retryAt && Math.round(retryAt / 100)}`;
    if (told === this.#link) return;
    this.#link = told;
    this.#tell({ news: 'link', link: state, retryAt });
  }

  #move() {
    this.#moved = true;
    this.#timer ??= setTimeout(() => void this.flush(), COMMIT_MS);
  }

  async #write() {
    const { userId } = this.core;
    if (!this.#moved || !userId) return;
    const { view } = this.#mirror;
    const [settled, failed, dirty, whole] = [[...this.#settled], [...this.#failed.values()], [...this.#dirty], this.#whole];
    this.#settled.clear();
    this.#failed.clear();
    this.#dirty.clear();
    this.#whole = this.#moved = false;
    const ids = whole ? [...view.rooms.keys()] : dirty;
    const rooms = Object.fromEntries(ids.map((id) => [id, view.rooms.get(id)?.dump(CACHED) ?? null]));
    const { position } = view;
    try {
      await this.#setting.store.commit({ userId, position, blocked: [...view.blocked], settled, failed, rooms, whole });
    } catch (failure) {
      lost(failure);
      for (const id of settled) this.#settled.add(id);
      for (const row of failed) if (this.core.failed.has(row.id)) this.#failed.set(row.id, row);
      for (const id of dirty) this.#dirty.add(id);
      this.#whole ||= whole;
      this.#moved = true; // with the next event
    }
  }
}

/** The disk is full, or the browser took it away: this run goes on in memory. @param {unknown} failure */
export const lost = (failure) => console.warn('headrace: not stored', failure);
