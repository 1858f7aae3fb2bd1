/**
 * The place of one tab among several: it leads, with `leader.js`, or follows what the leader tells. Without tabs it always leads.
 */

import { Leader, lost } from './leader.js';
import { Tabs, tabsAvailable } from './tabs.js';
import { watchWake } from './wake.js';

/** @import {Drafts} from './drafts.js' */
/** @import {Command, Setting} from './leader.js' */
/** @import {Mirror, News} from './mirror.js' */
/** @import {Draft, Saved} from './types.js' */

export class Seat {
  /** @type {Set<string>} */
  watched = new Set();
  /** @type {Set<string>} */
  people = new Set();
  /** @type {string | null} */
  status = null;
  /** @type {Leader | null} */
  leader = null;
  closed = false;
  #setting;
  #mirror;
  #drafts;
  #say;
  /** @type {Tabs | null} */
  #tabs = null;
  /** The leader, when what it tells continues what we have. @type {string | null} */
  #follows = null;
  #unwatchWake = () => {};
  #ready = Promise.resolve();

  /** @param {Setting} setting @param {Mirror} mirror @param {Drafts} drafts @param {(event: string, detail: any) => void} say */
  constructor(setting, mirror, drafts, say) {
    this.#setting = setting;
    this.#mirror = mirror;
    this.#drafts = drafts;
    this.#say = say;
  }

  /** @param {boolean} tabs whether the connection is shared, where the browser lets it be */
  start(tabs) {
    this.#unwatchWake = watchWake(() => this.#woke());
    globalThis.addEventListener?.('pagehide', this.#hide);
    this.#ready = this.#recall().catch(lost);
    if (!tabs || !tabsAvailable()) return void this.#lead();
    this.#tabs = new Tabs(`headrace:${this.#setting.url}:${this.#mirror.view.userId}`, {
      lead: () => void this.#lead(),
      depose: () => this.#depose(),
      hear: (message) => this.#hear(message),
    });
    this.#hello();
  }

  async close() {
    this.closed = true;
    this.#unwatchWake();
    globalThis.removeEventListener?.('pagehide', this.#hide);
    await this.#ready;
    this.#hide();
    await this.leader?.close();
    this.#tabs?.close();
    this.#setting.store.close();
  }

  /** @param {Command} command */
  command(command) {
    if (this.leader) this.leader.obey(command);
    else this.#tabs?.post(command);
  }

  /** What we look at has changed, or the leader does not know it yet. */
  want() {
    this.command({ do: 'want', tab: this.#tabs?.id ?? '', rooms: [...this.watched], people: [...this.people] });
  }

  /** @param {string} conversationId @param {Draft | null} draft */
  drafted(conversationId, draft) {
    this.#tabs?.post({ news: 'draft', conversationId, draft });
  }

  /** What an earlier run left is shown before there is a connection. */
  async #recall() {
    const { store } = this.#setting;
    const saved = await store.load();
    this.#mirror.view.userId ||= saved.userId ?? '';
    const cached = this.#mirror.view.position ? null : await store.view(this.#mirror.view.userId);
    if (cached) this.#mirror.view.restore(cached);
    this.#mirror.restore(saved.outbox.filter((row) => !row.user || row.user === this.#mirror.view.userId));
    await this.#drafts.load();
    this.#say('changed', { conversations: new Set(), all: true });
  }

  async #lead() {
    await this.#ready;
    if (this.closed) return;
    const { view, sendings } = this.#mirror;
    const saved = await this.#setting.store.load().catch(() => /** @type {Saved} */ ({ userId: null, positions: {}, outbox: [] }));
    if (this.closed || (this.#tabs && !this.#tabs.leads)) return;
    saved.userId = view.userId || saved.userId;
    // from where our own view ends, and not from where the disk does: what is between would be missing
    saved.positions = view.position && saved.userId ? { [saved.userId]: view.position } : {};
    const leader = new Leader(this.#setting, saved, this.#mirror, (news) => {
      this.#mirror.hear(news);
      this.#tabs?.post(news);
    });
    this.leader = leader;
    for (const { row, state } of sendings.values()) if (state !== 'failed') leader.obey({ do: 'put', row });
    this.#wish();
    leader.start();
    this.#tabs?.post({ here: true });
    this.#say('leader', true);
  }

  #depose() {
    this.leader?.depose();
    this.leader = null;
    this.#hello();
    this.#say('leader', false);
  }

  /** Of another tab. @param {any} message */
  #hear(message) {
    if (message.news === 'draft') {
      this.#drafts.hear(message.conversationId, message.draft);
      this.#mirror.hear(message);
    } else if (this.leader) {
      if (message.hello) this.#tabs?.post({ to: message.hello, news: this.leader.snapshot() });
      else if (message.do) this.leader.obey(message);
    } else if (message.here) {
      if (message.from !== this.#follows) this.#hello();
    } else if (message.to) {
      if (message.to === this.#tabs?.id) this.#follow(message);
    } else if (message.news && message.from === this.#follows) {
      this.#mirror.hear(message);
    }
  }

  /** Ask the leader what it has, once we have what is on disk: from its answer on nothing that it tells may be missed. */
  #hello() {
    this.#follows = null;
    void this.#ready.then(() => this.#tabs?.post({ hello: this.#tabs.id }));
  }

  /** The leader shows us what it has: what it tells from now on continues that. @param {{from: string, news: News}} snapshot */
  #follow({ from, news }) {
    const rows = [...this.#mirror.sendings.values()].filter((one) => one.state !== 'failed').map((one) => one.row);
    this.#follows = from;
    this.#mirror.hear(news);
    for (const row of rows) this.command({ do: 'put', row });
    this.#wish();
  }

  /** What we want to hear of: for a leader that does not know yet. */
  #wish() {
    this.want();
    if (this.status) this.command({ do: 'status', status: this.status });
    for (const [conversationId, { localRead }] of this.#mirror.view.rooms) {
      if (localRead) this.command({ do: 'mark', conversationId, threadRootId: null, levels: { read: localRead } });
    }
  }

  /** While a page was kept out of sight nothing came through to it, and the leader took it for gone. */
  #woke() {
    this.command({ do: 'probe' });
    if (!this.leader) this.#hello();
  }

  /** The page goes, perhaps for good. */
  #hide = () => {
    void this.leader?.flush();
    this.#tabs?.post({ do: 'want', tab: this.#tabs.id, rooms: [], people: [] });
  };
}
