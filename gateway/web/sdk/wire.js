/** What of protocol v1 (docs/protocol.md) more than one module needs to know. */

/** @import {Entry, Message, Position, State} from './types.js' */

export const SUBPROTOCOL = 'headrace.v1';
export const MAX_FRAME_BYTES = 64 * 1024;
export const NEVER = Infinity;

const POSITION = /^(0|[1-9]\d{0,15})-(0|[1-9]\d{0,15})$/;

/**
 * Read `<epoch>-<offset>`; null if it is something else.
 *
 * @param {unknown} text
 * @returns {Position | null}
 */
export function parsePosition(text) {
  const match = POSITION.exec(String(text));
  return match && { epoch: match[1] ?? '', offset: Number(match[2]) };
}

/** @param {Position} position */
export const formatPosition = (position) => `${position.epoch}-${position.offset}`;

/**
 * The message that an event is about; null if it is about something else.
 *
 * @param {Entry} entry
 * @returns {Message | null}
 */
export function messageOf({ event, data }) {
  return /^(message\.(created|edited|deleted|pinned|unpinned)|reaction\.|thread\.|attachment\.)/.test(event) && data?.message_id
    ? data
    : null;
}

/**
 * The messages that a state brings along.
 *
 * @param {State} state
 * @returns {Message[]}
 */
export const newestMessages = (state) =>
  state.conversations.flatMap((one) => (one.messages?.length ? one.messages : one.last_message ? [one.last_message] : []));

/**
 * Remember a bounded number of things, the latest.
 *
 * @template V
 * @param {Map<string, V>} cache
 * @param {string} key
 * @param {V} value
 */
export function remember(cache, key, value) {
  cache.delete(key);
  cache.set(key, value);
  if (cache.size > 10_000) cache.delete(cache.keys().next().value ?? '');
}
