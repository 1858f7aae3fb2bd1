// The core against a model of the server, in virtual time: whatever is lost, everything arrives once and in order.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Core } from '../../gateway/web/sdk/core.js';
import { Random } from './prng.mjs';
import { CHAT, CHATS, EPOCH, logged, message, OTHER, row, state, USER, conversation } from './wire.mjs';

const SEEDS = 150;
const STEPS = 600;

/** A server, a network and a program around one core. `now` moves only by `pass`. */
class World {
  now = 0;
  open = false;
  live = false;
  inbound = [];
  outbound = [];
  epoch = BigInt(EPOCH);
  log = [];
  trimmed = 0;
  messages = new Map();
  seqs = new Map(CHATS.map((chat) => [chat, 0]));
  loads = [];
  sent = new Map(CHATS.map((chat) => [chat, []]));
  settled = new Map();
  shown = new Map();
  /** Told since the page was loaded: after that, what came twice is known by its `rev` in the view alone. */
  told = new Set();
  position = null;
  number = 0;
  stopped = false;

  constructor(seed, saved = { userId: null, positions: {}, outbox: [] }, options = {}) {
    this.random = new Random(seed);
    this.options = options;
    this.core = this.make(saved);
  }

  make(saved) {
    return new Core(saved, { random: this.random.next, ...this.options });
  }

  // The program

  send(chat) {
    this.number += 1;
    const key = `key-${this.number}`;
    this.sent.get(CHATS[chat]).push(key);
    this.apply(this.core.put(row(key, CHATS[chat]), this.now));
  }

  /** The page is loaded again: what is on disk is left. */
  reload() {
    this.cut();
    const waiting = [...this.sent.values()].flat().filter((key) => !this.settled.has(key));
    const outbox = waiting.map((key) => row(key, CHATS.find((chat) => this.sent.get(chat).includes(key))));
    outbox.sort((a, b) => Number(a.id.slice(4)) - Number(b.id.slice(4)));
    const positions = this.position ? { [USER]: this.position } : {};
    this.loads = [];
    this.told = new Set();
    this.core = this.make({ userId: USER, positions, outbox });
    this.core.line.dialAt = this.now;
  }

  // The network

  apply(effects) {
    for (const effect of effects) {
      switch (effect.do) {
        case 'write':
          assert(this.open);
          this.outbound.push(JSON.parse(JSON.stringify(effect.frame)));
          break;
        case 'hang':
          this.cut();
          break;
        case 'load':
          this.loads.push(effect.number);
          break;
        case 'settled':
          assert(!this.settled.has(effect.id), 'settled twice');
          assert(effect.message);
          this.settled.set(effect.id, effect.message);
          break;
        case 'resynced':
          this.shown = new Map(effect.state.conversations.flatMap((one) => one.messages).map((one) => [one.message_id, one]));
          this.told = new Set(this.shown.keys());
          this.position = effect.state.position;
          break;
        case 'deliver':
          this.position = effect.position;
          if (!effect.entry) break;
          assert(!this.told.has(effect.entry.data.message_id), 'the same message twice');
          this.told.add(effect.entry.data.message_id);
          this.shown.set(effect.entry.data.message_id, effect.entry.data);
          break;
        case 'stop':
          this.stopped = true;
          break;
        default:
      }
    }
  }

  cut() {
    if (!this.open) return;
    this.open = this.live = false;
    this.inbound = [];
    this.outbound = [];
    this.apply(this.core.lost(null, '', this.now));
  }

  dial() {
    if (this.open || this.core.line.dialAt > this.now) return;
    this.core.dialling();
    this.open = true;
    this.apply(this.core.opened('t', this.now));
  }

  deliver() {
    if (this.open && this.inbound.length) this.apply(this.core.received(this.inbound.shift(), this.now));
  }

  answerLoad(fail = false) {
    const number = this.loads.shift();
    if (number === undefined) return;
    this.apply(fail ? this.core.loadFailed(number, this.now) : this.core.loaded(number, this.state(), this.now));
  }

  pass(ms) {
    this.now += ms;
    if (this.core.wakeAt() <= this.now) this.apply(this.core.tick(this.now));
  }

  // The server

  say(frame) {
    this.inbound.push(JSON.stringify(frame));
  }

  /** Handle one frame of the client. `mood`: well, mute (no reply), deaf (frame lost), busy (temporary error). */
  serve(mood = 'well') {
    if (!this.open || !this.outbound.length) return;
    const frame = this.outbound.shift();
    if (frame.type === 'connect') this.connect(frame.resume);
    else if (frame.type === 'message.send' && mood === 'busy') {
      const error = { code: 'overloaded', message: '', temporary: true, retry_after_ms: 100 };
      this.say({ type: 'reply', id: frame.id, ok: false, error });
    } else if (frame.type === 'message.send' && mood !== 'deaf') {
      this.store(frame, mood !== 'mute');
      if (mood === 'well') this.say({ type: 'reply', id: frame.id, ok: true, result: { status: 'accepted' } });
    } else if (frame.type === 'sync' && mood === 'well') {
      const [epoch, after] = frame.after.split('-');
      const page = epoch === String(this.epoch) ? this.log.slice(Math.max(this.trimmed, Number(after))).slice(0, frame.limit ?? 3) : [];
      this.say({ type: 'reply', id: frame.id, ok: true, result: { events: page } });
    }
  }

