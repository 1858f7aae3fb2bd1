/** One message as a row of the list: bubble, files, reactions, and how far it has come. Rows are made anew when their signature changes. */

import { attachmentsOf } from "./attachment.js";
import { avatar } from "./avatar.js";
import { h } from "./dom.js";
import { nameOfEmoji } from "./emoji.js";
import { count, day, dayOf, full, hue, names, time } from "./format.js";
import { icon } from "./icons.js";
import { sentence } from "./overlay.js";
import { isDirect, state } from "./state.js";
import { emojiAlone, rich } from "./text.js";

const GROUP_MS = 5 * 60_000;

/** What a row is known by: one's own keep theirs from before they have a number. */
export const keyOf = (item) => (state.isMe(item.sender_id) && item.client_msg_id ? item.client_msg_id : item.message_id);

/** Whether a message is part of the same breath as the one before it. */
function continues(item, before) {
  return Boolean(before) && before.sender_id === item.sender_id && !before.deleted_at && dayOf(before.created_at) === dayOf(item.created_at) && new Date(item.created_at).getTime() - new Date(before.created_at).getTime() < GROUP_MS;
}

/**
 * What of its surroundings a row shows.
 * @param {any} item
 * @param {any} before the message above it
 * @param {any} after the one below it
 * @param {{room: any, dividerSeq: number | null, thread: boolean}} scene
 */
export function rowOf(item, before, after, scene) {
  const newDay = !before || dayOf(before.created_at) !== dayOf(item.created_at);
  const divided = scene.dividerSeq !== null && item.seq !== null && item.seq > scene.dividerSeq && (!before || before.seq <= scene.dividerSeq);
  const first = newDay || divided || !continues(item, before);
  const last = !after || !continues(after, item);
  return { item, newDay, divided, first, last };
}

/** Two rows with the same signature look the same. */
export function signatureOf(row, scene) {
  const { item } = row;
  const reactions = Object.entries(item.reactions ?? {}).map(([emoji, ids]) => emoji + ids.join()).join("|");
  const files = (item.attachments ?? []).map((one) => `${one.attachment_id ?? one}${one.status}`).join("|");
  const quoted = item.reply_to ? scene.byId(item.reply_to)?.rev : "";
  return [item.rev, item.content?.text, item.local?.state, item.local?.delivered, item.local?.read, item.local?.error?.code, item.edited_at, item.deleted_at, item.pinned_at, item.reply_count, reactions, files, quoted, row.newDay, row.divided, row.first, row.last, scene.namesVersion].join("\u0001");
}

/** A guess of a row's height before it was measured. */
export function guessHeight(item, width) {
  const text = item.content?.text ?? "";
  const perLine = Math.max(20, Math.min(width * 0.72, 560) / 7.4);
  let lines = 0;
  for (const line of text.split("\n")) lines += Math.max(1, Math.ceil(line.length / perLine));
  let height = 18 + lines * 21;
  for (const file of item.attachments ?? []) height += file.thumbnail ? Math.min(280, file.thumbnail.height) + 8 : 62;
  if (Object.keys(item.reactions ?? {}).length > 0) height += 32;
  if (item.reply_to) height += 46;
  if (item.reply_count) height += 30;
  return height;
}

/** The row's element. `scene.on…` are what it can ask for. */
export function renderRow(row, scene) {
  const { item } = row;
  const own = state.isMe(item.sender_id);
  const classes = ["row", own ? "own" : "other", row.first ? "first" : "", row.last ? "last" : "", item.local?.state === "failed" ? "failed" : "", item.deleted_at ? "gone" : ""];
  const sender = own ? "You" : state.people.name(item.sender_id);
  const sided = !own && !isDirect(scene.room);
  return h(
    "article",
    { class: classes.filter(Boolean).join(" "), tabindex: "-1", "aria-label": `${sender}, ${time(item.created_at)}`, "data-key": keyOf(item), "data-seq": item.seq },
    row.newDay ? h("div", { class: "day" }, h("span", null, day(item.created_at))) : null,
    row.divided ? h("div", { class: "fresh" }, h("span", null, "New messages")) : null,
    h("div", { class: "line" }, sided ? h("span", { class: "beside" }, row.last ? avatar(item.sender_id, { size: "small" }) : null) : null, h("div", { class: "stack" }, sided && row.first ? h("div", { class: `who ink-${hue(item.sender_id)}`, dir: "auto" }, sender) : null, bubble(item, own, scene))),
    under(item, sided, scene),
  );
}

