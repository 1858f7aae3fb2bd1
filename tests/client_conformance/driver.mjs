// The JavaScript SDK, driven over stdin and stdout (`program.py` says how).

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';

const SPEED = Number(process.argv[2]);
hasten(globalThis, SPEED);
const { Api, ApiError, Client, MemoryStore, Stopped } = await import('../../gateway/web/sdk/index.js');

/**
 * Let the clock and timers run this much faster than the world. `Date` stays: of a timer that is late by it the SDK thinks that the
 * machine slept, and at thirty times the speed every busy machine does.
 */
function hasten(scope, speed) {
  const { setTimeout, setInterval } = scope;
  const performanceNow = scope.performance.now.bind(scope.performance);
  scope.performance.now = () => performanceNow() * speed;
  scope.setTimeout = (work, ms = 0, ...rest) => setTimeout(work, ms / speed, ...rest);
  scope.setInterval = (work, ms = 0, ...rest) => setInterval(work, ms / speed, ...rest);
}

/** What is on disk: a line for every call that changed something; the store that replays them holds what they left. */
class FileStore extends MemoryStore {
  #file = null;

  constructor(path) {
    super();
    const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : [];
    for (const line of lines) {
      const [method, args] = JSON.parse(line);
      super[method](...args);
    }
    this.#file = openSync(path, 'a');
  }

  async put(row) {
    this.#write('put', row);
    await super.put(row);
  }

  async remove(id) {
    this.#write('remove', id);
    await super.remove(id);
  }

  async adopt(userId) {
    this.#write('adopt', userId);
    await super.adopt(userId);
  }

  async commit(commit) {
    this.#write('commit', commit);
    await super.commit(commit);
  }

  async forget(userId) {
    this.#write('forget', userId);
    await super.forget(userId);
  }

