// REST: tokens, refusals, files.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { Api, ApiError, Unreachable } from '../../gateway/web/sdk/index.js';
import { Server } from './server.mjs';
import { CHAT, USER } from './wire.mjs';

let server;
let api;
let kept;

const user = { user_id: USER, username: 'alice', display_name: 'Alice' };
const pair = (n) => ({ access_token: `access-${n}`, expires_in: 600, refresh_token: `refresh-${n}`, user, session_id: 's' });
const storage = () => ({ getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value), removeItem: (name) => kept.delete(name) });

beforeEach(async () => {
  server = await new Server().start();
  kept = new Map();
  api = new Api({ url: `${server.url}/`, storage: storage() });
  server.routes.set('POST /api/auth/login', () => [200, pair(1)]);
  server.routes.set('GET /api/me', () => [200, user]);
});
afterEach(() => server.stop());

const asked = (path) => server.requests.filter((one) => one.path === path);

test('signing in gives a token to every request', async () => {
  assert.equal((await api.login({ username: 'alice', password: 'p' })).user_id, USER);
  await api.me();
  assert.equal(asked('/api/me')[0].headers.authorization, 'Bearer access-1');
  assert.equal(asked('/api/me')[0].headers['x-headrace-client'], 'web');
  assert.deepEqual(asked('/api/auth/login')[0].body, { username: 'alice', password: 'p', cookie: false });
});

test('however many callers find the token expired, it is refreshed once', async () => {
  await api.login({ username: 'alice', password: 'p' });
  let valid = 'access-2';
  server.routes.set('POST /api/auth/refresh', (body) => (body.refresh_token === 'refresh-1' ? [200, pair(2)] : [401, { code: 'token_reused' }]));
  server.routes.set('GET /api/me', (_, request) => (request.headers.authorization === `Bearer ${valid}` ? [200, user] : [401, { code: 'token_expired' }]));
  await Promise.all(Array.from({ length: 5 }, () => api.me()));
  assert.equal(asked('/api/auth/refresh').length, 1);
});

test('a token is refreshed before it ends', async () => {
  server.routes.set('POST /api/auth/login', () => [200, { ...pair(1), expires_in: 0 }]);
  server.routes.set('POST /api/auth/refresh', () => [200, pair(2)]);
  await api.login({ username: 'alice', password: 'p' });
  assert.equal(await api.token(), 'access-2');
});

test('a refresh whose answer was lost is asked for again, while the server repeats it', async () => {
  await api.login({ username: 'alice', password: 'p' });
  let spentAt = 0;
  server.routes.set('POST /api/auth/refresh', ({ refresh_token }, request) => {
    spentAt ||= Date.now();
    if (refresh_token !== 'refresh-1' || Date.now() - spentAt > 10_000) return [401, { code: 'token_reused' }];
    const tries = asked('/api/auth/refresh').length;
    if (tries === 1) request.socket.destroy();
    return tries < 3 ? new Promise(() => {}) : [200, pair(2)];
  });
  assert.equal(await api.token({ renew: true }), 'access-2');
  assert.equal(asked('/api/auth/refresh').length, 3);
});

test('with a cookie no refresh token is seen', async () => {
  api = new Api({ url: server.url, storage: storage(), cookie: true });
  server.routes.set('POST /api/auth/login', () => [200, { ...pair(1), refresh_token: undefined }]);
  server.routes.set('POST /api/auth/refresh', (body) => [200, { ...pair(2), refresh_token: undefined, body }]);
  await api.login({ username: 'alice', password: 'p' });
  assert.equal(asked('/api/auth/login')[0].body.cookie, true);
  await api.token({ renew: true });
  assert.deepEqual(asked('/api/auth/refresh')[0].body, {});
});

