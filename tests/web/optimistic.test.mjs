// What is wanted, laid over what is, and taken back when it is refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Mirror } from '../../gateway/web/sdk/mirror.js';
import { Sending } from '../../gateway/web/sdk/sending.js';
import { CHAT, conversation, logged, member, message, OTHER, row, state, USER } from './wire.mjs';

function make(messages = [message(1, { sender_id: USER })]) {
  const said = [];
  const mirror = new Mirror(USER, (event, detail) => said.push([event, detail]), () => {});
  mirror.hear({ news: 'resynced', state: state(1, [conversation(messages)]), reason: 'fresh' });
  const room = () => mirror.view.rooms.get(CHAT);
  return { mirror, said, room, items: () => room().messages };
}

function change(mirror, kind, frame, id = 'op') {
  const sending = new Sending(row(id, CHAT, { kind, frame: { message_id: 'm1', conversation_id: CHAT, client_op_id: id, ...frame } }));
  mirror.add(sending);
  return sending;
}

const refused = { code: 'forbidden', message: 'no' };
const event = (offset, name, data) => ({ news: 'event', position: `1-${offset}`, entry: logged(offset, name, data) });

test('a send is seen at once, after what is stored, and is its message when that comes', () => {
  const { mirror, items } = make();
  mirror.add(new Sending(row('a')));
  mirror.add(new Sending(row('b')));
  assert.deepEqual(items().map((one) => [one.seq, one.client_msg_id, one.local.state]), [[1, 'k1', 'sent'], [null, 'a', 'sending'], [null, 'b', 'sending']]);
  mirror.hear({ news: 'sending', id: 'a', state: 'accepted' });
  assert.equal(items()[1].local.state, 'accepted');
  mirror.hear(event(2, 'message.created', message(2, { sender_id: USER, client_msg_id: 'a' })));
  assert.deepEqual(items().map((one) => one.client_msg_id), ['k1', 'a', 'b'], 'never twice, also before it is settled');
  mirror.hear({ news: 'sending', id: 'a', state: 'stored', message: message(2) });
  assert.deepEqual(items().map((one) => one.local.state), ['sent', 'sent', 'sending']);
});

test('a send that is refused stays with its reason, and can be tried again or thrown away', async () => {
  const { mirror, items } = make([]);
  const sending = new Sending(row('a'));
  mirror.add(sending);
  mirror.hear({ news: 'sending', id: 'a', state: 'failed', error: refused });
  assert.deepEqual([items()[0].local.state, items()[0].local.error.code], ['failed', 'forbidden']);
  await assert.rejects(sending.stored, { code: 'forbidden' });
  mirror.hear({ news: 'sending', id: 'a', state: 'sending' });
  assert.deepEqual([items()[0].local.state, items()[0].local.error], ['sending', null]);
  mirror.hear({ news: 'sending', id: 'a', state: 'stored', message: message(1) });
  assert.equal((await sending.stored).message_id, 'm1');
  mirror.add(new Sending(row('b')));
  mirror.hear({ news: 'discarded', id: 'b' });
  assert.deepEqual(items(), []);
});

test('delivered and read follow from the others’ marks, with their number', () => {
  const { mirror, room, items } = make();
  mirror.hear(event(2, 'member.joined', { conversation_id: CHAT, rev: 2, members: [member('third')] }));
  const marks = (user_id, delivered_seq, read_seq) => event(3, 'receipt.updated', { conversation_id: CHAT, user_id, delivered_seq, read_seq });
  const local = () => (({ state: now, delivered, read, others }) => [now, delivered, read, others])(items()[0].local);
  mirror.hear(marks(OTHER, 1, 1));
  assert.deepEqual(local(), ['sent', 1, 1, 2]);
  mirror.hear(marks('third', 1, 0));
  assert.deepEqual(local(), ['delivered', 2, 1, 2]);
  mirror.hear(marks('third', 1, 1));
  assert.deepEqual(local(), ['read', 2, 2, 2]);
  assert.equal(room().messages, room().messages, 'the same until something changes');
});

