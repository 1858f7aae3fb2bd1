/** Where one writes: drafts, replies, edits, files, completion. Enter sends, Shift+Enter is a new line, ↑ edits one's last message. */

import { Completion } from "./completion.js";
import { Part, composes, fill, h, keyed } from "./dom.js";
import { pickEmoji } from "./emoji_picker.js";
import { icon } from "./icons.js";
import { attempt, toast } from "./overlay.js";
import { may, state } from "./state.js";
import { mentionsOf } from "./text.js";
import { Uploads, showUpload, uploadChip, uploadsOf } from "./uploads.js";

const SAVE_MS = 250;
let made = 0;

export class Composer extends Part {
  /** Set before it is connected. */
  conversationId = "";
  /** @type {string | null} */ threadRootId = null;
  placeholder = "Message";
  /** One's newest message, for ↑. @type {() => any} */ lastOwn = () => null;
  /** Called when something was sent. */ onsent = () => {};

  #reply = null;
  #edit = null;
  #saving = 0;
  #kept = "null";
  #touched = false;
  /** @type {Uploads} */ uploads;

  start() {
    made += 1;
    const list = h("div", { class: "offers", id: `offers-${made}`, role: "listbox", "aria-label": "Completion" });
    this.box = h("textarea", { rows: "1", class: "compose-text", placeholder: this.placeholder, "aria-label": this.placeholder, "aria-autocomplete": "list", "aria-controls": list.id, dir: "auto", enterkeyhint: "send", maxlength: "10000" });
    this.about = h("div", { class: "about", hidden: true });
    this.chips = h("div", { class: "chips", hidden: true });
    this.picker = h("input", { type: "file", multiple: true, hidden: true, tabindex: "-1", "aria-label": "Files", onchange: () => this.#picked() });
    this.button = h("button", { type: "submit", class: "send", "aria-label": "Send" }, icon("send"));
    this.form = h(
      "form",
      { class: "compose", onsubmit: (event) => this.#submit(event) },
      list,
      this.about,
      this.chips,
      h(
        "div",
        { class: "compose-line" },
        h("button", { type: "button", class: "plain-button", "aria-label": "Attach files", onclick: () => this.picker.click() }, icon("clip")),
        this.box,
        h("button", { type: "button", class: "plain-button emoji-button", "aria-label": "Insert an emoji", onclick: (event) => pickEmoji(event.currentTarget, (emoji) => this.insert(emoji)) }, icon("smile")),
        this.button,
      ),
      this.picker,
    );
    this.replaceChildren(this.form);
    this.completion = new Completion(this.box, list, (query) => this.#people(query));
    this.hear(this.box, "input", () => this.#typed());
    this.hear(this.box, "keydown", (event) => this.#onKey(event));
    this.hear(this.box, "paste", (event) => this.#pasted(event));
    this.hear(state.client, "draft", (event) => this.#elsewhere(event.detail));
    this.uploads = uploadsOf(this.#place);
    this.hear(this.uploads, "changed", () => this.#showUploads());
    this.#restore();
    // What an earlier run wrote comes from the disk a moment after the messages.
    this.hear(state, "changed", () => this.#restore());
    this.#showUploads();
  }

  stop() {
    this.#save();
    clearTimeout(this.#saving);
    if (this.#typing) state.client?.typing(this.conversationId, { stop: true, threadRootId: this.threadRootId ?? undefined });
  }

  focus() {
    this.box?.focus({ preventScroll: true });
  }

  get #place() {
    return this.threadRootId ? `${this.conversationId}/${this.threadRootId}` : this.conversationId;
  }

  #typing = false;

  #restore() {
    if (this.#touched || this.#edit || !state.client?.drafts.get(this.#place)) return;
    this.#touched = true;
    this.#showDraft();
  }

  /** Put what was being written into the box, and show what it answers. */
  #showDraft() {
    const draft = state.client?.drafts.get(this.#place) ?? null;
    this.box.value = draft?.text ?? "";
    this.#reply = (draft?.replyTo && state.room(this.conversationId)?.messages.find((one) => one.message_id === draft.replyTo)) || null;
    this.#kept = JSON.stringify(draft);
    this.#showAbout();
    this.#grow();
  }

  /** Another tab has written on. */
  #elsewhere({ conversationId, draft }) {
    if (conversationId !== this.#place || this.#edit || document.activeElement === this.box) return;
    this.box.value = draft?.text ?? "";
    this.#kept = JSON.stringify(draft);
    this.#grow();
  }

  #save() {
    if (this.#edit) return;
    const text = this.box.value;
    const replyTo = this.#reply?.message_id ?? null;
    const now = text || replyTo ? { text, replyTo } : null;
    const written = JSON.stringify(now);
    if (written === this.#kept) return;
    this.#kept = written;
    void state.client?.drafts.set(this.#place, now);
    state.tell("draft", this.conversationId);
  }

  #typed() {
    this.#touched ||= !this.#edit;
    this.#grow();
    clearTimeout(this.#saving);
    this.#saving = setTimeout(() => this.#save(), SAVE_MS);
    const types = this.box.value.trim() !== "" && !this.#edit;
    if (types) state.client.typing(this.conversationId, { threadRootId: this.threadRootId ?? undefined });
    else if (this.#typing) state.client.typing(this.conversationId, { stop: true, threadRootId: this.threadRootId ?? undefined });
    this.#typing = types;
  }

  #grow() {
    // `field-sizing: content` does it where it is known.
    if (!CSS.supports("field-sizing", "content")) {
      this.box.style.setProperty("height", "auto");
      this.box.style.setProperty("height", `${Math.min(this.box.scrollHeight, 200)}px`);
    }
    const something = this.box.value.trim() !== "" || this.uploads.list.length > 0;
    this.button.disabled = !something || this.uploads.busy || this.uploads.failed;
    this.form.classList.toggle("ready", something);
  }

  #onKey(event) {
    if (composes(event) || this.completion.key(event)) return;
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === "Escape" && (this.#reply || this.#edit)) {
      event.stopPropagation();
      event.preventDefault();
      this.#leave();
    } else if (event.key === "ArrowUp" && this.box.value === "" && !this.#edit) {
      const last = this.lastOwn();
      if (!last) return;
      event.preventDefault();
      this.edit(last);
    }
  }

  /** Answer a message. */
  reply(item) {
    this.#leaveEdit();
    this.#reply = item;
    this.#showAbout();
    this.#save();
    this.focus();
  }

  /** Change one of one's own messages. */
  edit(item) {
    this.#save();
    this.#reply = null;
    this.#edit = item;
    this.box.value = item.content?.text ?? "";
    this.#showAbout();
    this.#grow();
    this.focus();
    this.box.setSelectionRange(this.box.value.length, this.box.value.length);
  }

  insert(text) {
    this.focus();
    this.box.setRangeText(text, this.box.selectionStart, this.box.selectionEnd, "end");
    this.box.dispatchEvent(new Event("input"));
  }

  /** Take files that were dropped or pasted. */
  take(files) {
    const left = this.uploads.add(files);
    if (left > 0) toast("A message has at most ten files.", { bad: true });
    this.focus();
  }

  /** Back: out of an edit, else out of a reply. */
  #leave() {
    if (this.#edit) return this.#leaveEdit();
    this.#reply = null;
    this.#showAbout();
    this.#save();
  }

  #leaveEdit() {
    if (!this.#edit) return;
    this.#edit = null;
    this.#showDraft();
  }

  #showAbout() {
    const item = this.#edit ?? this.#reply;
    this.about.hidden = !item;
    if (!item) return;
    const who = state.isMe(item.sender_id) ? "yourself" : state.people.name(item.sender_id);
    fill(this.about, icon(this.#edit ? "edit" : "reply"), h("span", { class: "about-text" }, h("strong", null, this.#edit ? "Edit message" : `Reply to ${who}`), h("span", { dir: "auto" }, item.content?.text || "A file")), h("button", { type: "button", class: "plain-button", "aria-label": this.#edit ? "Stop editing" : "Do not reply", onclick: () => this.#leave() }, icon("close")));
  }

  #showUploads() {
    this.chips.hidden = this.uploads.list.length === 0;
    keyed(this.chips, this.uploads.list, (one) => one.key, (one) => uploadChip(one, this.uploads), showUpload);
    this.#grow();
  }

  #picked() {
    this.take(this.picker.files);
    this.picker.value = "";
  }

  #pasted(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    this.take(files);
  }

  #submit(event) {
    event?.preventDefault();
    const text = this.box.value.trim();
    if (this.#edit) return this.#change(text);
    if (this.button.disabled) return;
    const room = state.room(this.conversationId);
    if (!room) return;
    const attachments = this.uploads.ready.map((one) => one.attachment);
    const nameOf = (id) => state.people.get(id)?.username;
    const mentions = mentionsOf(text, [...room.members.keys()], nameOf, may(room, "all"));
    const replyTo = this.#reply?.message_id;
    void attempt(async () => {
      state.client.send(this.conversationId, { text, replyTo, threadRootId: this.threadRootId ?? undefined, mentions, attachments });
      this.box.value = "";
      this.#reply = null;
      this.#typing = false;
      this.uploads.clear();
      this.completion.close();
      this.#showAbout();
      this.#grow();
      this.#save();
      this.onsent();
    });
  }

  #change(text) {
    const item = this.#edit;
    if (text && text !== item.content?.text) void attempt(async () => void state.client.edit(item, text));
    this.#leave();
  }

  #people(query) {
    const room = state.room(this.conversationId);
    if (!room) return [];
    const found = [...room.members.keys()]
      .filter((id) => !state.isMe(id))
      .map((id) => state.people.get(id))
      .filter((user) => user?.username && (user.username.startsWith(query) || user.display_name.toLowerCase().includes(query)))
      .map((user) => ({ name: user.username, label: user.display_name, userId: user.user_id }));
    if (may(room, "all") && "all".startsWith(query)) found.push({ name: "all", label: "Everybody here", userId: null });
    return found.slice(0, 8);
  }
}

customElements.define("hr-composer", Composer);
