// What the wire has, as short as a test needs it.

export const USER = '00000000-0000-4000-8000-00000000000a';
export const OTHER = '00000000-0000-4000-8000-00000000000b';
export const CHAT = '00000000-0000-4000-8000-0000000000c1';
export const CHATS = [CHAT, CHAT.replace('c1', 'c2')];
export const EPOCH = '1795000000000123';

export const message = (seq, fields = {}) => ({
  message_id: `m${seq}`,
  conversation_id: CHAT,
  seq,
  rev: seq,
  sender_id: OTHER,
  client_msg_id: `k${seq}`,
  content: { text: 'hi' },
  attachments: [],
  reply_to: null,
  thread_root_id: null,
  mentions: [],
  reactions: {},
  created_at: '2026-11-22T13:00:00.123Z',
  edited_at: null,
  deleted_at: null,
  ...fields,
});

export const logged = (offset, event, data, fields = {}) => ({
  position: `${EPOCH}-${offset}`,
  event,
  event_id: `${data.conversation_id}.${data.rev ?? offset}.${event}`,
  ts: '2026-11-22T13:00:00.123Z',
  data,
  ...fields,
});

export const member = (user_id, fields = {}) => ({ user_id, role: 'member', rev: 1, joined_rev: 1, delivered_seq: 0, read_seq: 0, ...fields });

export const conversation = (messages = [], fields = {}) => ({
  conversation_id: CHAT,
  kind: 'group',
  title: 'Mill',
  rev: 1,
  last_seq: messages.length,
  members: [member(USER), member(OTHER)],
  messages,
  ...fields,
});

export const state = (offset, conversations = [conversation()], epoch = EPOCH) => ({
  position: `${epoch}-${offset}`,
  user: { user_id: USER, username: 'alice', display_name: 'Alice' },
  blocked_user_ids: [],
  conversations,
  next_cursor: null,
});

export const row = (id, chat = CHAT, fields = {}) => ({
  id,
  user: USER,
  conversationId: chat,
  kind: 'send',
  frame: { type: 'message.send', conversation_id: chat, client_msg_id: id, content: { text: id } },
  createdAt: 1_795_000_000_000,
  ...fields,
});
