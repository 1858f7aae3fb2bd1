/**
 * What is wanted, laid over what is: sends, edits, deletions and reactions are seen at once, and are gone again when they are refused. No I/O.
 *
 * A change is laid over its message for as long as it is under way, whatever the server tells of that message meanwhile; with its own
 * outcome it is over, and the message speaks for itself.
 */

/** @import {ErrorBody, Message, Row} from './types.js' */

/**
 * A row as it is seen: `Sending` is one.
 *
 * @typedef {Row & {state: 'sending' | 'accepted' | 'stored' | 'failed', attachments?: any[]}} Pending
 *
 * @typedef {object} Local what this client alone knows of a message
 * @property {'sending' | 'accepted' | 'failed' | 'sent' | 'delivered' | 'read' | null} state of one's own; null of others'
 * @property {any} sending the `Sending` that is to make it; null of what is stored
 * @property {any} change the `Sending` that is to change it, on its way or failed
 * @property {ErrorBody | null} error why one of these two failed
 * @property {number} delivered how many others have received it
 * @property {number} read how many others have read it
 * @property {number} others how many others there are
 *
 * @typedef {Omit<Message, 'seq' | 'rev'> & {seq: number | null, rev: number, local: Local}} Item
 *
 * @typedef {{others: number, delivered: number[], read: number[]}} Levels others' watermarks, rising
 */

/**
 * A message as it is with one change on its way.
 *
 * @template {Omit<Message, 'seq'>} M
 * @param {M} message
 * @param {Row} change
 * @param {string} userId who changes it
 * @returns {M}
 */
export function withChange(message, { kind, frame, createdAt }, userId) {
  const at = new Date(createdAt).toISOString();
  if (message.deleted_at) return message;
  if (kind === 'edit') return { ...message, content: frame.content, edited_at: at };
  if (kind === 'delete') return { ...message, content: null, attachments: [], reactions: {}, deleted_at: at };
  const { [frame.emoji]: before = [], ...others } = message.reactions ?? {};
  const after = before.filter((one) => one !== userId);
  if (frame.type === 'reaction.add') after.push(userId);
  return { ...message, reactions: after.length ? { ...others, [frame.emoji]: after } : others };
}

/**
 * A message that is not stored yet.
 *
 * @param {Pending} sending
 * @param {string} userId
 * @returns {Item}
 */
export function unsent(sending, userId) {
  const { frame, id, state, error = null } = sending;
  const local = { state: state === 'stored' ? 'sent' : state, sending, change: null, error, delivered: 0, read: 0, others: 0 };
  return {
    message_id: '',
    conversation_id: sending.conversationId,
    seq: null,
    rev: 0,
    sender_id: userId,
    client_msg_id: id,
    content: frame.content,
    attachments: sending.attachments ?? [],
    reply_to: frame.reply_to ?? null,
    thread_root_id: frame.thread_root_id ?? null,
    mentions: frame.mentions ?? [],
    reactions: {},
    created_at: new Date(sending.createdAt).toISOString(),
    edited_at: null,
    deleted_at: null,
    local: /** @type {Local} */ (local),
  };
}

/**
 * A stored message with the changes on their way laid over it, in their order. Failed ones are told, and not laid over.
 *
 * @param {Message} message
 * @param {Pending[]} changes of this message
 * @param {string} userId
 * @param {Levels} levels
 * @returns {Item}
 */
export function laidOver(message, changes, userId, levels) {
  const change = changes.at(-1) ?? null;
  const delivered = countFrom(levels.delivered, message.seq);
  const read = countFrom(levels.read, message.seq);
  const all = levels.others > 0;
  const reached = all && read === levels.others ? 'read' : all && delivered === levels.others ? 'delivered' : 'sent';
  const state = message.sender_id === userId ? reached : null;
  const now = changes.reduce((seen, one) => (one.state === 'failed' ? seen : withChange(seen, one, userId)), message);
  const error = change?.error ?? null;
  return { ...now, local: { state, sending: null, change, error, delivered, read, others: levels.others } };
}

/** How many of these rising numbers are at least `seq`. @param {number[]} levels @param {number} seq */
function countFrom(levels, seq) {
  let low = 0;
  let high = levels.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((levels[middle] ?? 0) < seq) low = middle + 1;
    else high = middle;
  }
  return levels.length - low;
}