test('a session that is still there is found again, also without a network', async () => {
  assert.equal(await api.restore(), null);
  await api.login({ username: 'alice', password: 'p' });
  server.routes.set('POST /api/auth/refresh', () => [200, pair(2)]);
  const again = new Api({ url: server.url, storage: storage() });
  assert.equal((await again.restore()).user_id, USER);
  await server.stop();
  const offline = new Api({ url: server.url, storage: storage() });
  assert.equal((await offline.restore()).user_id, USER);
  await server.start(server.port);
  server.routes.set('POST /api/auth/refresh', () => [401, { code: 'session_revoked' }]);
  assert.equal(await new Api({ url: server.url, storage: storage() }).restore(), null);
  assert.equal(await new Api({ url: server.url, storage: storage() }).restore(), null, 'and it is forgotten');
});

test('signing out ends it here, whatever the server says', async () => {
  await api.login({ username: 'alice', password: 'p' });
  server.routes.set('POST /api/auth/logout', () => [503, { code: 'unavailable', temporary: true }]);
  await assert.rejects(api.logout());
  assert.equal(api.user, null);
  assert.equal(kept.size, 0);
});

test('a refusal says what it is, and what is none is unreachable', async () => {
  await api.login({ username: 'alice', password: 'p' });
  server.routes.set('GET /api/me', () => [429, { code: 'rate_limited', detail: 'slow down', temporary: true, retry_after_ms: 1200 }]);
  await assert.rejects(api.me(), (failure) => {
    assert(failure instanceof ApiError);
    assert.deepEqual([failure.status, failure.code, failure.message, failure.temporary, failure.retryAfterMs], [429, 'rate_limited', 'slow down', true, 1200]);
    return true;
  });
  server.routes.set('GET /api/me', () => [502, 'a proxy']);
  await assert.rejects(api.me(), Unreachable);
  await server.stop();
  await assert.rejects(api.me(), Unreachable);
  await server.start(server.port);
});

test('a server that hangs is given up in time, but for a file', async () => {
  const signals = [];
  const hangs = async (_, init) => (signals.push(init.signal), Promise.reject(new DOMException('', 'TimeoutError')));
  const ask = (options) => import('../../gateway/web/sdk/http.js').then((http) => http.ask(hangs, '/', 'GET', options));
  await assert.rejects(ask({}), Unreachable);
  await assert.rejects(ask({ body: new Blob(['x']) }), Unreachable);
  assert.ok(signals[0] instanceof AbortSignal);
  assert.equal(signals[1], null);
});

test('names of REST: queries, bodies, ids', async () => {
  await api.login({ username: 'alice', password: 'p' });
  server.routes.set('POST /api/conversations', () => [201, { conversation_id: CHAT, kind: 'group' }]);
  await api.createGroup({ title: 'Mill', memberIds: ['b'], key: 'k' });
  const [made] = asked('/api/conversations');
  assert.deepEqual([made.body, made.headers['idempotency-key']], [{ kind: 'group', member_ids: ['b'], title: 'Mill' }, 'k']);
  server.routes.set('PATCH /api/conversations/a%2Fb/mine', (body) => [200, body]);
  assert.deepEqual(await api.mine('a/b', { mutedUntil: null }), { muted_until: null });
});

// Files

const file = () => new File(['0123456789'], 'ten.txt', { type: 'text/plain' });
const attachment = (status) => ({ attachment_id: 'f', name: 'ten.txt', content_type: 'text/plain', size: 10, status });

/** An object store beside the server, and what the server says of a file. */
async function filing({ status = 201, done = false } = {}) {
  await api.login({ username: 'alice', password: 'p' });
  const store = await new Server().start();
  store.routes.set('POST /bucket', () => [204]);
  const form = { url: `${store.url}/bucket`, fields: { key: 'quarantine/f', policy: 'p' }, expires_at: 'soon' };
  let there = done;
  server.routes.set('POST /api/attachments', () => [status, { attachment_id: 'f', attachment: attachment('uploading'), upload: form }]);
  server.routes.set('POST /api/attachments/f/complete', () => {
    const before = there;
    there ||= store.requests.length > 0;
    return before || there ? [200, attachment('pending')] : [409, { code: 'attachment_not_ready', temporary: true }];
  });
  server.routes.set('PUT /api/attachments/f/content', () => [200, attachment('pending')]);
  return store;
}

