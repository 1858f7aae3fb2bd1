/**
 * The JavaScript SDK of Headrace; what it promises is in docs/sdk.md.
 *
 *     Client ─ Seat ─ commands ─▶ Leader (one tab) ─▶ Socket ─ frames, clock ─▶ Core ─ effects ─▶ Socket, Leader
 *        ▲                           │                                          Line, Outbox, Inbox, Marks, Interest
 *        └── Mirror ◀─ news ─────────┴─▶ Store
 *             └ View, Room, optimistic                                          Api: Session, http, files
 *
 * Without I/O: core, link, outbox, inbox, marks, interest, backoff, wire; view, room, optimistic, mirror.
 * With: socket, leader, seat, tabs, store, wake, client; api, session, http, files, pages, drafts.
 */

export { Api } from './api.js';
export { Client } from './client.js';
export { Core } from './core.js';
export { ApiError, OutboxFull, Stopped, Unreachable } from './errors.js';
export { Sending } from './sending.js';
export { IndexedDbStore, MemoryStore } from './store.js';
export { View } from './view.js';
