/** A conversation on screen: its head, its messages, who types, and where one writes. */

import "./composer.js";
import "./timeline.js";
import { reconnectDelay } from "../sdk/backoff.js";
import { roomAvatar } from "./avatar.js";
import { Part, announce, fill, h } from "./dom.js";
import { count, names } from "./format.js";
import { icon } from "./icons.js";
import { attempt } from "./overlay.js";
import { go } from "./router.js";
import { makeScene, reach } from "./scene.js";
import { isArchived, isDirect, isMuted, otherOf, state, titleOf } from "./state.js";

const READ_MS = 150;

export class Room extends Part {
  conversationId = "";
  /** @type {(panel: string) => void} */ onpanel = () => {};
  #loading = false;
  #reaching = false;
  /** When it shows what it opens with: the newest, or where the unread begins. */
  #reached = Promise.resolve();
  #pausing = 0;
  #failures = 0;
  #dividing = null;
  #seen = 0;
  #reading = 0;
  #typists = "";

  start() {
    this.room = state.room(this.conversationId);
    this.head = h("header", { class: "room-head" });
    this.timeline = h("hr-timeline");
    this.typing = h("p", { class: "typing", "aria-hidden": "true" });
    this.composer = h("hr-composer", { ".conversationId": this.conversationId, ".lastOwn": () => this.#lastOwn(), ".onsent": () => this.#sent() });
    this.drop = h("div", { class: "drop", hidden: true }, icon("clip"), "Drop files to attach them");
    this.timeline.scene = makeScene({ room: this.room, thread: false, timeline: this.timeline, composer: () => this.composer, jump: (id) => void this.jump(id) });
    this.timeline.onolder = () => void this.#older();
    this.timeline.onnewer = () => void this.#newer();
    this.timeline.onend = () => state.client.showLatest(this.conversationId);
    this.timeline.onseen = (seq, atEnd) => this.#saw(seq, atEnd);
    this.composer.placeholder = `Message ${titleOf(this.room)}`;
    this.replaceChildren(this.head, this.timeline, this.typing, this.composer, this.drop);
    this.setAttribute("aria-label", titleOf(this.room));
    this.#drawHead();
    fill(this.timeline.empty, roomAvatar(this.room, { size: "huge", presence: false }), h("h2", { dir: "auto" }, titleOf(this.room)), h("p", { class: "quiet" }, isDirect(this.room) ? "This is the beginning. Say hello." : "Nobody has said anything yet."));
    this.timeline.begin(this.#items(), { dividerSeq: this.room.unread > 0 ? this.room.readSeq : null });
    this.#reached = this.#reachUnread();
    void state.client.watch(this.conversationId);
    this.hear(state, "changed", (event) => this.#onChanged(event.detail));
    this.hear(state.people, "changed", () => this.#renamed());
    this.hear(state.presence, "changed", () => this.#drawSubtitle());
    this.hear(document, "visibilitychange", () => this.#onFocus());
    this.hear(state.client, "link", () => this.#linked());
    this.hear(window, "focus", () => this.#onFocus());
    this.hear(window, "blur", () => this.#onBlur());
    this.hear(this, "keydown", (event) => this.#onKey(event));
    this.#acceptDrops();
    this.ticking = setInterval(() => this.#drawTyping(), 1000);
    if (this.#items().length < 15) void this.#older();
    if (matchMedia("(pointer: fine)").matches) this.composer.focus();
  }

  stop() {
    clearInterval(this.ticking);
    clearTimeout(this.#reading);
    clearTimeout(this.#pausing);
    void state.client?.unwatch(this.conversationId);
  }

  /** What is unread begins before what is here: show it from where it begins. */
  async #reachUnread() {
    const { dividerSeq } = this.timeline.scene;
    const first = this.room.messages[0]?.seq;
    if (dividerSeq === null || !first || first <= dividerSeq + 1 || !this.room.hasOlder) return;
    const put = this.timeline.put;
    this.#loading = this.#reaching = true;
    const shown = await state.client.loadAround(this.conversationId, dividerSeq + 1).catch(() => false);
    this.#loading = this.#reaching = false;
    if (!shown || !this.isConnected) return;
    // Whoever has written or scrolled meanwhile stays where they are.
    if (this.timeline.scene.dividerSeq !== dividerSeq || this.timeline.put !== put) state.client.showLatest(this.conversationId);
    else this.timeline.begin(this.#items(), { dividerSeq });
  }

  /** What the list shows: replies in threads stay there. */
  #items() {
    return (state.room(this.conversationId)?.messages ?? []).filter((one) => !one.thread_root_id && one.sender_id !== null);
  }

  #lastOwn() {
    const items = this.#items();
    for (let at = items.length - 1; at >= 0; at -= 1) if (state.isMe(items[at].sender_id) && !items[at].deleted_at && items[at].seq !== null) return items[at];
    return null;
  }

  #onChanged({ conversations, all }) {
    if (!all && !conversations.has(this.conversationId)) return;
    const room = state.room(this.conversationId);
    if (!room) {
      go(null, null, { replace: true });
      return;
    }
    const anew = this.room !== room;
    this.room = room;
    this.timeline.scene.room = room;
    this.timeline.scene.refreshIndex();
    if (this.#reaching && room.hasNewer) return; // whether that is shown is about to be decided
    const before = this.timeline.items[this.timeline.items.length - 1];
    const items = this.#items();
    // Come while nobody looked: they are new from here on.
    if (this.#dividing !== null && room.unread > 0 && this.timeline.scene.dividerSeq === null) this.timeline.scene.dividerSeq = this.#dividing;
    this.timeline.update(items);
    this.#tell(items, before);
    this.#drawTyping();
    this.#drawHead();
    if (anew) this.#onFocus();
    if (this.timeline.atEnd) this.#saw(items[items.length - 1]?.seq ?? 0, true);
  }

  /** Say what has come, to whoever listens instead of looking. */
  #tell(items, before) {
    if (!before || document.hidden) return;
    for (const item of items.slice(-3)) if (item.seq !== null && item.seq > (before.seq ?? Infinity) && !state.isMe(item.sender_id)) announce(`${state.people.name(item.sender_id)}: ${item.content?.text || "a file"}`);
  }

  #sent() {
    this.timeline.scene.dividerSeq = null;
    this.#dividing = null;
    this.timeline.toEnd();
  }

  async #older() {
    if (this.#loading || this.#pausing || !this.room?.hasOlder) return;
    this.#loading = true;
    this.timeline.port.setAttribute("aria-busy", "true");
    let pauseMs = 30;
    try {
      await state.client.loadOlder(this.conversationId);
      this.#failures = 0;
    } catch (error) {
      pauseMs = reconnectDelay(this.#failures, Math.random, error?.retryAfterMs);
      this.#failures += 1;
    }
    this.timeline.port.setAttribute("aria-busy", "false");
    this.#loading = false;
    if (this.isConnected) this.#pausing = setTimeout(() => this.#goOn(), pauseMs);
  }

  /** The pause is over: what is here does not fill the screen yet? */
  #goOn() {
    clearTimeout(this.#pausing);
    this.#pausing = 0;
    if (this.#items().length < 15) void this.#older();
  }

  /** What failed for want of a connection need not wait any more. */
  #linked() {
    if (state.client?.link !== "connected" || this.#failures === 0) return;
    this.#failures = 0;
    this.#goOn();
  }

  async #newer() {
    if (this.#loading || !this.room?.hasNewer) return;
    this.#loading = true;
    await state.client.loadNewer(this.conversationId).catch(() => {});
    this.#loading = false;
  }

  #saw(seq, atEnd) {
    if (!document.hasFocus() || document.hidden) return;
    // At the end everything is seen, replies in threads and numbers without a message too.
    const upTo = atEnd && !this.room.hasNewer ? Math.max(seq, lastSeqOf(this.room)) : seq;
    if (upTo <= Math.max(this.#seen, this.room.readSeq ?? 0)) return;
    this.#seen = upTo;
    clearTimeout(this.#reading);
    this.#reading = setTimeout(() => state.client.read(this.conversationId, this.#seen), READ_MS);
  }

  #onFocus() {
    if (document.hidden || !document.hasFocus()) return;
    this.#dividing = null;
    this.#seen = 0;
    this.timeline.refresh();
  }

  #onBlur() {
    if (!this.timeline.atEnd) return;
    this.timeline.scene.dividerSeq = null;
    this.#dividing = lastSeqOf(this.room);
  }

  async jump(messageId) {
    await this.#reached; // else that would come over this
    if (!(await reach(this.conversationId, messageId))) return;
    this.timeline.update(this.#items());
    this.timeline.show(messageId);
  }

  #renamed() {
    this.timeline.scene.namesVersion += 1;
    this.composer.placeholder = `Message ${titleOf(this.room)}`;
    this.composer.box.placeholder = this.composer.placeholder;
    this.composer.box.setAttribute("aria-label", this.composer.placeholder);
    this.setAttribute("aria-label", titleOf(this.room));
    this.#drawHead();
    this.timeline.refresh();
  }

  #headShown = "";

  #drawHead() {
    const { room } = this;
    const shown = [titleOf(room), room.members.size, isMuted(room), isArchived(room), room.conversation.rev && room.conversation.title].join("|");
    if (shown === this.#headShown) return;
    this.#headShown = shown;
    this.subtitle = h("span", { class: "subtitle" });
    const button = (name, label, panel) => h("button", { type: "button", class: "plain-button", "aria-label": label, title: label, onclick: () => this.onpanel(panel) }, icon(name));
    fill(
      this.head,
      h("button", { type: "button", class: "plain-button only-phone", "aria-label": "Back to conversations", onclick: () => go(null) }, icon("back")),
      roomAvatar(room, { size: "" }),
      h("button", { type: "button", class: "room-title", onclick: () => this.onpanel("details") }, h("h1", { dir: "auto" }, titleOf(room), isMuted(room) ? icon("muted", "Muted") : null), this.subtitle),
      button("pin", "Pinned messages", "pins"),
      button("users", isDirect(room) ? "Details" : "Members and settings", "details"),
    );
    this.#drawSubtitle();
  }

  #drawSubtitle() {
    const { room } = this;
    if (!isDirect(room)) {
      this.subtitle.textContent = count(room.members.size, "member");
      return;
    }
    const status = state.presence.of(otherOf(room));
    const said = { online: "Online", away: "Away", busy: "Busy", offline: "Offline" }[status];
    this.subtitle.textContent = state.view.blocked?.has(otherOf(room)) ? "Blocked" : said;
  }

  #drawTyping() {
    const now = Date.now();
    const who = [...(this.room?.typing ?? [])].filter(([id, until]) => until > now && !state.isMe(id) && !(isDirect(this.room) && state.view.blocked?.has(id))).map(([id]) => state.people.name(id));
    const text = who.length === 0 ? "" : `${names(who)} ${who.length === 1 ? "is" : "are"} typing`;
    if (text === this.#typists) return;
    this.#typists = text;
    fill(this.typing, text ? [h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), text] : null);
  }

  #onKey(event) {
    if (event.defaultPrevented || event.target.closest("[popover], dialog")) return;
    const row = document.activeElement?.closest("article.row");
    if (event.key === "Escape" && (row || document.activeElement === this.timeline.port)) this.composer.focus();
    else if (event.key === "Escape" && !this.timeline.atEnd) this.timeline.toEnd();
    else if (row && row === event.target && event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey) this.#onRowKey(event, row);
    else return;
    event.preventDefault();
  }

  #onRowKey(event, row) {
    const tool = { r: "Reply", t: "Reply in a thread", e: "Edit", "+": "React", m: "More" }[event.key];
    /** @type {any} */ (row.querySelector(`hr-tools [aria-label="${tool}"]`))?.click();
  }

  #acceptDrops() {
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    this.hear(this, "dragover", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      this.drop.hidden = false;
    });
    this.hear(this, "dragleave", (event) => {
      if (!this.contains(event.relatedTarget)) this.drop.hidden = true;
    });
    this.hear(this, "drop", (event) => {
      this.drop.hidden = true;
      if (!hasFiles(event)) return;
      event.preventDefault();
      void attempt(async () => this.composer.take(event.dataTransfer.files));
    });
  }
}

/** The highest number that is known in a room. */
export function lastSeqOf(room) {
  return room.last_seq ?? 0;
}

customElements.define("hr-room", Room);
