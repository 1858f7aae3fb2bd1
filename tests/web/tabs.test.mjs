// Several tabs of one browser: one leads, all see the same. Web Locks are Node's own where it has them; a page is what a tab needs of one.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { Locks } from './locks.mjs';

const events = new EventTarget();
globalThis.addEventListener = events.addEventListener.bind(events);
globalThis.removeEventListener = events.removeEventListener.bind(events);
const page = Object.assign(new EventTarget(), { visibilityState: 'visible' });
globalThis.document = page;
Object.defineProperty(globalThis, 'navigator', { value: { locks: new Locks() }, configurable: true });

const { Api, Client, MemoryStore } = await import('../../gateway/web/sdk/index.js');
const { eventually, Server } = await import('./server.mjs');
const { CHAT, CHATS, conversation, USER } = await import('./wire.mjs');

let server;
let store;
let tabs = [];

beforeEach(async () => {
  server = await new Server().start();
  store = new MemoryStore();
});
afterEach(async () => {
  await Promise.all(tabs.map((one) => one.close()));
  tabs = [];
  await server.stop();
});

function open() {
  const client = new Client({ api: new Api({ url: server.url, token: async () => 'token' }), store, receipts: false });
  tabs.push(client);
  client.start();
  return client;
}

const ready = (client) => eventually(() => client.link === 'connected' && client.view.rooms.has(CHAT), 'connected');
const texts = (client) => client.view.rooms.get(CHAT)?.messages.map((one) => one.content.text);

async function two() {
  const leader = open();
  await ready(leader);
  const follower = open();
  await ready(follower);
  assert.deepEqual([leader.leads, follower.leads, server.connects], [true, false, 1]);
  return { leader, follower };
}

test('two tabs have one socket, and both see what either sends', async () => {
  const { leader, follower } = await two();
  assert.equal((await follower.send(CHAT, { text: 'from the follower' }).stored).seq, 1);
  await leader.send(CHAT, { text: 'from the leader' }).stored;
  await eventually(() => texts(leader).length === 2 && texts(follower).length === 2);
  assert.deepEqual(texts(leader), texts(follower));
  assert.equal(server.connects, 1);
});

test('what one tab has on its way, the other shows, with what becomes of it', async () => {
  const { leader, follower } = await two();
  server.mind = (frame) => frame.type === 'message.send';
  follower.send(CHAT, { text: 'waits' });
  const local = (client) => client.view.rooms.get(CHAT).messages[0]?.local.state;
  await eventually(() => local(leader) === 'sending');
  const [frame] = await eventually(() => server.of('message.send').length && server.of('message.send'));
  server.say({ type: 'reply', id: frame.id, ok: true, result: {} });
  await eventually(() => local(leader) === 'accepted' && local(follower) === 'accepted');
  const third = open();
  await eventually(() => third.view.rooms.has(CHAT) && local(third) === 'accepted');
});

test('when the leader goes, another takes over within a second, with all that waits', async () => {
  const { leader, follower } = await two();
  server.mind = (frame) => frame.type === 'message.send';
  const sending = follower.send(CHAT, { text: 'waits' });
  await eventually(() => server.of('message.send').length);
  server.mind = () => false;
  const began = Date.now();
  await leader.close();
  await eventually(() => follower.leads && follower.link === 'connected');
  assert(Date.now() - began < 1000);
  await sending.stored;
  assert.equal(server.messages.length, 1);
  assert.equal(server.of('connect').at(-1).resume, `${server.epoch}-0`, 'it resumes, and loads nothing');
  assert.equal(server.syncs, 1);
});

test('what a leader told and did not write, the next one does', async () => {
  const { leader, follower } = await two();
  const [, other] = CHATS;
  server.tell('conversation.created', conversation([], { conversation_id: other }));
  const offset = async () => (await store.load()).positions[USER];
  await eventually(async () => (await offset()) === `${server.epoch}-1`);
  store.commit = async () => {}; // it dies before
  server.tell('message.created', server.add());
  await eventually(() => texts(follower).length === 1);
  await leader.close();
  delete store.commit;
  await eventually(() => follower.leads && follower.link === 'connected');
  server.tell('message.created', { ...server.add(), conversation_id: other, seq: 1 });
  await eventually(async () => (await offset()) === `${server.epoch}-3`);
  const { rooms } = await store.view(USER);
  assert.deepEqual([CHAT, other].map((id) => rooms[id].messages.length), [1, 1]);
});

test('a message that was sent while nobody led goes out', async () => {
  const { leader, follower } = await two();
  const closing = leader.close();
  const sending = follower.send(CHAT, { text: 'in between' });
  await closing;
  await sending.stored;
  assert.deepEqual(server.messages.map((one) => one.content.text), ['in between']);
});