function bubble(item, own, scene) {
  if (item.deleted_at || !item.content) return h("div", { class: "bubble tombstone" }, h("span", { class: "text" }, icon("trash"), own ? "You deleted this message" : "This message was deleted"), meta(item, own));
  const text = item.content.text ?? "";
  const alone = item.reply_to || item.attachments?.length ? 0 : emojiAlone(text);
  const large = alone > 0 && alone <= 3;
  const forMe = (item.mentions ?? []).some((id) => id === "all" || state.isMe(id));
  const body = text ? h("div", { class: "text", dir: "auto" }, rich(text, (word) => whoIs(word, scene.room))) : null;
  const files = attachmentsOf(item);
  return h("div", { class: ["bubble", large ? "large" : "", forMe && !own ? "for-me" : "", files && !text ? "bare" : ""].filter(Boolean).join(" ") }, item.reply_to ? quote(item.reply_to, scene) : null, files, body, meta(item, own));
}

function whoIs(word, room) {
  if (word === "all") return "me";
  for (const id of room.members.keys()) if (state.people.get(id)?.username === word) return state.isMe(id) ? "me" : "member";
  return null;
}

function quote(messageId, scene) {
  const target = scene.byId(messageId);
  const name = target ? (state.isMe(target.sender_id) ? "You" : state.people.name(target.sender_id)) : "";
  const text = !target ? "An earlier message" : target.deleted_at ? "Deleted message" : target.content?.text || "A file";
  return h("button", { type: "button", class: "quote", onclick: () => scene.onJump(messageId) }, name ? h("strong", { dir: "auto" }, name) : null, h("span", { dir: "auto" }, text));
}

function meta(item, own) {
  return h("span", { class: "meta" }, item.pinned_at ? icon("pin", "Pinned") : null, item.edited_at && !item.deleted_at ? h("span", { title: full(item.edited_at) }, "edited") : null, h("time", { datetime: item.created_at, title: full(item.created_at) }, time(item.created_at)), own && !item.deleted_at ? progress(item) : null);
}

const STATES = {
  sending: ["clock", "Sending"],
  accepted: ["circle", "Accepted by the server"],
  sent: ["check", "Sent"],
  delivered: ["checks", "Delivered"],
  read: ["checks", "Read"],
  failed: ["alert", "Not sent"],
};

/** How far one's own message has come. */
export function progress(item) {
  const reached = item.local?.state ?? "sent";
  const [name, said] = STATES[reached] ?? STATES.sent;
  const { others = 0, read = 0, delivered = 0 } = item.local ?? {};
  const some = others > 1 && reached === "sent" ? (read > 0 ? `, read by ${read} of ${others}` : delivered > 0 ? `, delivered to ${delivered} of ${others}` : "") : "";
  const label = said + some;
  return h("span", { class: `state ${reached}`, "data-state": reached }, icon(/** @type {any} */ (name), label));
}

/** What is below the bubble: reactions, the way to its thread, what went wrong. */
function under(item, sided, scene) {
  const parts = [reactions(item, scene), scene.thread ? null : threadLink(item, scene), item.local?.error ? failure(item, scene) : null].filter(Boolean);
  return parts.length > 0 ? h("div", { class: sided ? "under sided" : "under" }, parts) : null;
}

function reactions(item, scene) {
  const entries = Object.entries(item.reactions ?? {}).filter(([, ids]) => ids.length > 0);
  if (entries.length === 0 || item.deleted_at) return null;
  return h(
    "div",
    { class: "reactions" },
    entries.map(([emoji, ids]) => {
      const mine = ids.some((id) => state.isMe(id));
      const who = names(ids.map((id) => (state.isMe(id) ? "you" : state.people.name(id))));
      return h("button", { type: "button", class: "reaction", "aria-pressed": String(mine), "aria-label": `${nameOfEmoji(emoji)}, ${who}`, title: who, onclick: () => scene.onReact(item, emoji, mine) }, h("span", { class: "emoji" }, emoji), h("span", null, String(ids.length)));
    }),
  );
}

function threadLink(item, scene) {
  if (!item.reply_count) return null;
  return h("button", { type: "button", class: "thread-link", onclick: () => scene.onThread(item) }, icon("thread"), h("span", null, count(item.reply_count, "reply", "replies")), item.last_reply_at ? h("span", { class: "quiet" }, time(item.last_reply_at)) : null);
}

function failure(item, scene) {
  const label = item.local.sending ? "Not sent" : "Not changed";
  return h("div", { class: "failure", role: "group", "aria-label": label }, icon("alert"), h("span", null, `${label}: ${sentence(item.local.error)}`), h("button", { type: "button", onclick: () => scene.onRetry(item) }, "Try again"), h("button", { type: "button", onclick: () => scene.onDiscard(item) }, "Discard"));
}
