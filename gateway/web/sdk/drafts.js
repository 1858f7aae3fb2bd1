/** What is being written, per conversation: in memory for reading at once, on disk for the next run, told to the other tabs. */

/** @import {Draft, Store} from './types.js' */

export class Drafts {
  /** @type {Map<string, Draft>} */
  #drafts = new Map();
  #store;
  #userId;
  #tell;

  /** @param {Store} store @param {() => string} userId @param {(conversationId: string, draft: Draft | null) => void} tell */
  constructor(store, userId, tell) {
    this.#store = store;
    this.#userId = userId;
    this.#tell = tell;
  }

  async load() {
    const written = this.#drafts;
    this.#drafts = new Map([...(await this.#store.drafts(this.#userId())), ...written]);
  }

  /** @param {string} conversationId @returns {Draft | null} */
  get(conversationId) {
    return this.#drafts.get(conversationId) ?? null;
  }

  /** @returns {string[]} the conversations that have one */
  keys() {
    return [...this.#drafts.keys()];
  }

  /** An empty one is none. @param {string} conversationId @param {Draft | null} draft */
  set(conversationId, draft) {
    const kept = draft?.text || draft?.replyTo ? draft : null;
    this.hear(conversationId, kept);
    this.#tell(conversationId, kept);
    return this.#store.setDraft(this.#userId(), conversationId, kept).catch(() => {});
  }

  /** Another tab wrote. @param {string} conversationId @param {Draft | null} draft */
  hear(conversationId, draft) {
    if (draft) this.#drafts.set(conversationId, draft);
    else this.#drafts.delete(conversationId);
  }
}