test('while all is well a follower asks only whether the leader is there', async () => {
  const { follower } = await two();
  const asked = [];
  const [channel] = Locks.channels;
  channel.addEventListener('message', ({ data }) => asked.push(data));
  await eventually(() => asked.at(-1)?.there);
  asked.length = 0;
  let changes = 0;
  follower.addEventListener('changed', () => (changes += 1));
  await eventually(() => asked.some((one) => one.there));
  assert.deepEqual([asked.length, changes], [1, 0]);
});

test('a leader that is silent has the lead taken away, and says no more to those who follow another', async () => {
  const { leader, follower } = await two();
  const third = open();
  await ready(third);
  const [channel] = Locks.channels;
  const thaw = Locks.freeze(channel);
  const others = [follower, third];
  // Both may have missed the leader at the same moment: then one has it taken away at once, and connects in vain.
  await eventually(() => server.connects >= 2 && others.filter((one) => one.leads).length === 1 && others.every((one) => one.link === 'connected'));
  const other = others.find((one) => !one.leads);
  const links = [];
  other.addEventListener('link', ({ detail }) => links.push(detail));
  thaw();
  await eventually(() => !leader.leads);
  await leader.send(CHAT, { text: 'goes on' }).stored;
  await eventually(() => [leader, follower, third].every((one) => texts(one).length === 1));
  assert.deepEqual([links, leader.link], [[], 'connected']);
});

test('what a page has missed that was kept out of sight, it hears when it is back', async () => {
  const { leader, follower } = await two();
  follower.watch('a');
  await eventually(() => server.of('watch').length === 1);
  const [, channel] = Locks.channels;
  const { onmessage } = channel;
  channel.onmessage = () => {};
  events.dispatchEvent(new Event('pagehide'));
  await eventually(() => server.of('unwatch').length === 1);
  server.tell('message.created', server.add());
  await eventually(() => texts(leader).length === 1);
  channel.onmessage = onmessage;
  events.dispatchEvent(new Event('pageshow'));
  await eventually(() => texts(follower).length === 1 && server.of('watch').length === 2);
});

test('what became of a change while its tab was frozen, that tab hears when it thaws', async () => {
  const { leader, follower } = await two();
  const { message_id } = await leader.send(CHAT, { text: 'one' }).stored;
  server.mind = (frame) => frame.type.startsWith('message.');
  const edit = leader.edit({ message_id, conversation_id: CHAT, rev: 1 }, 'two');
  const refused = leader.send(CHAT, { text: 'refused' });
  await eventually(() => server.of('message.edit').length && follower.pending().length === 2);
  const [channel] = Locks.channels;
  const thaw = Locks.freeze(channel);
  const [first] = server.sockets;
  server.sockets.delete(first); // to a frozen page nothing comes through
  server.mind = (frame, socket) => {
    if (frame.type === 'message.send') {
      socket.send(JSON.stringify({ type: 'reply', id: frame.id, ok: false, error: { code: 'blocked', message: 'no' } }));
    } else if (frame.type === 'message.edit') {
      server.messages[0] = { ...server.messages[0], content: frame.content, rev: 2 };
      server.tell('message.edited', server.messages[0], { actor_id: USER, client_op_id: frame.client_op_id });
    } else return false;
    return true;
  };
  await eventually(() => follower.leads && follower.pending().every((one) => one.state === 'failed'));
  thaw();
  await eventually(() => edit.state === 'stored' && refused.state === 'failed');
  assert.equal((await edit.stored).content.text, 'two');
  await assert.rejects(refused.stored, { code: 'blocked' });
  for (const one of [leader, follower]) assert.deepEqual(one.pending().map(({ id }) => id), [refused.id]);
  server.sockets.add(first);
});

test('drafts and reading are shared', async () => {
  server.add();
  const { leader, follower } = await two();
  await follower.drafts.set(CHAT, { text: 'half' });
  await eventually(() => leader.drafts.get(CHAT)?.text === 'half');
  follower.read(CHAT, 1);
  assert.equal(follower.view.rooms.get(CHAT).unread, 0);
  await eventually(() => leader.view.rooms.get(CHAT).unread === 0);
  await eventually(() => server.of('receipt').length === 1);
});

test('who is looked at is what any tab looks at', async () => {
  const { leader, follower } = await two();
  leader.watch('a');
  follower.watch('b');
  await eventually(() => server.of('watch').length === 2);
  await follower.close();
  await eventually(() => server.of('unwatch').length === 1);
  assert.equal(server.of('unwatch')[0].conversation_id, 'b');
});

test('a tab that comes shows how people are seen', async () => {
  const leader = open();
  await ready(leader);
  const other = { user_id: 'b', status: 'away' };
  server.say({ type: 'ephemeral', event: 'presence', data: other });
  await eventually(() => leader.view.presence.size);
  const follower = open();
  await ready(follower);
  assert.deepEqual([...follower.view.presence.values()], [other]);
});

