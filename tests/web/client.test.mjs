// Whole clients against a server on this machine.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { Api, Client, MemoryStore } from '../../gateway/web/sdk/index.js';
import { eventually, Server } from './server.mjs';
import { CHAT, conversation, member, OTHER, USER } from './wire.mjs';

let server;
let clients = [];

beforeEach(async () => {
  server = await new Server().start();
});
afterEach(async () => {
  await Promise.all(clients.map((one) => one.close()));
  clients = [];
  await server.stop();
});

function make({ store = new MemoryStore(), token = async () => 'token', url = server.url, fetch, ...options } = {}) {
  const client = new Client({ api: new Api({ url, token, fetch }), store, receipts: false, ...options });
  clients.push(client);
  client.heard = [];
  for (const name of ['link', 'event', 'resynced', 'stopped', 'sending']) {
    client.addEventListener(name, ({ detail }) => client.heard.push([name, detail]));
  }
  client.start();
  return client;
}

const ready = (client) => eventually(() => client.link === 'connected' && client.view.rooms.has(CHAT), 'connected');
const texts = (client) => client.view.rooms.get(CHAT).messages.map((one) => one.content.text);

test('what is sent is accepted, stored, and in the view', async () => {
  const client = make();
  const sending = client.send(CHAT, { text: 'hello' });
  await sending.accepted;
  assert.equal((await sending.stored).seq, 1);
  await ready(client);
  assert.deepEqual(texts(client), ['hello']);
  assert.deepEqual(client.pending(), []);
});

test('what is not sent survives a reload, and is sent once', async () => {
  const store = new MemoryStore();
  server.mind = (frame) => frame.type === 'message.send';
  const first = make({ store });
  await ready(first);
  const { clientMsgId } = first.send(CHAT, { text: 'hello' });
  await eventually(() => server.of('message.send').length);
  await first.close();
  server.mind = () => false;
  let connect;
  const second = make({ store, token: () => new Promise((resolve) => (connect = resolve)) });
  await eventually(() => second.pending().length && connect);
  const [sending] = second.pending();
  assert.equal(sending.clientMsgId, clientMsgId);
  connect('token');
  await sending.stored;
  assert.deepEqual(server.messages.map((one) => one.client_msg_id), [clientMsgId]);
  await eventually(() => texts(second).length === 1);
});

test('the view is there without a network, with what is on its way, and goes on from its position', async () => {
  const store = new MemoryStore();
  const first = make({ store });
  await ready(first);
  server.tell('message.created', server.add({ content: { text: 'one' } }));
  await eventually(() => texts(first).length === 1);
  await first.close();
  const { port } = server;
  await server.stop();
  const second = make({ store, url: `http://127.0.0.1:${port}` });
  await eventually(() => second.view.rooms.has(CHAT));
  second.send(CHAT, { text: 'two' });
  assert.deepEqual(texts(second), ['one', 'two']);
  assert(await eventually(() => second.retryAt));
  server.tell('message.created', server.add({ content: { text: 'meanwhile' } }));
  await server.start(port);
  second.retryNow();
  await eventually(() => server.messages.length === 3);
  assert.equal(server.of('connect').at(-1).resume, `${server.epoch}-1`);
  await eventually(() => texts(second).length === 3);
  assert.deepEqual(texts(second), ['one', 'meanwhile', 'two']);
  assert.equal(server.syncs, 1);
});

test('a resync keeps outbox, drafts and older messages that were paged in', async () => {
  for (let n = 0; n < 100; n += 1) server.add();
  const client = make();
  await ready(client);
  assert.equal(await client.loadOlder(CHAT), true);
  const shown = texts(client).length;
  server.mind = (frame) => frame.type === 'message.send';
  const sending = client.send(CHAT, { text: 'waits' });
  await client.drafts.set(CHAT, { text: 'half' });
  server.messages[25] = { ...server.messages[25], rev: 101, content: { text: 'edited meanwhile' } };
  server.epoch = String(BigInt(server.epoch) + 1n);
  server.log = [];
  const before = server.syncs;
  server.say({ type: 'resync_required', reason: 'epoch_changed', position: `${server.epoch}-0` });
  await eventually(() => server.syncs > before);
  await eventually(() => client.heard.filter(([name]) => name === 'resynced').length === 2);
  assert.equal(texts(client).length, shown + 1);
  assert.equal(client.drafts.get(CHAT).text, 'half');
  server.mind = () => false;
  for (const socket of server.sockets) socket.terminate();
  await sending.stored;
  assert.equal(texts(client).at(-1), 'waits');
  await eventually(() => texts(client).includes('edited meanwhile'));
});

