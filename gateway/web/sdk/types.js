/**
 * The shapes that this SDK reads and writes. Entities are the JSON of the wire, under its names; the wire grows by addition, so there
 * may be more fields than are named here.
 *
 * @typedef {{code: string, message: string, temporary?: boolean, retry_after_ms?: number | null}} ErrorBody
 *
 * @typedef {object} Attachment
 * @property {string} attachment_id
 * @property {string} name
 * @property {string} content_type
 * @property {number} size
 * @property {'uploading' | 'pending' | 'clean' | 'infected' | 'unscannable' | 'error'} status
 * @property {string | null} [reason]
 * @property {number | null} [width]
 * @property {number | null} [height]
 * @property {{width: number, height: number} | null} [thumbnail]
 *
 * @typedef {object} Message
 * @property {string} message_id
 * @property {string} conversation_id
 * @property {number} seq
 * @property {number} rev
 * @property {string | null} sender_id
 * @property {string | null} [client_msg_id]
 * @property {{text: string} | null} [content]
 * @property {Attachment[]} [attachments]
 * @property {string | null} [reply_to]
 * @property {string | null} [thread_root_id]
 * @property {string[]} [mentions]
 * @property {Record<string, string[]>} [reactions]
 * @property {string} created_at
 * @property {string | null} [edited_at]
 * @property {string | null} [deleted_at]
 * @property {string | null} [pinned_at]
 * @property {string | null} [pinned_by]
 * @property {number} [reply_count]
 * @property {string | null} [last_reply_at]
 * @property {boolean} [duplicate]
 *
 * @typedef {object} Member
 * @property {string} user_id
 * @property {string} role
 * @property {number} rev
 * @property {number} [joined_rev]
 * @property {number} delivered_seq
 * @property {number} read_seq
 *
 * @typedef {object} Conversation
 * @property {string} conversation_id
 * @property {'direct' | 'group'} kind
 * @property {string | null} [title]
 * @property {string} [history]
 * @property {number | null} [retention_days]
 * @property {number} rev
 * @property {number} last_seq
 * @property {number} [expired_seq]
 * @property {string | null} [created_by]
 * @property {string} [created_at]
 * @property {Member[]} [members]
 * @property {Message[]} [messages]
 * @property {Message | null} [last_message]
 * @property {number} [unread_count]
 * @property {number} [mention_count]
 * @property {number} [read_seq]
 * @property {number} [private_read_seq]
 * @property {string | null} [muted_until]
 * @property {boolean} [archived]
 * @property {number} [first_seq]
 * @property {{thread_root_id: string, delivered_seq: number, read_seq: number, private_read_seq: number}[]} [thread_marks]
 *
 * @typedef {{user_id: string, username: string, display_name: string, bot?: boolean}} User
 *
 * @typedef {object} State
 * @property {string} position
 * @property {User} user
 * @property {string[]} [blocked_user_ids]
 * @property {Conversation[]} conversations
 * @property {string | null} [next_cursor]
 *
 * @typedef {object} Receipt
 * @property {string} conversation_id
 * @property {string} user_id
 * @property {string | null} [thread_root_id]
 * @property {number} [delivered_seq]
 * @property {number} [read_seq]
 * @property {number} [private_read_seq]
 *
 * @typedef {object} Entry one entry of the log, live or from a page
 * @property {string} position
 * @property {string} event
 * @property {string} [event_id]
 * @property {string} [ts]
 * @property {any} data
 * @property {string | null} [actor_id]
 * @property {string | null} [client_op_id]
 *
 * @typedef {Record<string, any> & {type: string}} Frame
 *
 * @typedef {object} Position
 * @property {string} epoch decimal; positions of different epochs have no order
 * @property {number} offset dense within an epoch
 *
 * @typedef {'send' | 'edit' | 'delete' | 'react'} Kind
 *
 * @typedef {object} Row a message or a change that waits to be stored, as it is kept on disk
 * @property {string} id its `client_msg_id` or `client_op_id`
 * @property {string | null} user whose; null until it is known
 * @property {string} conversationId
 * @property {Kind} kind
 * @property {Frame} frame as it is written, but for the connection's request number
 * @property {number} createdAt
 * @property {Attachment[]} [attachments] what is known of its files, to be shown
 * @property {ErrorBody | null} [error] refused for good; kept for the person to try again or to throw away
 *
 * @typedef {object} Saved what an earlier run left
 * @property {string | null} userId who was connected last
 * @property {Record<string, string>} positions by user
 * @property {Row[]} outbox the oldest first
 *
 * @typedef {object} Commit what goes to disk in one transaction: a position, and what the events up to it have changed
 * @property {string} userId
 * @property {string | null} position
 * @property {string[]} blocked
 * @property {string[]} settled rows that are out of the outbox
 * @property {Row[]} failed rows that were refused
 * @property {Record<string, import('./room.js').RoomDump | null>} rooms those that changed; null: gone
 * @property {boolean} whole whether these are all rooms
 *
 * @typedef {{text: string, replyTo?: string | null}} Draft
 *
 * @typedef {object} Store
 * @property {() => Promise<Saved>} load
 * @property {(row: Row) => Promise<void>} put a new row, or a failed one that goes out again
 * @property {(id: string) => Promise<void>} remove a row
 * @property {(userId: string) => Promise<void>} adopt rows that were written before anybody knew whose they are
 * @property {(commit: Commit) => Promise<void>} commit
 * @property {(userId: string) => Promise<import('./view.js').Dump | null>} view the cached one
 * @property {(userId: string) => Promise<Map<string, Draft>>} drafts
 * @property {(userId: string, conversationId: string, draft: Draft | null) => Promise<void>} setDraft
 * @property {(userId: string) => Promise<void>} forget all of a user, who signs out
 * @property {() => void} close
 *
 * @typedef {'disconnected' | 'connecting' | 'connected'} Link
 *
 * @typedef {{delivered?: number, read?: number, privateRead?: number}} Levels
 *
 * @typedef {{do: 'write', frame: Frame}
 *   | {do: 'hang', why: string}
 *   | {do: 'load', number: number}
 *   | {do: 'refresh'}
 *   | {do: 'adopt', userId: string, rows: Row[]}
 *   | {do: 'accepted', id: string}
 *   | {do: 'settled', id: string, message: Message | null, error: ErrorBody | null}
 *   | {do: 'deliver', position: string, entry: Entry | null}
 *   | {do: 'resynced', state: State, reason: string}
 *   | {do: 'ephemeral', event: string, data: any}
 *   | {do: 'unmarked', conversationId: string, threadRootId: string | null}
 *   | {do: 'stop', error: Error}} Effect what the core asks of the shell
 *
 * @typedef {() => number} Random uniform in [0, 1)
 */

export {};