test('an edit lies over whatever is told of the message meanwhile, and is gone when it is refused', () => {
  const { mirror, items } = make();
  change(mirror, 'edit', { type: 'message.edit', content: { text: 'better' } });
  assert.deepEqual([items()[0].content.text, items()[0].local.change.state], ['better', 'sending']);
  mirror.hear(event(2, 'reaction.added', message(1, { sender_id: USER, rev: 2, reactions: { x: [OTHER] } })));
  assert.deepEqual([items()[0].content.text, items()[0].reactions], ['better', { x: [OTHER] }]);
  mirror.hear({ news: 'sending', id: 'op', state: 'failed', error: refused });
  assert.deepEqual([items()[0].content.text, items()[0].local.error.code], ['hi', 'forbidden']);
  mirror.hear({ news: 'discarded', id: 'op' });
  assert.equal(items()[0].local.error, null);
});

test('with its own outcome a change is over', () => {
  const { mirror, items } = make();
  change(mirror, 'edit', { type: 'message.edit', content: { text: 'better' } });
  mirror.hear(event(2, 'message.edited', message(1, { sender_id: USER, rev: 2, content: { text: 'as the server has it' } })));
  mirror.hear({ news: 'sending', id: 'op', state: 'stored', message: message(1) });
  assert.deepEqual([items()[0].content.text, items()[0].local.change], ['as the server has it', null]);
});

test('a deletion and reactions are seen at once', () => {
  const { mirror, items } = make([message(1, { reactions: { a: [OTHER], b: [USER] } })]);
  change(mirror, 'react', { type: 'reaction.add', emoji: 'a' }, '1');
  change(mirror, 'react', { type: 'reaction.remove', emoji: 'b' }, '2');
  change(mirror, 'react', { type: 'reaction.add', emoji: 'c' }, '3');
  assert.deepEqual(items()[0].reactions, { a: [OTHER, USER], c: [USER] });
  mirror.hear({ news: 'sending', id: '1', state: 'failed', error: refused });
  assert.deepEqual(items()[0].reactions, { a: [OTHER], c: [USER] });
  change(mirror, 'delete', { type: 'message.delete' }, '4');
  assert.deepEqual([items()[0].content, items()[0].reactions], [null, {}]);
});

test('reading is seen at once, and taken back where the server will never know', () => {
  const { mirror, room } = make([message(1), message(2)]);
  assert.equal(room().unread, 2);
  mirror.read(CHAT, 2);
  assert.equal(room().unread, 0);
  mirror.hear({ news: 'unmarked', conversationId: CHAT });
  assert.equal(room().unread, 2);
});

test('a resync keeps what is on its way', () => {
  const { mirror, items } = make();
  mirror.add(new Sending(row('a')));
  change(mirror, 'edit', { type: 'message.edit', content: { text: 'better' } });
  mirror.hear({ news: 'resynced', state: state(9, [conversation([message(1, { sender_id: USER })])]), reason: 'gap' });
  assert.deepEqual(items().map((one) => one.content.text), ['better', 'a']);
});

test('the program is told once for all that happens at a time, and what has not changed is the same item', async () => {
  const { mirror, said, items } = make([message(1), message(2)]);
  await null;
  said.length = 0;
  const [first] = items();
  for (const seq of [3, 4, 5]) mirror.hear(event(seq, 'message.created', message(seq)));
  await null;
  assert.equal(said.filter(([name]) => name === 'changed').length, 1);
  assert.equal(items()[0], first);
});

test('a thread has its root, its replies, and what is on its way there', () => {
  const { mirror, room } = make([message(1), message(2, { thread_root_id: 'm1' }), message(3)]);
  const frame = { type: 'message.send', client_msg_id: 'a', content: { text: 'a' }, thread_root_id: 'm1' };
  mirror.add(new Sending(row('a', CHAT, { frame })));
  const { root, messages } = room().thread('m1');
  assert.deepEqual([root.message_id, messages.map((one) => one.client_msg_id)], ['m1', ['k2', 'a']]);
});

test('an edit is sent from another tab’s row, an accepted one stays accepted', () => {
  const { mirror } = make();
  const other = make();
  mirror.add(new Sending(row('a')));
  const rows = [...mirror.sendings.values()].map((one) => one.row);
  const news = { news: 'snapshot', view: mirror.view.dump(60), rows, accepted: ['a'], link: 'connected', retryAt: null };
  other.mirror.hear(structuredClone(news));
  assert.deepEqual(other.items().map((one) => [one.client_msg_id, one.local.state]), [['k1', 'sent'], ['a', 'accepted']]);
  assert.equal(other.mirror.link, 'connected');
});
