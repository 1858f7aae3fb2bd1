// A small server of the protocol on a free port, for whole clients: one user, one log, and whatever a test wants to go wrong.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';

import { CHAT, conversation, EPOCH, logged, member, message, state, USER } from './wire.mjs';

const { WebSocketServer } = createRequire(new URL('../../gateway/web/package.json', import.meta.url))('ws');

export class Server {
  port = 0;
  log = [];
  messages = [];
  frames = [];
  sockets = new Set();
  connects = 0;
  syncs = 0;
  /** Answers of other addresses: `METHOD /path` → (body, request, url) → [status, JSON], or a promise of it. */
  routes = new Map();
  requests = [];
  epoch = EPOCH;
  /** Sees a frame first; true: it is dealt with. */
  mind = () => false;

  async start(port = 0) {
    this.http = createServer((request, response) => void this.#answer(request, response));
    this.wss = new WebSocketServer({ server: this.http, handleProtocols: () => 'headrace.v1' });
    this.wss.on('connection', (socket) => {
      this.connects += 1;
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
      socket.on('message', (raw) => this.#heard(JSON.parse(raw), socket));
    });
    await new Promise((resolve) => this.http.listen(port, '127.0.0.1', resolve));
    this.port = this.http.address().port;
    return this;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async stop() {
    for (const socket of this.sockets) socket.terminate();
    this.wss.close();
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }

  say(frame) {
    for (const socket of this.sockets) socket.send(JSON.stringify(frame));
  }

  tell(event, data, fields = {}) {
    const position = `${this.epoch}-${this.log.length + 1}`;
    const entry = logged(0, event, data, { position, event_id: `e${this.log.length + 1}`, ...fields });
    this.log.push(entry);
    this.say({ type: 'event', ...entry });
  }

  add(fields = {}) {
    const one = message(this.messages.length + 1, fields);
    this.messages.push(one);
    return one;
  }

  of(type) {
    return this.frames.filter((frame) => frame.type === type);
  }

  state(newest = 30) {
    const members = [member(USER), member('other')];
    const fields = { last_seq: this.messages.length, rev: Math.max(1, ...this.messages.map((one) => one.rev)), members };
    return state(this.log.length, [conversation(this.messages.slice(-newest), fields)], this.epoch);
  }

  #heard(frame, socket) {
    this.frames.push(frame);
    if (this.mind(frame, socket)) return;
    const say = (one) => socket.send(JSON.stringify(one));
    if (frame.type === 'connect') {
      const [epoch, offset] = (frame.resume ?? '').split('-');
      const resync = !frame.resume ? 'fresh' : epoch === this.epoch ? null : 'epoch_changed';
      const position = `${this.epoch}-${this.log.length}`;
      say({ type: 'connected', user_id: USER, position, recovered: !resync, resync, heartbeat_interval_ms: 25_000 });
      if (!resync) for (const entry of this.log.slice(Number(offset))) say({ type: 'event', ...entry });
    } else if (frame.type === 'message.send') {
      say({ type: 'reply', id: frame.id, ok: true, result: { status: 'accepted', client_msg_id: frame.client_msg_id } });
      const known = this.messages.find((one) => one.client_msg_id === frame.client_msg_id);
      const { client_msg_id, content } = frame;
      this.tell('message.created', known ? { ...known, duplicate: true } : this.add({ sender_id: USER, client_msg_id, content }));
    } else if (frame.type === 'sync') {
      const after = Number(frame.after.split('-')[1]);
      say({ type: 'reply', id: frame.id, ok: true, result: { events: this.log.slice(after), more: false } });
    } else if (frame.id) {
      say({ type: 'reply', id: frame.id, ok: true, result: null });
    }
  }

  async #answer(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const url = new URL(request.url, this.url);
    const raw = Buffer.concat(chunks);
    const json = request.headers['content-type'] === 'application/json';
    const body = json && raw.length ? JSON.parse(raw) : raw;
    this.requests.push({ method: request.method, path: url.pathname, body, headers: request.headers });
    const [status, result] = await this.#route(`${request.method} ${url.pathname}`, body, request, url);
    response.writeHead(status, { 'Content-Type': 'application/json' });
    response.end(result === undefined ? '' : JSON.stringify(result));
  }

  #route(what, body, request, url) {
    const route = this.routes.get(what);
    if (route) return route(body, request, url);
    if (what === 'GET /api/sync') {
      this.syncs += 1;
      return [200, this.state()];
    }
    if (what === `GET /api/conversations/${CHAT}/messages`) {
      const [before, after, since, limit] = ['before_seq', 'after_seq', 'since_rev', 'limit'].map((name) => Number(url.searchParams.get(name)) || 0);
      const found = this.messages.filter((one) => (!before || one.seq < before) && one.seq > after && one.rev > since);
      const items = before ? found.slice(-limit) : found.slice(0, limit);
      return [200, { items, next_cursor: items.length < found.length ? 'more' : null }];
    }
    return [404, { code: 'not_found', detail: what, status: 404 }];
  }
}

/** Wait until it holds. */
export async function eventually(condition, what = String(condition)) {
  for (const until = Date.now() + 10_000; Date.now() < until; ) {
    const found = await condition();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`not within ten seconds: ${what}`);
}
