// The view: state + events = a fresh fetch, whatever is told twice, and whenever the state was read.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { View } from '../../gateway/web/sdk/view.js';
import { Random } from './prng.mjs';
import { CHAT, CHATS, conversation, logged, member, message, OTHER, state, USER } from './wire.mjs';

const THIRD = USER.replace('0a', '0d');
const NEWEST = 5;

/** A server's conversations, changed at random; what happens is told to `USER` as events. */
class Server {
  offset = 0;
  log = [];
  blocked = new Set();

  constructor(seed) {
    this.random = new Random(seed);
    this.rooms = new Map(
      CHATS.map((id) => [
        id,
        {
          conversation: conversation([], { conversation_id: id, expired_seq: 0, members: undefined, read_seq: 0, private_read_seq: 0 }),
          members: new Map([USER, OTHER].map((user) => [user, member(user)])),
          messages: new Map(),
        },
      ]),
    );
  }

  tell(event, data) {
    this.offset += 1;
    this.log.push(logged(this.offset, event, structuredClone(data), { event_id: `e${this.offset}` }));
  }

  step() {
    const id = this.random.pick(CHATS);
    const room = this.rooms.get(id);
    const moves = ['send', 'send', 'send', 'send', 'edit', 'remove', 'react', 'void', 'mark', 'mark', 'title', 'expire', 'join', 'leave', 'role', 'block', 'mine'];
    this[this.random.pick(moves)](room, id);
  }

  rev(room) {
    room.conversation.rev += 1;
    return room.conversation.rev;
  }