test('messages are paged in both directions around a place', async () => {
  for (let n = 0; n < 200; n += 1) server.add();
  const client = make();
  await ready(client);
  const room = () => client.view.rooms.get(CHAT);
  await client.loadAround(CHAT, 60);
  const seqs = () => room().messages.map((one) => one.seq);
  assert.deepEqual([seqs()[0], seqs().at(-1), room().hasNewer], [36, 85, true]);
  assert.equal(await client.loadOlder(CHAT), false);
  assert.equal(seqs()[0], 1);
  while (await client.loadNewer(CHAT));
  assert.deepEqual([seqs().length, room().hasNewer, room().hasOlder], [200, false, false]);
});

test('what was paged for while the view was loaded anew is shown all the same', async () => {
  for (let n = 0; n < 200; n += 1) server.add(n && n < 3 ? { thread_root_id: 'm1' } : {});
  server.routes.set('GET /api/messages/m1', () => [200, server.messages[0]]);
  let resynced;
  const fetch = async (url, init) => {
    if (url.includes('/messages')) await resynced;
    return globalThis.fetch(url, init);
  };
  const client = make({ fetch });
  await ready(client);
  resynced = new Promise((resolve) => client.addEventListener('resynced', resolve));
  const paging = Promise.all([client.loadAround(CHAT, 60), client.loadThread(CHAT, 'm1')]);
  server.say({ type: 'resync_required', reason: 'trimmed', position: `${server.epoch}-0` });
  assert.equal((await paging)[0], true);
  const room = client.view.rooms.get(CHAT);
  assert.deepEqual([room.messages[0].seq, room.messages.at(-1).seq, room.hasNewer], [36, 85, true]);
  assert.deepEqual(room.thread('m1').messages.map((one) => one.seq), [2, 3]);
});

test('an expired token is renewed once, and a live socket gets the new one', async () => {
  let given = 0;
  const client = make({ token: async ({ renew } = {}) => `token-${(given += renew ? 1 : 0)}` });
  await ready(client);
  server.say({ type: 'token_expiring', expires_at: 'soon' });
  const [refresh] = await eventually(() => server.of('refresh').length && server.of('refresh'));
  assert.equal(refresh.token, 'token-1');
  for (const socket of server.sockets) socket.close(4004, 'token_expired');
  await eventually(() => server.connects === 2 && client.link === 'connected');
  assert.equal(server.of('connect').at(-1).token, 'token-2');
});

test('a close for good ends it, and says so to everything that waits', async () => {
  const client = make();
  await ready(client);
  server.mind = (frame) => frame.type === 'message.send';
  const sending = client.send(CHAT, { text: 'hello' });
  await eventually(() => server.of('message.send').length);
  for (const socket of server.sockets) socket.close(4501, 'session_revoked');
  await assert.rejects(sending.stored, { name: 'Stopped', code: 4501 });
  assert.equal(client.heard.at(-1)[0], 'stopped');
  assert.equal(client.link, 'disconnected');
  assert.throws(() => client.send(CHAT, { text: 'more' }), { name: 'Stopped' });
  assert.equal(client.pending().length, 1);
});

test('a token that is refused for good ends it', async () => {
  const api = new Api({ url: server.url, storage: undefined });
  const client = new Client({ api });
  clients.push(client);
  const stopped = new Promise((resolve) => client.addEventListener('stopped', resolve));
  server.routes.set('POST /api/auth/refresh', () => [401, { code: 'session_revoked', detail: 'sign in', status: 401 }]);
  client.start();
  assert.match((await stopped).detail.message, /sign in/);
});

