/**
 * What survives a reload: unsent messages, drafts, and per user the position with the view of that position.
 *
 * `commit` is one transaction, so the position never runs ahead of what the events up to it have changed.
 */

/** @import {Commit, Draft, Row, Saved, Store} from './types.js' */
/** @import {Dump} from './view.js' */

/** Everything in memory: for tests, bots, and where there is no IndexedDB. @implements {Store} */
export class MemoryStore {
  /** @type {string | null} */
  #user = null;
  /** @type {Map<string, Row>} */
  #outbox = new Map();
  /** @type {Map<string, Dump>} */
  #views = new Map();
  /** @type {Map<string, Map<string, Draft>>} */
  #drafts = new Map();

  /** @returns {Promise<Saved>} */
  async load() {
    const positions = Object.fromEntries([...this.#views].map(([user, view]) => [user, view.position ?? '']));
    return { userId: this.#user, positions, outbox: [...this.#outbox.values()] };
  }

  /** @param {Row} row */
  async put(row) {
    this.#outbox.set(row.id, row);
  }

  /** @param {string} id */
  async remove(id) {
    this.#outbox.delete(id);
  }

  /** @param {string} userId */
  async adopt(userId) {
    this.#user = userId;
    for (const [id, row] of this.#outbox) this.#outbox.set(id, { ...row, user: row.user ?? userId });
  }

  /** @param {Commit} commit */
  async commit({ userId, position, blocked, settled, failed, rooms, whole }) {
    for (const id of settled) this.#outbox.delete(id);
    for (const row of failed) this.#outbox.set(row.id, row);
    const before = this.#views.get(userId);
    const all = Object.entries({ ...(whole ? {} : before?.rooms), ...rooms }).filter(([, room]) => room);
    const dumps = /** @type {Dump['rooms']} */ (Object.fromEntries(all));
    if (position) this.#views.set(userId, structuredClone({ userId, position, blocked, rooms: dumps }));
  }

  /** @param {string} userId */
  async view(userId) {
    return structuredClone(this.#views.get(userId) ?? null);
  }

  /** @param {string} userId */
  async drafts(userId) {
    return new Map(this.#drafts.get(userId));
  }

  /** @param {string} userId @param {string} conversationId @param {Draft | null} draft */
  async setDraft(userId, conversationId, draft) {
    const drafts = this.#drafts.get(userId) ?? new Map();
    if (draft) drafts.set(conversationId, draft);
    else drafts.delete(conversationId);
    this.#drafts.set(userId, drafts);
  }

  /** @param {string} userId */
  async forget(userId) {
    this.#views.delete(userId);
    this.#drafts.delete(userId);
    for (const [id, row] of this.#outbox) if (row.user === userId) this.#outbox.delete(id);
  }

  close() {}
}

/** In the browser's database of this name. Every method is one transaction, on disk when its promise is kept. @implements {Store} */
export class IndexedDbStore {
  #name;
  /** @type {Promise<IDBDatabase> | null} */
  #opened = null;

  /** @param {string} [name] */
  constructor(name = 'headrace') {
    this.#name = name;
  }

  /** @returns {Promise<Saved>} */
  load() {
    return this.#transact('readonly', ({ outbox, facts }) => {
      /** @type {Saved} */
      const saved = { userId: null, positions: {}, outbox: [] };
      each(outbox, undefined, (row) => saved.outbox.push(row));
      each(facts, undefined, (fact, [kind, user]) => {
        if (kind === 'user') saved.userId = fact;
        else saved.positions[user] = fact.position;
      });
      return saved;
    });
  }

  /** @param {Row} row */
  put(row) {
    return this.#transact('readwrite', ({ outbox }) => {
      outbox.index('id').getKey(row.id).onsuccess = (/** @type {any} */ { target }) => outbox.put(row, target.result);
    });
  }

  /** @param {string} id */
  remove(id) {
    return this.#transact('readwrite', ({ outbox }) => removeRow(outbox, id));
  }

  /** @param {string} userId */
  adopt(userId) {
    return this.#transact('readwrite', ({ outbox, facts }) => {
      facts.put(userId, ['user', '']);
      each(outbox, undefined, (row, key) => void (row.user || outbox.put({ ...row, user: userId }, key)));
    });
  }

  /** @param {Commit} commit */
  commit({ userId, position, blocked, settled, failed, rooms, whole }) {
    return this.#transact('readwrite', (stores) => {
      for (const id of settled) removeRow(stores.outbox, id);
      for (const row of failed) {
        each(stores.outbox.index('id'), row.id, (_row, _key, cursor) => void cursor.update(row));
      }
      if (!position) return;
      stores.facts.put({ position, blocked }, ['view', userId]);
      if (whole) stores.rooms.delete(ofUser(userId));
      for (const [id, room] of Object.entries(rooms)) {
        if (room) stores.rooms.put(room, [userId, id]);
        else stores.rooms.delete([userId, id]);
      }
    });
  }

  /** @param {string} userId @returns {Promise<Dump | null>} */
  async view(userId) {
    /** @type {Dump} */
    const view = { userId, position: null, blocked: [], rooms: {} };
    await this.#transact('readonly', ({ facts, rooms }) => {
      each(facts, ['view', userId], (fact) => void Object.assign(view, fact));
      each(rooms, ofUser(userId), (room, [, id]) => void (view.rooms[id] = room));
    });
    return view.position ? view : null;
  }

  /** @param {string} userId */
  drafts(userId) {
    return this.#transact('readonly', ({ drafts }) => {
      /** @type {Map<string, Draft>} */
      const found = new Map();
      each(drafts, ofUser(userId), (draft, [, id]) => void found.set(id, draft));
      return found;
    });
  }

  /** @param {string} userId @param {string} conversationId @param {Draft | null} draft */
  setDraft(userId, conversationId, draft) {
    const key = [userId, conversationId];
    return this.#transact('readwrite', ({ drafts }) => void (draft ? drafts.put(draft, key) : drafts.delete(key)));
  }

  /** @param {string} userId */
  forget(userId) {
    return this.#transact('readwrite', ({ outbox, facts, rooms, drafts }) => {
      facts.delete(['view', userId]);
      rooms.delete(ofUser(userId));
      drafts.delete(ofUser(userId));
      each(outbox, undefined, (row, key) => void (row.user === userId && outbox.delete(key)));
    });
  }

  close() {
    this.#opened?.then((db) => db.close()).catch(() => {});
    this.#opened = null;
  }

  /**
   * One transaction; the promise is kept when it is on disk.
   *
   * @template T
   * @param {IDBTransactionMode} mode
   * @param {(stores: Record<'outbox' | 'facts' | 'rooms' | 'drafts', IDBObjectStore>) => T} work
   * @returns {Promise<T>}
   */
  async #transact(mode, work) {
    const db = await (this.#opened ??= this.#open());
    const transaction = db.transaction(STORES, mode, { durability: 'strict' });
    const stores = /** @type {any} */ (Object.fromEntries(STORES.map((name) => [name, transaction.objectStore(name)])));
    const done = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    const result = work(stores);
    await done;
    return result;
  }

  /** @returns {Promise<IDBDatabase>} */
  #open() {
    return new Promise((resolve, reject) => {
      const forget = () => (this.#opened = null);
      const request = indexedDB.open(this.#name, 1);
      request.onupgradeneeded = () => {
        for (const name of STORES) {
          const store = request.result.createObjectStore(name, { autoIncrement: name === 'outbox' });
          if (name === 'outbox') store.createIndex('id', 'id', { unique: true });
        }
      };
      request.onerror = () => (forget(), reject(request.error));
      request.onsuccess = () => {
        const db = request.result;
        db.onclose = forget;
        db.onversionchange = () => (forget(), db.close());
        resolve(db);
      };
    });
  }
}

const STORES = ['outbox', 'facts', 'rooms', 'drafts'];

/** @param {string} userId */
const ofUser = (userId) => IDBKeyRange.bound([userId], [userId, []]);

/** @param {IDBObjectStore} outbox @param {string} id */
const removeRow = (outbox, id) => each(outbox.index('id'), id, (_row, key) => void outbox.delete(key));

/**
 * @param {IDBObjectStore | IDBIndex} store
 * @param {any} query
 * @param {(value: any, key: any, cursor: IDBCursorWithValue) => void} visit
 */
function each(store, query, visit) {
  store.openCursor(query).onsuccess = (/** @type {any} */ { target }) => {
    const cursor = target.result;
    if (!cursor) return;
    visit(cursor.value, cursor.primaryKey, cursor);
    cursor.continue();
  };
}