  connect(resume) {
    let reason = 'fresh';
    const [epoch, offset] = (resume ?? '').split('-');
    if (resume) reason = epoch !== String(this.epoch) ? 'epoch_changed' : Number(offset) < this.trimmed ? 'position_trimmed' : null;
    const position = `${this.epoch}-${this.log.length}`;
    this.say({ type: 'connected', user_id: USER, position, recovered: !reason, resync: reason, heartbeat_interval_ms: 25_000 });
    if (!reason) for (const entry of this.log.slice(Number(offset))) this.say({ type: 'event', ...entry });
    this.live = true;
  }

  store(frame, ring) {
    const { client_msg_id: key, conversation_id: chat, content } = frame;
    if (!this.messages.has(key)) this.add(key, chat, USER, content);
    this.append(this.messages.get(key), ring);
  }

  add(key, chat, sender_id, content = { text: key }) {
    const seq = this.seqs.get(chat) + 1;
    this.seqs.set(chat, seq);
    this.messages.set(key, message(seq, { message_id: `m${key}`, client_msg_id: key, conversation_id: chat, sender_id, content }));
  }

  hearOther(ring) {
    this.number += 1;
    const key = `other-${this.number}`;
    this.add(key, CHAT, OTHER);
    this.append(this.messages.get(key), ring);
  }

  append(data, ring) {
    const position = `${this.epoch}-${this.log.length + 1}`;
    const entry = logged(0, 'message.created', data, { position, event_id: data.message_id });
    this.log.push(entry);
    if (this.live && ring) this.say({ type: 'event', ...entry });
  }

  ping() {
    if (this.live) this.say({ type: 'ping', position: `${this.epoch}-${this.log.length}` });
  }

  /** Redis lost the log: a new epoch, and live connections are told. */
  forget() {
    this.epoch += 1n;
    this.log = [];
    this.trimmed = 0;
    if (this.live) this.say({ type: 'resync_required', reason: 'epoch_changed', position: `${this.epoch}-0` });
  }

  trim() {
    this.trimmed = this.log.length;
  }

  state() {
    const all = [...this.messages.values()];
    const rooms = CHATS.map((chat) => conversation(all.filter((one) => one.conversation_id === chat), { conversation_id: chat, members: [] }));
    return state(this.log.length, rooms, String(this.epoch));
  }

  /** Nothing breaks any more: until all is done. */
  rest() {
    for (let step = 0; step < 3000 && !this.done(); step += 1) {
      this.dial();
      while (this.outbound.length || this.inbound.length) {
        this.serve();
        this.deliver();
      }
      this.answerLoad();
      this.pass(500);
      if (step % 20 === 0) this.ping();
    }
    assert(this.done(), 'it does not come to rest');
  }

  done() {
    const sent = [...this.sent.values()].flat();
    return sent.every((key) => this.settled.has(key)) && this.shown.size === this.messages.size && this.core.outboxSize === 0;
  }

  check() {
    for (const [chat, keys] of this.sent) {
      const stored = [...this.messages.values()].filter((one) => one.conversation_id === chat && one.sender_id === USER);
      assert.deepEqual(stored.map((one) => one.client_msg_id), keys, 'in the order in which they were sent');
    }
    assert.deepEqual(new Set(this.shown.keys()), new Set([...this.messages.values()].map((one) => one.message_id)));
  }
}

const MOVES = [
  [3, (world, random) => world.send(random.below(2))],
  [3, (world, random) => world.hearOther(random.next() < 0.8)],
  [4, (world) => world.dial()],
  [12, (world) => world.deliver()],
  [12, (world, random) => world.serve(random.pick(['well', 'well', 'well', 'well', 'well', 'well', 'mute', 'deaf', 'busy']))],
  [6, (world, random) => world.pass(random.pick([10, 100, 300, 1000, 1000, random.pick([11_000, 40_000, 100])]))],
  [3, (world, random) => world.answerLoad(random.next() < 0.2)],
  [1, (world) => world.ping()],
  [0.3, (world) => world.apply(world.core.probe(world.now))],
  [0.5, (world) => world.inbound.splice(0, 1)],
  [0.3, (world) => world.cut()],
  [0.1, (world) => world.forget()],
  [0.2, (world) => world.trim()],
  [0.2, (world) => world.reload()],
];
const WEIGHT = MOVES.reduce((sum, [weight]) => sum + weight, 0);

function move(world) {
  let left = world.random.next() * WEIGHT;
  const [, make] = MOVES.find(([weight]) => (left -= weight) < 0) ?? MOVES[0];
  make(world, world.random);
}

for (const inboxLimit of [1000, 3]) {
  test(`whatever is lost, everything arrives once and in order (${inboxLimit} held at most)`, () => {
    const counts = { connects: 0, recoveries: 0, resyncs: 0, gaps: 0, resent: 0 };
    for (let seed = 0; seed < SEEDS; seed += 1) {
      const world = new World(seed, undefined, { inboxLimit });
      try {
        for (let step = 0; step < STEPS; step += 1) move(world);
        world.rest();
        world.check();
        assert(!world.stopped);
      } catch (failure) {
        failure.message += ` (seed ${seed})`;
        throw failure;
      }
      for (const name of Object.keys(counts)) counts[name] += world.core.counts[name];
    }
    for (const [name, count] of Object.entries(counts)) assert(count > SEEDS / 2, `too few ${name} to prove anything: ${count}`);
  });
}
