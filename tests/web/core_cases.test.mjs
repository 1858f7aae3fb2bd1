// The core, one rule of the protocol at a time.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Core } from '../../gateway/web/sdk/core.js';
import { PROBE_MS } from '../../gateway/web/sdk/link.js';
import { ACCEPT_MS, STORE_MS, UNANSWERED } from '../../gateway/web/sdk/outbox.js';
import { CHAT, CHATS, EPOCH, logged, message, OTHER, row, state, USER } from './wire.mjs';

const AT = `${EPOCH}-10`;

function make({ positions = { [USER]: AT }, userId = USER, outbox = [], ...options } = {}) {
  return new Core({ userId, positions, outbox }, { random: () => 0, ...options });
}

const frames = (effects) => effects.filter((one) => one.do === 'write').map((one) => one.frame);
const kinds = (effects) => effects.map((one) => one.do);

function open(core, now = 0) {
  core.dialling();
  return frames(core.opened('t', now))[0];
}

/** A core that is connected and has resumed at offset 10. */
function connected(core = make(), fields = {}, now = 0) {
  open(core, now);
  const frame = { type: 'connected', user_id: USER, position: AT, recovered: true, resync: null, heartbeat_interval_ms: 25_000, ...fields };
  const effects = core.received(JSON.stringify(frame), now);
  return { core, effects, say: (one, at = now) => core.received(JSON.stringify(one), at) };
}

const event = (offset, name, data, fields = {}) => ({ type: 'event', ...logged(offset, name, data, fields) });

test('it resumes from the saved position of its own user', () => {
  assert.equal(open(make()).resume, AT);
  assert.equal(open(make({ userId: 'somebody-else' })).resume, undefined);
});

test('somebody else than before is never resumed from their position', () => {
  const { effects, core } = connected(make({ userId: 'x', positions: { x: AT } }));
  assert.deepEqual(kinds(effects), ['adopt']);
  assert(core.inbox.loading);
});

test('after three failed resumes it connects fresh', () => {
  const core = make();
  for (let tries = 0; tries < 3; tries += 1) {
    assert.equal(open(core).resume, AT);
    core.lost(1006, '', 0);
  }
  assert.equal(open(core).resume, undefined);
});

test('a server that can not read the position is asked afresh once, and then believed', () => {
  const core = make();
  open(core);
  assert.deepEqual(kinds(core.lost(4504, '', 0)), []);
  assert.equal(open(core).resume, undefined);
  assert.deepEqual(kinds(core.lost(4504, '', 0)), ['stop']);
});

for (const code of [1000, 1006, 1012, 4000, 4001, 4002, 4003, 4005, 4006, 4007]) {
  test(`close code ${code} reconnects`, () => assert.deepEqual(kinds(connected().core.lost(code, '', 0)), []));
}
for (const code of [4500, 4501, 4502, 4503, 4504, 4505, 4506, 4507, 4999]) {
  test(`close code ${code} ends it`, () => {
    const [effect] = connected().core.lost(code, 'why', 0);
    assert.equal(effect.do, 'stop');
    assert.equal(effect.error.code, code);
    assert.equal(effect.error.message, 'why');
  });
}

test('a close code that got lost is taken from the farewell, with its hint as a floor', () => {
  const { core, say } = connected();
  say({ type: 'disconnect', code: 4005, reason: 'draining', reconnect: true, retry_after_ms: 7000 });
  assert.deepEqual(kinds(core.lost(1006, '', 100)), []);
  assert.equal(core.line.dialAt, 7100);
  core.probe(200);
  assert.equal(core.line.dialAt, 7100, 'not before the hint, whoever hurries');
});

test('an expired token asks for another before dialling', () => {
  const { core } = connected();
  core.lost(4004, '', 0);
  assert(core.line.tokenStale);
});

test('full jitter: up to 20 s, and from half a second again after 30 s of stability', () => {
  const { core } = connected(make({ random: () => 0.999 }));
  for (let failures = 0; failures < 10; failures += 1) {
    core.lost(1006, '', 0);
    assert(core.line.dialAt <= 500 * 2 ** failures && core.line.dialAt <= 20_000);
    if (failures > 6) assert(core.line.dialAt > 19_000);
    core.dialling();
  }
  connected(core, {}, 0);
  core.lost(1006, '', 31_000);
  assert(core.line.dialAt <= 31_500);
});

