/** What is pinned in a room. */

import { Part, fill, h } from "./dom.js";
import { brief } from "./format.js";
import { icon } from "./icons.js";
import { attempt, sentence } from "./overlay.js";
import { may, state } from "./state.js";

export class Pins extends Part {
  conversationId = "";
  onclose = () => {};
  /** @type {(id: string) => void} */ onjump = () => {};

  start() {
    this.body = h("div", { class: "panel-body" }, h("p", { class: "quiet centered" }, "…"));
    this.replaceChildren(h("header", { class: "panel-head" }, h("h2", null, "Pinned messages"), h("button", { type: "button", class: "plain-button", "aria-label": "Close pinned messages", onclick: () => this.onclose() }, icon("close"))), this.body);
    this.hear(state.client, "event", (event) => {
      const { event: name, data } = event.detail;
      if ((name === "message.pinned" || name === "message.unpinned") && data?.conversation_id === this.conversationId) void this.#load();
    });
    void this.#load();
  }

  async #load() {
    try {
      const answer = await state.api.pins(this.conversationId);
      if (this.isConnected) this.#draw(answer.items ?? answer);
    } catch (error) {
      fill(this.body, h("p", { class: "quiet centered" }, sentence(error)));
    }
  }

  #draw(items) {
    const room = state.room(this.conversationId);
    if (items.length === 0) {
      fill(this.body, h("div", { class: "nothing" }, icon("pin"), h("p", null, "Nothing is pinned yet.")));
      return;
    }
    fill(
      this.body,
      h(
        "ul",
        { class: "pins" },
        items.map((item) =>
          h("li", { class: "card pinned" }, h("button", { type: "button", class: "pinned-text", onclick: () => this.onjump(item.message_id) }, h("span", { class: "room-line" }, h("strong", { dir: "auto" }, state.people.name(item.sender_id)), h("time", { datetime: item.created_at }, brief(item.created_at))), h("span", { dir: "auto", class: "clamped" }, item.content?.text || item.attachments?.[0]?.name || "A file")), room && may(room, "pin") ? h("button", { type: "button", class: "plain-button", "aria-label": "Unpin", title: "Unpin", onclick: () => void attempt(() => state.api.unpin(item.message_id).then(() => this.#load())) }, icon("close")) : null),
        ),
      ),
    );
  }
}

customElements.define("hr-pins", Pins);