test('a file is announced, posted with its form, and completed', async () => {
  const store = await filing();
  const told = [];
  const found = await api.upload(file(), { key: 'k', onProgress: (...given) => told.push(given) });
  assert.equal(found.status, 'pending');
  const [announced] = asked('/api/attachments');
  assert.equal(announced.headers['idempotency-key'], 'k');
  assert.deepEqual(announced.body, { name: 'ten.txt', content_type: 'text/plain', size: 10, sha256: '84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882' });
  const posted = store.requests[0].body.toString();
  assert(posted.indexOf('quarantine/f') < posted.indexOf('0123456789'), 'the fields first');
  assert(!store.requests[0].headers.authorization);
  assert.deepEqual(told.at(-1), [10, 10]);
  await store.stop();
});

test('where the object store can not be reached the file goes through the gateway', async () => {
  const store = await filing();
  await store.stop();
  assert.equal((await api.upload(file())).status, 'pending');
  const [put] = asked('/api/attachments/f/content');
  assert.deepEqual([put.body.toString(), put.headers.authorization], ['0123456789', 'Bearer access-1']);
});

test('with the same key an upload goes on, and sends nothing if the file is there', async () => {
  const store = await filing({ status: 200, done: true });
  assert.equal((await api.upload(file(), { key: 'k' })).status, 'pending');
  assert.equal(store.requests.length, 0);
  await store.stop();
});

test('a form that the object store refuses is asked for anew, once', async () => {
  const store = await filing();
  store.routes.set('POST /bucket', () => [403, 'expired']);
  await assert.rejects(api.upload(file()), { code: 'upload_refused' });
  assert.equal(asked('/api/attachments').length, 2);
  await store.stop();
});

test('what is refused is refused at once, and an empty file is none', async () => {
  const store = await filing();
  server.routes.set('POST /api/attachments', () => [503, { code: 'scanner_unavailable' }]);
  await assert.rejects(api.upload(file()), { code: 'scanner_unavailable' });
  await assert.rejects(api.upload(new Blob([])), RangeError);
  assert.equal(asked('/api/attachments').length, 1);
  await store.stop();
});

/** A line that breaks at every try, where `reach` says: how many bytes were sent by then; null: it does not break. */
function breaking(reach, context) {
  let tries = 0;
  context.mock.method(Math, 'random', () => 0); // no pauses
  globalThis.XMLHttpRequest = class {
    upload = {};
    open() {}
    setRequestHeader() {}
    send() {
      const sent = reach((tries += 1));
      this.upload.onprogress({ loaded: sent ?? 10 });
      if (sent === null) Object.assign(this, { status: 200, responseText: JSON.stringify(attachment('pending')) }).onload();
      else this.onerror();
    }
  };
  context.after(() => delete globalThis.XMLHttpRequest);
  return () => tries;
}

test('an upload that comes no further is given up after twenty more tries', async (context) => {
  const store = await filing();
  const tries = breaking(() => 3, context);
  await assert.rejects(api.upload(file()), Unreachable);
  assert.equal(asked('/api/attachments').length, 21);
  assert.equal(tries(), 42, 'by both ways each time');
  await store.stop();
});

test('an upload that comes further now and then goes on', async (context) => {
  const store = await filing();
  const tries = breaking((many) => (many > 200 && many % 2 === 0 ? null : Math.floor(many / 25)), context);
  assert.equal((await api.upload(file())).status, 'pending');
  assert(tries() > 200);
  await store.stop();
});

test('an upload can be called off', async () => {
  const store = await filing();
  const calling = new AbortController();
  store.routes.set('POST /bucket', () => {
    calling.abort(new Error('called off'));
    return [500, {}];
  });
  await assert.rejects(api.upload(file(), { signal: calling.signal }), /called off|abort/);
  await store.stop();
});