test('the network that comes back is used at once', () => {
  const { core } = connected(make({ random: () => 0.9 }));
  core.lost(1006, '', 0);
  assert(core.line.dialAt > 100);
  core.probe(100);
  assert.equal(core.line.dialAt, 100);
});

test('a silent socket after sleep is left within five seconds', () => {
  const { core } = connected();
  const [probe] = frames(core.probe(60_000));
  assert.equal(probe.type, 'sync');
  assert.equal(probe.after, AT);
  assert(core.wakeAt() <= 60_000 + PROBE_MS);
  assert.deepEqual(kinds(core.tick(60_000 + PROBE_MS)), ['hang']);
  assert(PROBE_MS <= 5000);
});

test('any word is an answer to a probe, an empty page is no gap, and two probes are one', () => {
  const { core, say } = connected();
  const [probe] = frames(core.probe(1000));
  assert.deepEqual(frames(core.probe(1100)), []);
  say({ type: 'reply', id: probe.id, ok: true, result: { events: [] } }, 1500);
  assert(!core.inbox.loading);
  assert(core.wakeAt() > 30_000);
  const [again] = frames(core.probe(2000));
  say({ type: 'reply', id: again.id, ok: false, error: { code: 'rate_limited', message: '', temporary: true } }, 2100);
  assert(!core.inbox.loading);
});

test('what a probe brings is heard, and the rest fetched', () => {
  const { core, say } = connected();
  const [probe] = frames(core.probe(1000));
  const effects = say({ type: 'reply', id: probe.id, ok: true, result: { events: [logged(11, 'message.created', message(1))] } });
  assert.deepEqual(kinds(effects), ['deliver']);
  assert.equal(core.inbox.last.offset, 11);
});

test('a silent server counts as dead after its ping interval and ten seconds', () => {
  const { core, say } = connected();
  assert.deepEqual(kinds(core.tick(34_999)), []);
  say({ type: 'ping', position: AT }, 34_999);
  assert.deepEqual(kinds(core.tick(35_000)), []);
  assert.deepEqual(kinds(core.tick(70_000)), ['hang']);
});

test('a gap is mended by sync, and what can not be mended is loaded', () => {
  const { core, say } = connected();
  const [sync] = frames(say(event(12, 'message.created', message(2))));
  assert.equal(sync.after, AT);
  const events = [1, 2].map((one) => logged(10 + one, 'message.created', message(one)));
  assert.deepEqual(kinds(say({ type: 'reply', id: sync.id, ok: true, result: { events } })), ['deliver', 'deliver']);
  const [again] = frames(say(event(14, 'message.created', message(4))));
  say({ type: 'reply', id: again.id, ok: true, result: { events: [logged(14, 'message.created', message(4))] } });
  assert(core.inbox.loading);
});

test('a ping that is ahead of us asks for what is missing', () => {
  const { say } = connected();
  const written = frames(say({ type: 'ping', position: `${EPOCH}-11` }));
  assert.deepEqual(written.map((one) => one.type), ['pong', 'sync']);
});

test('repeats are dropped by event id and by rev, and move the position', () => {
  const { say, core } = connected();
  const shown = (effects) => effects.filter((one) => one.do === 'deliver').map((one) => Boolean(one.entry));
  assert.deepEqual(shown(say(event(11, 'message.created', message(1)))), [true]);
  assert.deepEqual(shown(say(event(12, 'message.edited', message(1), { event_id: 'another' }))), [false]);
  const left = { conversation_id: CHAT, rev: 3, members: [] };
  assert.deepEqual(shown(say(event(13, 'member.left', left))), [true]);
  assert.deepEqual(shown(say(event(14, 'member.left', left))), [false]);
  assert.equal(core.inbox.last.offset, 14);
});

test('live events are held for the state, and those above it are applied after it', () => {
  const { say, core } = connected(make({ positions: {} }), { recovered: false, resync: 'fresh' });
  say(event(11, 'message.created', message(1)));
  say(event(12, 'message.created', message(2)));
  const [load] = core.tick(0);
  assert.equal(load.do, 'load');
  const effects = core.loaded(load.number, state(11), 0);
  assert.deepEqual(kinds(effects), ['resynced', 'deliver']);
  assert.equal(effects[1].position, `${EPOCH}-12`);
});