test('a refused message can be thrown away or sent again, with another id where its own is used up', async () => {
  const client = make();
  await ready(client);
  let code = 'blocked';
  server.mind = (frame, socket) => {
    if (frame.type !== 'message.send' || !code) return false;
    socket.send(JSON.stringify({ type: 'reply', id: frame.id, ok: false, error: { code, message: code } }));
    return true;
  };
  const first = client.send(CHAT, { text: 'one' });
  await assert.rejects(first.stored, { code: 'blocked' });
  code = 'idempotency_conflict';
  assert.equal(client.retry(first), first);
  await assert.rejects(first.stored, { code });
  code = '';
  const second = client.retry(first);
  assert.notEqual(second.clientMsgId, first.clientMsgId);
  await second.stored;
  assert.deepEqual(client.pending(), []);
  assert.deepEqual(texts(client), ['one']);
  code = 'blocked';
  const third = client.send(CHAT, { text: 'two' });
  await assert.rejects(third.stored);
  client.discard(third);
  assert.deepEqual(texts(client), ['one']);
});

test('failed messages are there after a reload, failed changes are not', async () => {
  const store = new MemoryStore();
  const client = make({ store });
  await ready(client);
  server.mind = (frame, socket) => {
    if (!frame.client_msg_id && !frame.client_op_id) return false;
    socket.send(JSON.stringify({ type: 'reply', id: frame.id, ok: false, error: { code: 'blocked', message: 'no' } }));
    return true;
  };
  await assert.rejects(client.send(CHAT, { text: 'words' }).stored);
  await assert.rejects(client.react({ message_id: 'm1', conversation_id: CHAT, rev: 1 }, '👍').stored);
  await client.close();
  const again = make({ store });
  await ready(again);
  assert.deepEqual(again.pending().map((one) => [one.kind, one.state, one.error.code]), [['send', 'failed', 'blocked']]);
  server.mind = () => false;
  await again.retry(again.pending()[0]).stored;
  assert.deepEqual(texts(again), ['words']);
});

test('what others sent is received by itself, once', async () => {
  server.add();
  const client = make({ receipts: true });
  await ready(client);
  await eventually(() => server.of('receipt').length === 1);
  server.tell('message.created', server.add());
  await eventually(() => server.of('receipt').some((frame) => frame.delivered_seq === 2));
  server.tell('receipt.updated', { conversation_id: CHAT, user_id: USER, delivered_seq: 2, read_seq: 0 });
  await client.send(CHAT, { text: 'mine' }).stored;
  await new Promise((resolve) => setTimeout(resolve, 400));
  assert.equal(server.of('receipt').length, 2);
});

test('who is brought into a conversation gets its history and marks', async () => {
  const client = make();
  await ready(client);
  const id = 'brought';
  const members = [member(USER), member(OTHER, { read_seq: 3 })];
  const told = { ...conversation([], { conversation_id: id, rev: 5, last_seq: 3 }), members: [member(USER), member(OTHER)] };
  server.routes.set(`GET /api/conversations/${id}`, () => [200, { ...told, members }]);
  server.routes.set(`GET /api/conversations/${id}/messages`, () => [200, { items: [1, 2, 3].map((seq) => ({ ...server.add({ seq, rev: seq }), conversation_id: id })), next_cursor: null }]);
  server.tell('conversation.created', told);
  await eventually(() => client.view.rooms.get(id)?.messages.length === 3);
  assert.equal(client.view.rooms.get(id).members.get(OTHER).read_seq, 3);
});

test('typing and presence', async () => {
  const client = make();
  await ready(client);
  client.watch(CHAT);
  client.subscribePresence([OTHER]);
  client.typing(CHAT);
  client.setPresence('away');
  await eventually(() => ['watch', 'presence.subscribe', 'typing', 'presence.set'].every((type) => server.of(type).length));
  server.say({ type: 'ephemeral', event: 'typing', data: { conversation_id: CHAT, user_id: OTHER, state: 'start', expires_in_ms: 50 } });
  server.say({ type: 'ephemeral', event: 'presence', data: { user_id: OTHER, status: 'online' } });
  await eventually(() => client.view.rooms.get(CHAT).typing.has(OTHER) && client.view.presence.get(OTHER)?.status === 'online');
  await eventually(() => !client.view.rooms.get(CHAT).typing.has(OTHER));
  assert.throws(() => Array.from({ length: 20 }, (_, n) => client.watch(`c${n}`)), RangeError);
});