  #in(room) {
    return room.members.has(USER);
  }

  send(room, id) {
    const seq = (room.conversation.last_seq += 1);
    const sender_id = this.random.pick([...room.members.keys(), OTHER]);
    const one = message(seq, { conversation_id: id, message_id: `${id}-${seq}`, rev: this.rev(room), sender_id });
    room.messages.set(seq, one);
    if (this.#in(room)) this.tell('message.created', one);
  }

  #change(room, event, change) {
    const one = this.random.pick([...room.messages.values()]);
    if (!one || one.deleted_at || one.seq <= room.conversation.expired_seq) return;
    change(one);
    one.rev = this.rev(room);
    if (this.#in(room)) this.tell(event, one);
  }

  edit(room) {
    this.#change(room, 'message.edited', (one) => Object.assign(one, { content: { text: `edited ${this.offset}` }, edited_at: 'now' }));
  }

  remove(room) {
    this.#change(room, 'message.deleted', (one) => Object.assign(one, { content: null, reactions: {}, deleted_at: 'now' }));
  }

  react(room) {
    this.#change(room, 'reaction.added', (one) => Object.assign(one, { reactions: { '👍': [this.random.pick([USER, OTHER])] } }));
  }

  void(room, id) {
    const seq = (room.conversation.last_seq += 1);
    const rev = this.rev(room);
    if (this.#in(room)) this.tell('message.voided', { conversation_id: id, seq, rev });
  }

  mark(room, id) {
    const one = room.members.get(this.random.pick([USER, OTHER]));
    if (!one) return;
    one.read_seq = Math.max(one.read_seq, this.random.below(room.conversation.last_seq + 1));
    one.delivered_seq = Math.max(one.delivered_seq, one.read_seq);
    if (one.user_id === USER) room.conversation.read_seq = one.read_seq;
    const { user_id, read_seq, delivered_seq } = one;
    if (this.#in(room)) this.tell('receipt.updated', { conversation_id: id, user_id, read_seq, delivered_seq });
  }

  title(room) {
    room.conversation.title = `title ${this.offset}`;
    this.#updated(room);
  }

  expire(room) {
    const { expired_seq, last_seq } = room.conversation;
    if (this.random.next() > 0.2) return;
    room.conversation.expired_seq = expired_seq + this.random.below(last_seq - expired_seq + 1);
    this.#updated(room);
  }

  mine(room) {
    room.conversation.archived = !room.conversation.archived;
    if (this.#in(room)) this.tell('conversation.updated', this.#told(room));
  }

  #updated(room) {
    this.rev(room);
    if (this.#in(room)) this.tell('conversation.updated', this.#told(room));
  }

  #told(room) {
    return { ...room.conversation, members: [...room.members.values()], messages: undefined, mention_count: undefined };
  }

  #members(room, event, id, members) {
    this.tell(event, { conversation_id: id, rev: room.conversation.rev, members });
  }

  join(room, id) {
    const user = this.random.pick([THIRD, THIRD, USER]);
    if (room.members.has(user)) return;
    const rev = this.rev(room);
    const { last_seq } = room.conversation;
    const read = user === USER ? last_seq : 0;
    const one = member(user, { rev, joined_rev: rev, read_seq: read, delivered_seq: read });
    room.members.set(user, one);
    if (user === USER) {
      room.conversation.read_seq = read;
      this.tell('conversation.created', this.#told(room));
    }
    if (this.#in(room)) this.#members(room, 'member.joined', id, [one]);
  }

  leave(room, id) {
    const user = this.random.pick([THIRD, THIRD, THIRD, USER]);
    const one = room.members.get(user);
    if (!one || this.random.next() < 0.5) return;
    this.rev(room);
    if (this.#in(room)) this.#members(room, 'member.left', id, [one]);
    room.members.delete(user);
  }

  role(room, id) {
    const one = room.members.get(this.random.pick([OTHER, USER]));
    if (!one) return;
    Object.assign(one, { role: this.random.pick(['admin', 'member']), rev: this.rev(room) });
    if (this.#in(room)) this.#members(room, 'member.role_changed', id, [one]);
  }

  block() {
    const blocked = this.random.next() < 0.5;
    this.blocked[blocked ? 'add' : 'delete'](OTHER);
    this.tell('block.updated', { user_id: OTHER, blocked });
  }

  /** What may be seen of a conversation. */
  visible(room) {
    return [...room.messages.values()].filter((one) => one.seq > room.conversation.expired_seq).sort((a, b) => a.seq - b.seq);
  }

  state(newest = NEWEST) {
    const rooms = [...this.rooms.values()]
      .filter((room) => this.#in(room))
      .map((room) => ({ ...this.#told(room), messages: this.visible(room).slice(-newest) }));
    return structuredClone({ ...state(this.offset, rooms), blocked_user_ids: [...this.blocked] });
  }

  /** As `GET …/messages?before_seq=`. */
  page(id, beforeSeq, limit) {
    const room = this.rooms.get(id);
    const from = Math.max(room.conversation.expired_seq + 1, beforeSeq - limit);
    return { from, items: structuredClone(this.visible(room).filter((one) => one.seq >= from && one.seq < beforeSeq)) };
  }

  changed(id, sinceRev) {
    return structuredClone(this.visible(this.rooms.get(id)).filter((one) => one.rev > sinceRev));
  }
}

/** What both a view that was kept up and a fresh one must agree on. */
function picture(view, from) {
  const rooms = [...view.rooms].sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, room]) => {
    const { title, expired_seq, archived } = room.conversation;
    const members = [...room.members.values()].map((one) => ({ ...one })).sort((a, b) => (a.user_id < b.user_id ? -1 : 1));
    const messages = room.messages.filter((one) => one.seq >= (from?.get(id) ?? 0));
    const { last_seq, readSeq, first_seq, unread } = room;
    return { id, title, expired_seq, archived, members, messages, last_seq, readSeq, first_seq, unread };
  });
  return JSON.parse(JSON.stringify({ rooms, blocked: [...view.blocked] }));
}

function check(server, view) {
  const fresh = new View(USER);
  fresh.replace(server.state(1000));
  const from = new Map([...view.rooms].map(([id, room]) => [id, room.whole_from]));
  const seen = picture(view, from);
  assert.deepEqual(seen, picture(fresh, from));
}

for (let block = 0; block < 4; block += 1) {
  test(`state + events = a fresh fetch, seeds ${block * 40} to ${block * 40 + 39}`, () => {
    for (let seed = block * 40; seed < block * 40 + 40; seed += 1) {
      const server = new Server(seed);
      const { random } = server;
      for (let step = 0; step < 40; step += 1) server.step();
      let view = new View(USER);
      view.replace(server.state());
      let at = Math.max(0, server.offset - random.below(10)); // some that the state has come again
      for (let step = 0; step < 200; step += 1) {
        server.step();
        const move = random.next();
        if (move < 0.5) while (at < server.offset) view.apply(server.log[at++]);
        else if (move < 0.53) at = Math.max(0, at - random.below(5));
        else if (move < 0.58) {
          for (const [id, room] of view.rooms) {
            if (!server.rooms.get(id).members.has(USER)) continue;
            const upTo = room.whole_from;
            const { items, from } = server.page(id, upTo, 4);
            view.load(id, items, { from, upTo, conversation: structuredClone({ ...server.rooms.get(id).conversation, members: [...server.rooms.get(id).members.values()] }) });
          }
        } else if (move < 0.6) {
          for (const { conversationId, sinceRev, from, upTo } of view.replace(server.state())) {
            const changed = server.changed(conversationId, sinceRev);
            view.load(conversationId, changed, { from, upTo: changed.reduce((seq, one) => Math.max(seq, one.seq), upTo) + 1 });
          }
          at = Math.max(0, server.offset - random.below(10));
        } else if (move < 0.62) {
          const dump = structuredClone(view.dump(3));
          view = new View(USER);
          view.restore(dump);
        }
      }
      while (at < server.offset) view.apply(server.log[at++]);
      for (const [id, room] of view.rooms) {
        const { conversation, members } = server.rooms.get(id);
        if (!room.marks_whole) view.load(id, [], { conversation: structuredClone({ ...conversation, members: [...members.values()] }) });
      }
      try {
        check(server, view);
      } catch (failure) {
        failure.message = `seed ${seed}: ${failure.message}`;
        throw failure;
      }
    }
  });
}

test('older messages stay through a resync, mended where they changed', () => {
  const view = new View(USER);
  const all = Array.from({ length: 20 }, (_, n) => message(n + 1));
  view.replace(state(0, [conversation(all.slice(10), { last_seq: 20, rev: 20 })]));
  view.load(CHAT, all.slice(0, 10), { from: 1, upTo: 11 });
  const [mend] = view.replace(state(1, [conversation(all.slice(15), { last_seq: 20, rev: 21 })]));
  assert.equal(view.rooms.get(CHAT).messages.length, 20);
  assert.deepEqual(mend, { conversationId: CHAT, sinceRev: 20, from: 1, upTo: 20 });
});

test('an older stretch can be shown, and joins the newest one', () => {
  const view = new View(USER);
  const all = Array.from({ length: 30 }, (_, n) => message(n + 1));
  view.replace(state(0, [conversation(all.slice(20), { last_seq: 30, rev: 30 })]));
  const room = view.rooms.get(CHAT);
  room.slice = { from: 5, to: 8 };
  view.load(CHAT, all.slice(4, 8));
  assert.deepEqual([room.messages.map((one) => one.seq), room.hasNewer, room.hasOlder], [[5, 6, 7, 8], true, true]);
  room.slice.to = 20;
  view.load(CHAT, all.slice(8, 20));
  assert.deepEqual([room.hasNewer, room.messages.length, room.whole_from], [false, 26, 5]);
});

test('a page that comes after a resync has moved on leaves no hole', () => {
  const view = new View(USER);
  const all = Array.from({ length: 30 }, (_, n) => message(n + 1));
  view.replace(state(0, [conversation(all.slice(5, 10), { last_seq: 10, rev: 10 })]));
  view.replace(state(1, [conversation(all.slice(25), { last_seq: 30, rev: 30 })]));
  view.load(CHAT, all.slice(0, 5), { from: 1, upTo: 6 });
  assert.equal(view.rooms.get(CHAT).whole_from, 26);
});

test('unread and mentions are made of watermarks, and of what is known', () => {
  const view = new View(USER);
  const all = [1, 2, 3, 4].map((seq) => message(seq, { mentions: seq > 2 ? [USER] : [] }));
  view.replace(state(0, [conversation(all.slice(2), { last_seq: 4, rev: 4, mention_count: 3 })]));
  const room = view.rooms.get(CHAT);
  assert.deepEqual([room.unread, room.mentions], [4, 3]);
  room.localRead = 3;
  assert.deepEqual([room.unread, room.mentions], [1, 1]);
  view.apply(logged(1, 'message.created', message(5, { sender_id: USER })));
  assert.deepEqual([room.unread, room.mentions], [0, 0]);
});

test('who types has ended when their message comes, and who is blocked is not shown', () => {
  const view = new View(USER);
  view.replace(state(0));
  const typing = { conversation_id: CHAT, user_id: OTHER, state: 'start', expires_in_ms: 6000 };
  view.glimpse('typing', typing, 1000);
  assert.equal(view.rooms.get(CHAT).typing.get(OTHER), 7000);
  view.apply(logged(1, 'message.created', message(1)));
  assert.equal(view.rooms.get(CHAT).typing.size, 0);
  view.apply(logged(2, 'block.updated', { user_id: OTHER, blocked: true }));
  view.glimpse('typing', typing, 1000);
  assert.equal(view.rooms.get(CHAT).typing.size, 0);
});
