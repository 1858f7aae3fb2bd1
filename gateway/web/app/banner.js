/** Whether we are connected: nothing for a blink, else why not, and when the next try is. */

import { Part, announce, fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { state } from "./state.js";

const BLINK_MS = 2000;

export class Banner extends Part {
  #since = Date.now();
  #shown = false;
  #timer = 0;

  start() {
    this.hidden = true;
    this.said = h("span");
    this.now = h("button", { type: "button", class: "button small", onclick: () => state.client.retryNow() }, "Retry now");
    fill(this, icon("alert"), this.said, this.now);
    this.hear(state.client, "link", () => this.#draw());
    this.hear(window, "online", () => this.#draw());
    this.hear(window, "offline", () => this.#draw());
    this.#timer = setInterval(() => this.#draw(), 500);
    this.#draw();
  }

  stop() {
    clearInterval(this.#timer);
  }

  #draw() {
    const { link, retryAt } = state.client;
    if (link === "connected") {
      this.#since = 0;
      if (this.#shown) announce("Connected again");
      this.#shown = false;
      this.hidden = true;
      return;
    }
    this.#since ||= Date.now();
    if (Date.now() - this.#since < BLINK_MS) return;
    const left = retryAt ? Math.max(0, Math.ceil((retryAt - Date.now()) / 1000)) : 0;
    const why = navigator.onLine ? "No connection to the server." : "You are offline.";
    this.said.textContent = link === "connecting" || left === 0 ? `${why} Connecting…` : `${why} Next try in ${left} s.`;
    this.now.hidden = link === "connecting";
    if (!this.#shown) announce("The connection is lost. What you write is kept and sent later.");
    this.#shown = true;
    this.hidden = false;
  }
}

customElements.define("hr-banner", Banner);
