/** The web client begins here: who is signed in, the connection, and the frame of the screen. */

import "./banner.js";
import "./details.js";
import "./pins.js";
import "./room.js";
import "./sidebar.js";
import "./sign_in.js";
import "./thread.js";
import { Api, Client, IndexedDbStore } from "../sdk/index.js";
import { followDots } from "./avatar.js";
import { Part, fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { showUnread, startNotifying } from "./notify.js";
import { sentence, toast } from "./overlay.js";
import { deviceId } from "./prefs.js";
import { go, place, router } from "./router.js";
import { openSettings } from "./settings.js";
import { state } from "./state.js";
import { openSwitcher } from "./switcher.js";
import { dropUploads } from "./uploads.js";

const ENDED = {
  4500: "Your session has ended. Sign in again.",
  4501: "Your session was ended on another device.",
  4502: "Your account is disabled.",
};

class App extends Part {
  #panel = "";
  #room = null;
  #store = null;
  /** Kept when whoever was here has left. */
  #left = Promise.resolve();
  /** Tells the other tabs who signs out. */
  #tabs = new BroadcastChannel("headrace-sign-out");

  async start() {
    state.api = new Api({ url: location.origin });
    this.hear(state, "sign-out", (event) => void this.#signOut(event.detail));
    this.hear(this.#tabs, "message", ({ data }) => {
      if (state.client && state.user.user_id === data) void this.#leave("You are signed out.", { forget: true });
    });
    this.hear(state, "me", () => this.#frame());
    this.hear(router, "moved", () => this.#show());
    this.hear(document, "keydown", (event) => this.#onKey(event));
    followDots();
    // Whoever was signed in last sees at once what is kept here; the server is asked meanwhile.
    const restoring = state.api.restore();
    if (state.api.user) this.#enter(state.api.user);
    const user = await restoring.catch(() => state.api.user);
    if (!user && state.client) await this.#leave("Your session has ended. Sign in again.");
    else if (!user) this.#door();
  }

  #door(note = "") {
    fill(this, h("hr-sign-in", { ".note": note, ".ondone": (user) => void this.#left.then(() => this.#enter(user)) }));
  }

  #enter(user) {
    state.user = { ...user };
    state.people.open(state.api, user.user_id);
    state.people.learn([{ user_id: user.user_id, username: user.username, display_name: user.display_name }]);
    this.#store = new IndexedDbStore("headrace");
    const client = new Client({ api: state.api, url: location.origin, store: this.#store, clientName: "headrace-web", deviceId: deviceId(), tabs: true });
    state.client = client;
    state.presence.open(client);
    client.addEventListener("changed", (/** @type {any} */ event) => {
      state.tell("changed", event.detail ?? { conversations: new Set(), all: true });
      showUnread();
      if (this.#waiting) this.#show();
    });
    client.addEventListener("stopped", (/** @type {any} */ event) => {
      if (state.client === client && !this.#leaving) void this.#stopped(event.detail);
    });
    startNotifying(client);
    client.start();
    this.#frame();
  }

  #waiting = false;
  #leaving = false;

  #frame() {
    this.sidebar = h("hr-sidebar", { class: "side" });
    this.main = h("main", { class: "main" });
    this.aside = h("aside", { class: "panel", hidden: true });
    this.shell = h("div", { class: "shell" }, this.sidebar, this.main, this.aside);
    fill(this, h("hr-banner"), this.shell);
    this.#room = null;
    this.#show();
  }

  /** Show what the address says. */
  #show() {
    if (!this.shell) return;
    const { conversationId, threadRootId } = place();
    const room = conversationId ? state.room(conversationId) : null;
    this.#waiting = Boolean(conversationId) && !room;
    this.shell.classList.toggle("in-room", Boolean(conversationId));
    if (conversationId !== this.#room?.conversationId || !this.#room?.isConnected) {
      this.#closePanel();
      this.#room = room ? h("hr-room", { class: "room", role: "region", ".conversationId": conversationId, ".onpanel": (panel) => this.#turnPanel(panel) }) : null;
      fill(this.main, this.#room ?? this.#nothing(conversationId));
    }
    if (location.pathname === "/settings") {
      go(null, null, { replace: true });
      openSettings();
    }
    if (threadRootId && room) this.#openPanel(h("hr-thread", { ".conversationId": conversationId, ".rootId": threadRootId, ".onjump": (id) => void this.#room?.jump(id) }), `t/${threadRootId}`);
    else if (this.#panel.startsWith("t/") || !this.#room) this.#closePanel();
  }

  #nothing(conversationId) {
    const text = conversationId ? (state.client.link === "connected" ? "This conversation does not exist, or you are not in it." : "Loading…") : "Choose a conversation, or start a new one.";
    return h("div", { class: "nothing big" }, icon("wave"), h("p", null, text), conversationId ? null : h("p", { class: "quiet" }, h("kbd", null, "Ctrl"), " ", h("kbd", null, "K"), " goes to any of them."));
  }

  #turnPanel(name) {
    const { conversationId, threadRootId } = place();
    if (threadRootId) go(conversationId);
    if (this.#panel === name) return this.#closePanel();
    const close = () => this.#closePanel(true);
    const jump = (id) => {
      if (matchMedia("(max-width: 1100px)").matches) this.#closePanel();
      void this.#room?.jump(id);
    };
    const element = name === "pins" ? h("hr-pins", { ".conversationId": conversationId, ".onclose": close, ".onjump": jump }) : h("hr-details", { ".conversationId": conversationId, ".onclose": close });
    this.#openPanel(element, name);
    /** @type {any} */ (element.querySelector(".panel-head button"))?.focus();
  }

  #openPanel(element, name) {
    if (this.#panel === name) return;
    this.#panel = name;
    this.aside.hidden = false;
    this.aside.setAttribute("aria-label", { pins: "Pinned messages", details: "Details" }[name] ?? "Thread");
    this.shell.classList.add("with-panel");
    fill(this.aside, element);
  }

  #closePanel(focus = false) {
    if (!this.#panel) return;
    this.#panel = "";
    this.aside.hidden = true;
    this.shell.classList.remove("with-panel");
    fill(this.aside);
    if (focus) this.#room?.composer?.focus();
  }

  #onKey(event) {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k" && state.client) {
      event.preventDefault();
      openSwitcher();
    } else if (event.key === "Escape" && !event.defaultPrevented && this.#panel && !document.querySelector("dialog[open], [popover]")) {
      if (this.#panel.startsWith("t/")) go(place().conversationId);
      else this.#closePanel(true);
    }
  }

  async #stopped(error) {
    if (error?.code === 4505) {
      toast("Headrace is open in another window.", { bad: true });
      return;
    }
    await this.#leave(ENDED[error?.code] ?? (error ? sentence(error) : ""));
  }

  async #signOut({ everywhere }) {
    this.#leaving = true; // the socket hears of it, too
    this.#tabs.postMessage(state.user.user_id);
    await state.api.logout({ everywhere }).catch((error) => toast(sentence(error), { bad: true }));
    await this.#leave(everywhere ? "You are signed out everywhere." : "You are signed out.", { forget: true });
  }

  /** `forget`: nothing of theirs stays on this device. */
  async #leave(note, { forget = false } = {}) {
    const { client } = state;
    this.#leaving = false;
    state.client = null;
    state.people.forget();
    dropUploads();
    for (const one of document.querySelectorAll("dialog")) one.close();
    this.shell = null;
    history.replaceState(null, "", "/");
    this.#left = this.#close(client, forget).catch(() => {});
    this.#door(note);
    await this.#left;
    document.title = "Headrace";
  }

  /** Each tab forgets after what it wrote last. */
  async #close(client, forget) {
    await client?.close();
    if (!forget) return;
    await this.#store.forget(state.user.user_id);
    this.#store.close();
  }
}

customElements.define("hr-app", App);

if ("serviceWorker" in navigator && isSecureContext) {
  const policy = globalThis.trustedTypes?.createPolicy("headrace", { createScriptURL: (url) => (url === "/sw.js" ? url : "about:invalid") });
  addEventListener("load", () => void navigator.serviceWorker.register(policy ? /** @type {any} */ (policy.createScriptURL("/sw.js")) : "/sw.js").catch(() => {}));
}