test('one message a conversation is under way, and they are resent with the same id', () => {
  const { core, say } = connected();
  const first = frames(core.put(row('a'), 0));
  assert.deepEqual(frames(core.put(row('b'), 0)), []);
  assert.equal(frames(core.put(row('c', CHATS[1]), 0)).length, 1);
  const [again] = frames(core.tick(ACCEPT_MS)).filter((one) => one.client_msg_id === 'a');
  assert.deepEqual({ ...again, id: 0 }, { ...first[0], id: 0 });
  say({ type: 'reply', id: again.id, ok: true, result: {} }, ACCEPT_MS);
  assert.deepEqual(frames(core.tick(ACCEPT_MS + STORE_MS - 1)).filter((one) => one.client_msg_id === 'a'), []);
  say({ type: 'ping', position: AT }, 36_000);
  assert.equal(frames(core.tick(ACCEPT_MS + STORE_MS)).filter((one) => one.client_msg_id === 'a').length, 1);
});

test('at most 32 requests are under way', () => {
  const { core } = connected();
  const written = Array.from({ length: 100 }, (_, n) => frames(core.put(row(`k${n}`, `chat-${n}`), 0)).length);
  assert.equal(written.reduce((sum, one) => sum + one), UNANSWERED);
});

test('its event settles a message before its answer does', () => {
  const { core, say } = connected();
  core.put(row('a'), 0);
  const effects = say(event(11, 'message.created', message(1, { client_msg_id: 'a', sender_id: USER })));
  assert.deepEqual(kinds(effects), ['deliver', 'settled']);
  assert.equal(core.outboxSize, 0);
});

test('a temporary refusal waits as long as the server asks; one for good is kept to be tried again', () => {
  const { core, say } = connected();
  const [frame] = frames(core.put(row('a'), 0));
  const error = { code: 'overloaded', message: '', temporary: true, retry_after_ms: 5000 };
  say({ type: 'reply', id: frame.id, ok: false, error });
  assert.deepEqual(frames(core.tick(4999)), []);
  const [again] = frames(core.tick(5000));
  const [settled] = say({ type: 'reply', id: again.id, ok: false, error: { code: 'not_member', message: 'no' } });
  assert.deepEqual([settled.do, settled.error.code], ['settled', 'not_member']);
  assert(core.failed.has('a'));
  assert.equal(frames(core.put(row('a'), 0)).length, 0, 'told again it does not go');
  assert.equal(frames(core.retry(row('a'), 0)).length, 1);
});

test('what was made is believed, whatever rejection comes before or after it', () => {
  const { core, say } = connected();
  const rejected = { conversation_id: CHAT, client_msg_id: 'a', error: { code: 'blocked', message: '' } };
  const created = message(1, { client_msg_id: 'a', sender_id: USER });
  core.put(row('a'), 0);
  assert.equal(say(event(11, 'message.rejected', rejected)).at(-1).error.code, 'blocked');
  const effects = say(event(12, 'message.created', created));
  assert.equal(effects.at(-1).message.message_id, 'm1');
  assert(!core.failed.has('a'));
  const late = say(event(13, 'message.rejected', { ...rejected, rev: 9 }));
  assert.deepEqual(late.map((one) => [one.do, one.entry]), [['deliver', null]]);
});

test('what an earlier run left goes before what this run sent, and not what is of somebody else', () => {
  const core = make({ outbox: [row('old'), row('foreign', CHAT, { user: OTHER }), row('failed', CHAT, { error: { code: 'blocked', message: '' } })] });
  core.put(row('new'), 0);
  const { effects } = connected(core);
  assert.equal(frames(effects)[0].client_msg_id, 'old');
  assert.deepEqual(effects.find((one) => one.do === 'adopt').rows.map((one) => one.id), ['old', 'failed']);
  assert.equal(core.outboxSize, 2);
});