test('what is too long, or too much, is not taken', () => {
  const client = make({ outboxCap: 2 });
  assert.throws(() => client.send(CHAT, { text: 'x'.repeat(70_000) }), RangeError);
  client.send(CHAT, { text: '1' });
  client.send(CHAT, { text: '2' });
  assert.throws(() => client.send(CHAT, { text: '3' }), { name: 'OutboxFull' });
});

test('a connection that died in silence is left within five seconds of a wake', async () => {
  const client = make();
  await ready(client);
  server.mind = () => true;
  const began = Date.now();
  client.retryNow(); // as a wake does
  await eventually(() => client.link !== 'connected');
  assert(Date.now() - began < 5000);
  server.mind = () => false;
  await ready(client);
});

test('what is written is what has changed, whoever comes and goes', async () => {
  const store = new MemoryStore();
  const commits = [];
  const commit = store.commit.bind(store);
  store.commit = async (given) => (await commit(given), commits.push(given));
  const client = make({ store });
  await ready(client);
  const other = CHAT.replace('c1', 'c2');
  server.tell('conversation.created', conversation([], { conversation_id: other }));
  await eventually(() => commits.at(-1)?.position === `${server.epoch}-1`);
  server.say({ type: 'ephemeral', event: 'presence', data: { user_id: OTHER, status: 'online' } });
  server.tell('message.created', server.add());
  await eventually(() => commits.at(-1).position === `${server.epoch}-2`);
  assert.deepEqual([commits.at(-1).whole, Object.keys(commits.at(-1).rooms)], [false, [CHAT]]);
});

test('wherever it dies, position, view and outbox on disk are of one moment', async () => {
  const store = new MemoryStore();
  const moments = [];
  const commit = store.commit.bind(store);
  store.commit = async (given) => {
    await commit(given);
    const [view, saved] = [await store.view(USER), await store.load()];
    moments.push({ offset: Number(view.position.split('-')[1]), view, waiting: saved.outbox.map((row) => row.id) });
  };
  const client = make({ store });
  await ready(client);
  for (let n = 0; n < 30; n += 1) {
    if (n % 3 === 0) client.send(CHAT, { text: `mine ${n}` });
    else server.tell('message.created', server.add({ content: { text: `other ${n}` } }));
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
  await eventually(() => client.pending().length === 0);
  await client.close();
  assert(moments.length > 3);
  for (const { offset, view, waiting } of moments) {
    const until = server.log.slice(0, offset).map((entry) => entry.data);
    assert.deepEqual(view.rooms[CHAT].messages.map((one) => one.message_id), until.map((one) => one.message_id));
    for (const one of until) assert(!waiting.includes(one.client_msg_id), 'what is in the view waits no more');
  }
});

test('somebody else on the same store sees nothing of who was there before', async () => {
  const store = new MemoryStore();
  const first = make({ store });
  await ready(first);
  server.tell('message.created', server.add({ content: { text: 'secret' } }));
  await eventually(() => texts(first).length === 1);
  await first.close();
  server.mind = (frame, socket) => {
    if (frame.type !== 'connect') return false;
    assert(!frame.resume || frame.resume.endsWith('-1'));
    socket.send(JSON.stringify({ type: 'connected', user_id: OTHER, position: frame.resume ?? '1-0', recovered: true, resync: null, heartbeat_interval_ms: 25_000 }));
    return true;
  };
  server.routes.set('GET /api/sync', () => [503, { code: 'unavailable', temporary: true }]);
  const second = make({ store });
  await eventually(() => second.link === 'connected');
  assert.equal(second.view.userId, OTHER);
  assert.equal(second.view.rooms.size, 0);
});
