/** What can be done with a message: a small bar at the row that is pointed at or focused, and a menu behind it. */

import { Part, h } from "./dom.js";
import { QUICK, nameOfEmoji } from "./emoji.js";
import { pickEmoji } from "./emoji_picker.js";
import { icon } from "./icons.js";
import { attempt, confirm, menu, toast } from "./overlay.js";
import { recentEmoji } from "./prefs.js";
import { may, state } from "./state.js";

/** Add a reaction, or take it back. */
export function react(item, emoji, mine) {
  void attempt(async () => void state.client.react(item, emoji, { remove: mine }));
}

/** The bar. One is moved from row to row. */
export class Tools extends Part {
  /** @type {any} */ item = null;
  /** @type {any} */ scene = null;
  #shown = "";

  show(row, item, scene) {
    if (this.parentElement?.closest("article") === row && this.item === item) return;
    this.item = item;
    this.scene = scene;
    const stored = item.seq !== null && !item.deleted_at && item.message_id;
    if (!stored) {
      this.remove();
      return;
    }
    this.#draw();
    const stack = row.querySelector(".stack");
    if (this.parentElement !== stack) stack.append(this);
  }

  /** The buttons are for whichever message it is at: they are made anew only when others are wanted. */
  #draw() {
    const quick = [...new Set([...recentEmoji(), ...QUICK])].slice(0, 3);
    const own = state.isMe(this.item.sender_id);
    const { scene } = this;
    const shown = [own, scene.thread, ...quick].join();
    if (shown === this.#shown) return;
    this.#shown = shown;
    const focused = this.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    const turn = (emoji) => react(this.item, emoji, mineIn(this.item, emoji));
    const tool = (name, label, act) => h("button", { type: "button", class: "tool", "aria-label": label, title: label, onclick: act }, icon(name));
    this.replaceChildren(
      h(
        "div",
        { class: "tools", role: "toolbar", "aria-label": "Message" },
        quick.map((emoji) => h("button", { type: "button", class: "tool emoji", "aria-label": `React with ${nameOfEmoji(emoji)}`, onclick: () => turn(emoji) }, emoji)),
        tool("smile", "React", (event) => this.#pick(event.currentTarget)),
        tool("reply", "Reply", () => scene.onReply(this.item)),
        scene.thread ? null : tool("thread", "Reply in a thread", () => scene.onThread(this.item)),
        own ? tool("edit", "Edit", () => scene.onEdit(this.item)) : null,
        tool("more", "More", (event) => moreOf(event.currentTarget, this.item, scene)),
      ),
    );
    if (focused) /** @type {any} */ (this.querySelector(`[aria-label="${CSS.escape(focused)}"]`))?.focus();
  }

  #pick(anchor) {
    const { item } = this; // the bar may be elsewhere when one has chosen
    pickEmoji(anchor, (emoji) => react(item, emoji, mineIn(item, emoji)));
  }
}

customElements.define("hr-tools", Tools);

const mineIn = (item, emoji) => (item.reactions?.[emoji] ?? []).some((id) => state.isMe(id));

function moreOf(anchor, item, scene) {
  const own = state.isMe(item.sender_id);
  const pinned = Boolean(item.pinned_at);
  const text = item.content?.text;
  menu(anchor, "Message", [
    { icon: "reply", label: "Reply", act: () => scene.onReply(item) },
    !scene.thread && { icon: "thread", label: "Reply in a thread", act: () => scene.onThread(item) },
    text ? { icon: "copy", label: "Copy text", act: () => void navigator.clipboard.writeText(text).then(() => toast("Copied")) } : null,
    may(scene.room, "pin") && { icon: "pin", label: pinned ? "Unpin" : "Pin", act: () => void attempt(() => (pinned ? state.api.unpin(item.message_id) : state.api.pin(item.message_id))) },
    { icon: "checks", label: "Who has read this", act: () => scene.onReceipts(item) },
    own && { icon: "edit", label: "Edit", act: () => scene.onEdit(item) },
    (own || may(scene.room, "deleteOthers")) && { icon: "trash", label: "Delete", danger: true, act: () => void remove(item) },
  ]);
}

async function remove(item) {
  if (await confirm("Delete this message?", "It is deleted for everybody. A note stays in its place.", "Delete")) await attempt(async () => void state.client.remove(item));
}
