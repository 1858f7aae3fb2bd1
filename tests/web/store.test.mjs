// What survives a reload, in memory and in a real implementation of IndexedDB.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import { IndexedDbStore, MemoryStore } from '../../gateway/web/sdk/store.js';
import { View } from '../../gateway/web/sdk/view.js';
import { CHAT, CHATS, conversation, message, OTHER, row, state, USER } from './wire.mjs';

createRequire(new URL('../../gateway/web/package.json', import.meta.url))('fake-indexeddb/auto');

let names = 0;

/** A view with one message in each of two conversations, as it is cached. */
function dump(position = '1-7') {
  const view = new View(USER);
  view.replace(state(7, CHATS.map((id) => conversation([message(1, { conversation_id: id })], { conversation_id: id }))));
  return { ...view.dump(60), position };
}

const commit = (fields = {}) => ({
  userId: USER,
  position: '1-7',
  blocked: [OTHER],
  settled: [],
  failed: [],
  rooms: dump().rooms,
  whole: true,
  ...fields,
});

const KINDS = {
  memory() {
    const store = new MemoryStore();
    return { store, again: () => store };
  },
  indexeddb() {
    names += 1;
    const name = `test-${names}`;
    const store = new IndexedDbStore(name);
    const again = () => {
      store.close();
      return new IndexedDbStore(name);
    };
    return { store, again };
  },
};

for (const [kind, make] of Object.entries(KINDS)) {
  test(`${kind}: rows come back in the order in which they were put`, async () => {
    const { store, again } = make();
    await Promise.all(['c', 'a', 'b'].map((id) => store.put(row(id))));
    await store.remove('a');
    assert.deepEqual((await again().load()).outbox.map((one) => one.id), ['c', 'b']);
  });

  test(`${kind}: a row that failed is put again in its place`, async () => {
    const { store, again } = make();
    await store.put(row('a'));
    await store.put(row('b'));
    await store.commit(commit({ failed: [{ ...row('a'), error: { code: 'blocked', message: '' } }] }));
    assert.deepEqual((await store.load()).outbox.map((one) => [one.id, one.error?.code]), [['a', 'blocked'], ['b', undefined]]);
    await store.put({ ...row('a'), error: null });
    assert.deepEqual((await again().load()).outbox.map((one) => [one.id, one.error?.code]), [['a', undefined], ['b', undefined]]);
  });

  test(`${kind}: position, view and settled rows are one`, async () => {
    const { store, again } = make();
    await store.put(row('a'));
    await store.put(row('b'));
    await store.commit(commit({ settled: ['a'] }));
    const later = again();
    const saved = await later.load();
    assert.deepEqual([saved.positions, saved.outbox.map((one) => one.id)], [{ [USER]: '1-7' }, ['b']]);
    assert.deepEqual(JSON.stringify(await later.view(USER)), JSON.stringify({ ...dump(), blocked: [OTHER] }));
  });

  test(`${kind}: a conversation changes alone, and goes when we leave it`, async () => {
    const { store } = make();
    await store.commit(commit());
    const changed = dump();
    changed.rooms[CHAT].conversation.title = 'Other';
    await store.commit(commit({ position: '1-8', rooms: { [CHAT]: changed.rooms[CHAT] }, whole: false }));
    let view = await store.view(USER);
    assert.deepEqual([view.position, view.rooms[CHAT].conversation.title, Object.keys(view.rooms).length], ['1-8', 'Other', 2]);
    await store.commit(commit({ rooms: { [CHAT]: null }, whole: false }));
    view = await store.view(USER);
    assert.deepEqual(Object.keys(view.rooms), [CHATS[1]]);
    await store.commit(commit({ rooms: {}, whole: true }));
    assert.deepEqual((await store.view(USER)).rooms, {});
  });

  test(`${kind}: what belongs to one user is never another's`, async () => {
    const { store } = make();
    await store.commit(commit());
    await store.commit(commit({ userId: OTHER, position: '2-1', rooms: {} }));
    await store.setDraft(USER, CHAT, { text: 'mine' });
    await store.put(row('a', CHAT, { user: null }));
    await store.put(row('b', CHAT, { user: OTHER }));
    await store.adopt(USER);
    assert.deepEqual((await store.load()).outbox.map((one) => one.user), [USER, OTHER]);
    assert.equal((await store.load()).userId, USER);
    assert.equal((await store.drafts(OTHER)).size, 0);
    await store.forget(USER);
    assert.equal(await store.view(USER), null);
    assert.equal((await store.view(OTHER)).position, '2-1');
    assert.equal((await store.drafts(USER)).size, 0);
    assert.deepEqual((await store.load()).outbox.map((one) => one.id), ['b']);
  });

  test(`${kind}: drafts are kept until they are taken away`, async () => {
    const { store, again } = make();
    await store.setDraft(USER, CHAT, { text: 'half a', replyTo: 'm1' });
    await store.setDraft(USER, CHATS[1], { text: 'x' });
    await store.setDraft(USER, CHATS[1], null);
    assert.deepEqual([...(await again().drafts(USER))], [[CHAT, { text: 'half a', replyTo: 'm1' }]]);
  });
}

test('a database that was closed under us is opened again', async () => {
  const store = new IndexedDbStore('closed');
  await store.put(row('a'));
  const request = indexedDB.open('closed', 2); // a later version of us, in another tab: ours must let go
  await new Promise((resolve) => (request.onsuccess = resolve));
  request.result.close();
  await assert.rejects(store.put(row('b')), { name: 'VersionError' });
});