/** As many tabs as there are settings, each with its api; what they keep, they keep together. */
async function signingIn(settings, work) {
  const kept = new Map();
  globalThis.localStorage = { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value), removeItem: (name) => kept.delete(name) };
  const apis = settings.map((one) => new Api({ url: server.url, ...one }));
  try {
    await work(apis, kept);
  } finally {
    for (const api of apis) api.close();
    delete globalThis.localStorage;
  }
}

test('one tab refreshes the token for all', async () => {
  const user = { user_id: 'u', username: 'alice', display_name: 'Alice' };
  let refreshes = 0;
  const pair = (n) => ({ access_token: `access-${n}`, refresh_token: `refresh-${n}`, expires_in: 600, user });
  server.routes.set('POST /api/auth/login', () => [200, pair(0)]);
  server.routes.set('POST /api/auth/refresh', (body) => (body.refresh_token === `refresh-${refreshes}` ? [200, pair(++refreshes)] : [401, { code: 'token_reused' }]));
  await signingIn([{}, {}, {}], async (apis) => {
    await apis[0].login({ username: 'alice', password: 'p' });
    await Promise.all(apis.slice(1).map((api) => api.restore()));
    assert.deepEqual(await Promise.all(apis.map((api) => api.token())), ['access-0', 'access-0', 'access-0'], 'told, and not refreshed');
    assert.deepEqual(await Promise.all(apis.map((api) => api.token({ renew: true }))), ['access-1', 'access-1', 'access-1']);
    assert.equal(refreshes, 1);
  });
});

const refreshes = () => server.requests.filter((one) => one.path === '/api/auth/refresh').map((one) => one.body.refresh_token);
const signedIn = (name, n) => ({ access_token: `${name}-${n}`, refresh_token: `${name}-refresh-${n}`, expires_in: 600, user: { user_id: name, username: name } });

test('two tabs in which different people signed in do not take each other’s tokens', async () => {
  server.routes.set('POST /api/auth/login', ({ username }) => [200, signedIn(username, 1)]);
  server.routes.set('POST /api/auth/refresh', ({ refresh_token }) => [200, signedIn(refresh_token.split('-')[0], 2)]);
  server.routes.set('POST /api/auth/logout', () => [204]);
  await signingIn([{}, {}], async ([first, second]) => {
    await first.login({ username: 'eve', password: 'p' });
    await second.login({ username: 'ann', password: 'p' });
    await assert.rejects(first.token({ renew: true }), { name: 'Stopped' });
    assert.deepEqual([first.user.user_id, refreshes()], ['eve', []]);
    await first.logout();
    assert.equal(await second.token({ renew: true }), 'ann-2');
    assert.equal((await first.restore()).user_id, 'ann', 'who begins anew is who signed in last');
  });
});

test('a refresh that answers for somebody else is not believed', async () => {
  server.routes.set('POST /api/auth/login', ({ username }) => [200, signedIn(username, 1)]);
  server.routes.set('POST /api/auth/refresh', () => [200, signedIn('ann', 2)]);
  await signingIn([{ cookie: true }], async ([api], kept) => {
    await api.login({ username: 'eve', password: 'p' });
    await assert.rejects(api.token({ renew: true }), { name: 'Stopped' });
    assert.equal(api.user.user_id, 'eve');
    assert.match([...kept.values()][0], /"eve"/);
  });
});

test('who has signed out in one tab is signed out in all, also while the server can not be reached', async () => {
  server.routes.set('POST /api/auth/login', ({ username }) => [200, signedIn(username, 1)]);
  server.routes.set('POST /api/auth/logout', () => [503, { code: 'unavailable', temporary: true }]);
  await signingIn([{ cookie: true }, { cookie: true }], async ([first, second], kept) => {
    await first.login({ username: 'ann', password: 'p' });
    await second.restore();
    const answered = Promise.withResolvers();
    server.routes.set('POST /api/auth/refresh', () => answered.promise);
    const refreshing = second.token({ renew: true });
    await eventually(() => refreshes().length);
    await assert.rejects(first.logout());
    await eventually(() => !second.user);
    answered.resolve([200, signedIn('ann', 2)]);
    await assert.rejects(refreshing, { name: 'Stopped' });
    for (const api of [first, second]) await assert.rejects(api.token(), { name: 'Stopped' });
    assert.deepEqual([refreshes().length, kept.size, await second.restore()], [1, 0, null]);
    await second.login({ username: 'ann', password: 'p' });
    assert.equal(await second.token(), 'ann-1');
    await assert.rejects(first.token(), { name: 'Stopped' }, 'it begins anew when it is told to');
    await assert.rejects(first.logout(), { name: 'Stopped' });
    assert.equal(kept.size, 1, 'what has ended ends nobody else');
    assert.equal((await first.restore()).user_id, 'ann');
  });
});
