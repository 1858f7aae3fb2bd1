/** What rows can ask for, the same in a room and in a thread of it. */

import { Tools, react } from "./actions.js";
import { h } from "./dom.js";
import { avatar } from "./avatar.js";
import { attempt, dialog } from "./overlay.js";
import { go } from "./router.js";
import { state } from "./state.js";
import { keyOf } from "./message.js";

/**
 * @param {{room: any, thread: boolean, timeline: any, composer: () => any, jump: (id: string) => void}} parts
 */
export function makeScene({ room, thread, timeline, composer, jump }) {
  const conversationId = room.conversation.conversation_id;
  let indexed = null;
  let many = -1;
  let byId = new Map();
  return {
    room,
    thread,
    dividerSeq: null,
    namesVersion: 0,
    isMe: (id) => state.isMe(id),
    byId(messageId) {
      const { messages } = state.room(conversationId) ?? room;
      if (indexed !== messages || many !== messages.length) {
        indexed = messages;
        many = messages.length;
        byId = new Map(messages.map((one) => [one.message_id, one]));
      }
      // Items are replaced as they change, at the same number: the index may hold the one before.
      return byId.get(messageId) ?? null;
    },
    refreshIndex() {
      indexed = null;
    },
    onReply: (item) => composer().reply(item),
    onEdit: (item) => composer().edit(item),
    onReact: react,
    onThread: (item) => go(conversationId, item.message_id),
    onJump: jump,
    onRetry: (item) => void attempt(async () => void state.client.retry(item.local.sending ?? item.local.change)),
    onDiscard: (item) => void attempt(async () => void state.client.discard(item.local.sending ?? item.local.change)),
    onReceipts: (item) => void receipts(item, room),
    tools: followTools(timeline),
  };
}

/** One bar of actions, which goes to the row that is pointed at or focused. */
function followTools(timeline) {
  const tools = new Tools();
  const at = (event) => {
    const row = event.target.closest?.("article.row");
    if (!row) return;
    const item = timeline.items.find((one) => keyOf(one) === row.dataset.key);
    if (item) tools.show(row, item, timeline.scene);
  };
  timeline.addEventListener("pointerover", at);
  timeline.addEventListener("focusin", at);
  timeline.addEventListener("click", (event) => {
    at(event);
    // Where nothing hovers, a tap is what shows the bar.
    if (!event.target.closest("button, a")) event.target.closest("article.row")?.focus({ preventScroll: true });
  });
  return tools;
}

async function receipts(item, room) {
  await attempt(async () => {
    const answer = await state.api.receipts(item.message_id);
    const read = new Set(answer.items.filter((one) => one.read).map((one) => one.user_id));
    const got = answer.items.filter((one) => !one.read).map((one) => one.user_id);
    const rest = [...room.members.keys()].filter((id) => id !== item.sender_id && !read.has(id) && !got.includes(id));
    const group = (title, ids) => (ids.length === 0 ? null : [h("h3", { class: "label" }, `${title} · ${ids.length}`), h("ul", { class: "people" }, ids.map((id) => h("li", null, avatar(id, { size: "small" }), h("span", { dir: "auto" }, state.people.name(id)))))]);
    dialog("Who has read this", [group("Read", [...read]), group("Delivered", got), group("Not yet", rest), read.size + got.length + rest.length === 0 ? h("p", { class: "quiet" }, "There is nobody else here.") : null], { class: "small" });
  });
}

/** Have a message shown, with what is around it; whether it is there. */
export async function reach(conversationId, messageId) {
  if (state.room(conversationId)?.messages.some((one) => one.message_id === messageId)) return true;
  let found = false;
  await attempt(async () => {
    const message = await state.api.message(messageId);
    found = await state.client.loadAround(conversationId, message.seq);
  });
  return found;
}