test('marks are merged, paused, sent again until they are confirmed', () => {
  const { core, say } = connected();
  assert.equal(frames(core.mark(CHAT, null, { read: 3 }, 0))[0].read_seq, 3);
  assert.deepEqual(frames(core.mark(CHAT, null, { read: 5 }, 100)), []);
  assert.deepEqual(frames(core.mark(CHAT, null, { read: 4 }, 200)), []);
  assert.deepEqual(frames(core.tick(300)).map((one) => one.read_seq), [5]);
  core.lost(1006, '', 400);
  assert.equal(frames(connected(core, {}, 500).effects)[0].read_seq, 5);
  say(event(11, 'receipt.updated', { conversation_id: CHAT, user_id: USER, delivered_seq: 5, read_seq: 5 }));
  core.lost(1006, '', 600);
  assert.deepEqual(frames(connected(core, {}, 700).effects), []);
});

test('a mark that is refused for good is told', () => {
  const { core, say } = connected();
  const [frame] = frames(core.mark(CHAT, null, { read: 3 }, 0));
  const effects = say({ type: 'reply', id: frame.id, ok: false, error: { code: 'not_member', message: '' } });
  assert.deepEqual(effects, [{ do: 'unmarked', conversationId: CHAT, threadRootId: null }]);
});

test('what is looked at is said anew on every connection, and not what was refused', () => {
  const { core, say } = connected();
  core.interest.watched.add(CHAT);
  core.interest.people.add(OTHER);
  const [watch, subscribe] = frames(core.pump(0));
  assert.deepEqual([watch.type, subscribe.type], ['watch', 'presence.subscribe']);
  const states = [{ user_id: OTHER, status: 'online' }];
  assert.deepEqual(say({ type: 'reply', id: subscribe.id, ok: true, result: { states } })[0].data, states[0]);
  say({ type: 'reply', id: watch.id, ok: false, error: { code: 'not_member', message: '' } });
  core.lost(1006, '', 1);
  assert.deepEqual(frames(connected(core, {}, 2).effects).map((one) => one.type), ['presence.subscribe']);
});

test('typing is said every three seconds at most, and a stop once', () => {
  const { core } = connected();
  const typed = (at, stop = false) => frames(core.type(CHAT, null, stop, at)).map((one) => one.state);
  assert.deepEqual([typed(0), typed(1000), typed(3300), typed(3400, true), typed(3500, true), typed(3600)], [['start'], [], ['start'], ['stop'], [], []]);
});

test('frames of a later version and of none at all', () => {
  const { say, core } = connected();
  assert.deepEqual(say({ type: 'from.the.future' }), []);
  assert.deepEqual(core.received('17', 0), []);
  assert.deepEqual(kinds(core.received('{', 0)), ['hang']);
  assert.deepEqual(kinds(say(event(11, 'from.the.future', { x: 1 }))), ['deliver']);
  assert.deepEqual(kinds(say({ type: 'event', position: `${EPOCH}-12`, event: 'receipt.updated', data: null })), ['deliver']);
});

test('another user on the same client ends it', () => {
  const { core } = connected();
  core.lost(1006, '', 0);
  const { effects } = connected(core, { user_id: OTHER });
  assert.deepEqual(kinds(effects), ['stop']);
});

test('a state that was asked for before the newest resync is not used', () => {
  const { say, core } = connected(make({ positions: {} }), { recovered: false, resync: 'fresh' });
  const [old] = core.tick(0);
  say({ type: 'resync_required', reason: 'epoch_changed', position: AT });
  assert.deepEqual(core.loaded(old.number, state(11), 0), []);
  assert(core.inbox.loading);
});

test('what was held beyond the limit is fetched after the state', () => {
  const { say, core } = connected(make({ positions: {}, inboxLimit: 1 }), { recovered: false, resync: 'fresh' });
  for (const offset of [11, 12, 13]) say(event(offset, 'message.created', message(offset)));
  const [load] = core.tick(0);
  const [sync] = frames(core.loaded(load.number, state(10), 0));
  assert.deepEqual([sync.type, sync.after], ['sync', `${EPOCH}-11`]);
});

test('what was under way when the connection was lost goes first on the next', () => {
  const { core } = connected();
  core.put(row('a'), 0);
  core.lost(1006, '', 100);
  assert.deepEqual(frames(connected(core, {}, 200).effects).map((one) => one.client_msg_id), ['a']);
});

test('what is accepted is not sent again by a reconnect alone', () => {
  const { core, say } = connected();
  const [frame] = frames(core.put(row('a'), 0));
  say({ type: 'reply', id: frame.id, ok: true, result: {} });
  core.lost(1006, '', 100);
  assert.deepEqual(frames(connected(core, {}, 200).effects), []);
});
