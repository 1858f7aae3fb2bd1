/** A thread, beside its room: the message that it began with, the replies, and where one writes. */

import "./composer.js";
import "./timeline.js";
import { Part, fill, h } from "./dom.js";
import { count } from "./format.js";
import { icon } from "./icons.js";
import { renderRow, signatureOf } from "./message.js";
import { go } from "./router.js";
import { makeScene } from "./scene.js";
import { state } from "./state.js";

export class Thread extends Part {
  conversationId = "";
  rootId = "";
  /** @type {(id: string) => void} */ onjump = () => {};
  #seen = 0;
  #root = null;
  #shown = "";
  #loading = false;
  #whole = false;

  start() {
    this.room = state.room(this.conversationId);
    this.said = h("span", { class: "quiet" });
    this.top = h("div", { class: "thread-root" });
    this.timeline = h("hr-timeline");
    this.composer = h("hr-composer", { ".conversationId": this.conversationId, ".threadRootId": this.rootId, ".placeholder": "Reply in the thread", ".lastOwn": () => this.#lastOwn(), ".onsent": () => this.timeline.toEnd() });
    const close = h("button", { type: "button", class: "plain-button", "aria-label": "Close the thread", onclick: () => this.leave() }, icon("close"));
    this.timeline.scene = makeScene({ room: this.room, thread: true, timeline: this.timeline, composer: () => this.composer, jump: (id) => this.onjump(id) });
    this.timeline.onseen = (seq) => this.#saw(seq);
    this.replaceChildren(h("header", { class: "panel-head" }, h("h2", null, "Thread"), this.said, close), this.top, this.timeline, this.composer);
    fill(this.timeline.empty, h("p", { class: "quiet" }, "No replies yet."));
    this.timeline.begin(this.#items());
    this.#draw();
    this.hear(state, "changed", (event) => this.#onChanged(event.detail));
    this.hear(state.people, "changed", () => this.#renamed());
    this.hear(this, "keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented || event.target.closest("[popover]")) return;
      event.preventDefault();
      event.stopPropagation();
      this.leave();
    });
    this.timeline.onolder = () => void this.#older();
    void this.#older();
    if (matchMedia("(pointer: fine)").matches) this.composer.focus();
  }

  async #older() {
    if (this.#loading || this.#whole) return;
    this.#loading = true;
    const more = await state.client.loadThread(this.conversationId, this.rootId).catch(() => true);
    this.#whole = !more;
    setTimeout(() => (this.#loading = false), 50);
  }

  leave() {
    go(this.conversationId);
  }

  #items() {
    return state.room(this.conversationId)?.thread(this.rootId).messages ?? [];
  }

  #lastOwn() {
    return this.#items().findLast((one) => state.isMe(one.sender_id) && !one.deleted_at && one.seq !== null) ?? null;
  }

  #onChanged({ conversations, all }) {
    if (!all && !conversations.has(this.conversationId)) return;
    this.room = state.room(this.conversationId);
    if (!this.room) return;
    this.timeline.scene.room = this.room;
    this.timeline.scene.refreshIndex();
    this.timeline.update(this.#items());
    this.#draw();
  }

  #renamed() {
    this.timeline.scene.namesVersion += 1;
    this.timeline.refresh();
    this.#draw();
  }

  #draw() {
    this.#root = state.room(this.conversationId)?.thread(this.rootId).root ?? this.#root;
    if (!this.#root || !this.isConnected) return;
    const { scene } = this.timeline;
    const row = { item: this.#root, newDay: false, divided: false, first: true, last: true };
    const shown = signatureOf(row, scene);
    if (shown !== this.#shown) fill(this.top, renderRow(row, scene));
    this.#shown = shown;
    this.said.textContent = count(this.#items().filter((one) => !one.deleted_at).length, "reply", "replies");
  }

  #saw(seq) {
    if (seq <= this.#seen || document.hidden || !document.hasFocus()) return;
    this.#seen = seq;
    state.client.read(this.conversationId, seq, { threadRootId: this.rootId });
  }
}

customElements.define("hr-thread", Thread);