  close() {
    closeSync(this.#file);
    super.close();
  }

  #write(method, ...args) {
    writeSync(this.#file, `${JSON.stringify([method, args])}\n`);
    fsyncSync(this.#file);
  }
}

/** A store in which what the SDK has taken in is written when the test says `take`: until then it is not handled. */
const held = (Base) =>
  class extends Base {
    #permits = 0;
    #waiting = [];
    #written = [];
    #left = false;

    async commit(commit) {
      if (commit.position !== null) await this.#permit();
      if (this.#left) return;
      await super.commit(commit);
      this.#written.shift()?.();
    }

    /** Let one commit through; kept when it is written. */
    take() {
      const written = new Promise((resolve) => this.#written.push(resolve));
      this.#permits += 1;
      this.#grant();
      return written;
    }

    /** Nobody will take what waits. */
    leave() {
      this.#left = true;
      this.#permits = Infinity;
      this.#grant();
    }

    #permit() {
      const permitted = new Promise((resolve) => this.#waiting.push(resolve));
      this.#grant();
      return permitted;
    }

    #grant() {
      while (this.#permits && this.#waiting.length) {
        this.#permits -= 1;
        this.#waiting.shift()();
      }
    }
  };

/** One client, and what it is told to do: a method for each command. */
class Driven {
  #name;
  #tokens = [];
  #followed = new Set();

  constructor(name) {
    this.#name = name;
  }

  async start({ url, token, store = null, device, outbox = 1000, hold = false }) {
    const Kind = store ? FileStore : MemoryStore;
    this.store = new (hold ? held(Kind) : Kind)(store);
    const api = new Api({ url, token: remembering(token === null ? () => this.#ask() : async () => token) });
    const options = { api, url, store: this.store, deviceId: device, tabs: false, receipts: false, outboxCap: outbox };
    const client = (this.client = new Client(options));
    client.addEventListener('link', () => this.#report('link', { link: client.link }));
    client.addEventListener('event', ({ detail }) => this.#report('item', { kind: 'event', name: detail.event, ...detail }));
    client.addEventListener('ephemeral', ({ detail }) => this.#report('item', { kind: 'ephemeral', name: detail.event, ...detail }));
    client.addEventListener('resynced', ({ detail }) => this.#report('item', { kind: 'resynced', name: 'resynced', reason: detail, ...described(client.view) }));
    client.addEventListener('stopped', ({ detail }) => this.#report('stopped', { code: detail.code ?? null, reason: detail.message }));
    client.addEventListener('sending', ({ detail }) => this.#follow(detail));
    await client.start();
  }

  async close() {
    this.store.leave?.();
    await this.client.close();
  }

  send({ conversation_id, text, attachments, reply_to, thread_root_id, mentions }) {
    return this.#sent(
      this.client.send(conversation_id, { text, attachments, replyTo: reply_to, threadRootId: thread_root_id, mentions }),
    );
  }

  edit({ message, text, only_if_unchanged = false }) {
    return this.#sent(this.client.edit(message, text, { onlyIfUnchanged: only_if_unchanged }));
  }

  delete({ message }) {
    return this.#sent(this.client.remove(message));
  }

  react({ message, emoji, remove = false }) {
    return this.#sent(this.client.react(message, emoji, { remove }));
  }

  read({ conversation_id, seq, thread_root_id, private: hidden = false }) {
    this.client.read(conversation_id, seq, { threadRootId: thread_root_id, private: hidden });
  }

  typing({ conversation_id, stop = false }) {
    this.client.typing(conversation_id, { stop });
  }

  watch({ conversation_id }) {
    this.client.watch(conversation_id);
  }

  unwatch({ conversation_id }) {
    this.client.unwatch(conversation_id);
  }

  subscribe({ user_ids }) {
    this.client.subscribePresence(user_ids);
  }

  unsubscribe({ user_ids }) {
    this.client.unsubscribePresence(user_ids);
  }

  status({ status }) {
    this.client.setPresence(status);
  }

  pending() {
    return { keys: this.client.pending().filter(({ state }) => state !== 'failed').map(({ clientMsgId }) => clientMsgId) };
  }

  async take() {
    await this.store.take();
  }

  token({ token, error }) {
    const { resolve, reject } = this.#tokens.shift();
    if (!error) resolve(token);
    else reject(new ApiError(error.status, { ...error, retry_after_ms: (error.retry_after_s ?? 0) * 1000 }));
  }

  // What happens

  #ask() {
    const { promise, resolve, reject } = Promise.withResolvers();
    this.#tokens.push({ resolve, reject });
    this.#report('token');
    return promise;
  }

  /** The store has written it by now. */
  #sent(sending) {
    this.#follow(sending);
    return { key: sending.clientMsgId };
  }

  #follow(sending) {
    const key = sending.clientMsgId;
    if (this.#followed.has(key)) return;
    this.#followed.add(key);
    const tell = (state, more) => this.#report('sending', { key, state, ...more });
    const failed = (error) => {
      if (error instanceof Stopped) tell('stopped', { code: error.code ?? null });
      else tell('rejected', { code: error.code });
    };
    sending.accepted.then(() => {
      tell('accepted');
      sending.stored.then((message) => tell('stored', { seq: message.seq, text: message.content?.text ?? '' }), failed);
    }, failed);
  }

  #report(report, fields = {}) {
    say({ report, client: this.#name, ...fields });
  }
}

/** A source of tokens that is asked when there is none, or another is wanted. */
function remembering(source) {
  let current = '';
  return async ({ renew = false } = {}) => {
    if (renew || !current) current = await source();
    return current;
  };
}

/** The state as the view has taken it in. */
function described({ position, rooms }) {
  const texts = ({ messages }) => messages.filter(({ seq }) => seq !== null).map(({ content }) => content?.text ?? '');
  return { position, rooms: Object.fromEntries([...rooms].map(([id, room]) => [id, texts(room)])) };
}

function say(frame) {
  writeSync(1, `${JSON.stringify(frame)}\n`);
}

const clients = new Map();
for await (const line of createInterface({ input: process.stdin })) {
  const { n, do: command, client, ...fields } = JSON.parse(line);
  if (command === 'start') clients.set(client, new Driven(client));
  carryOut(n, () => (command === 'reset' ? reset() : clients.get(client)[command](fields)));
}
process.exit(0);

async function reset() {
  await Promise.all([...clients.values()].map((client) => client.close()));
  clients.clear();
}

async function carryOut(n, work) {
  try {
    say({ n, ok: true, ...(await work()) });
  } catch (failure) {
    say({ n, ok: false, error: failure instanceof RangeError || failure instanceof TypeError ? 'ValueError' : failure.name });
  }
}
