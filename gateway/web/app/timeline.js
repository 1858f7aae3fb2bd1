/**
 * The list of messages: only what is near the screen is in the document, whatever there is.
 *
 * Rows lie in normal flow between two spacers. Heights are guessed, then measured; one visible row, the anchor, stays where it is while
 * things above it are measured, load or change, and at the end of the list the end stays in view.
 */

import { Part, h, keyed } from "./dom.js";
import { icon } from "./icons.js";
import { guessHeight, keyOf, renderRow, rowOf, signatureOf } from "./message.js";

const OVERSCAN = 700;
const NEAR_END = 48;
const LOAD_ROWS = 25;

export class Timeline extends Part {
  /** What rows can ask for, and what they belong to; set before it is connected. */
  scene = /** @type {any} */ ({ room: null, dividerSeq: null, thread: false, byId: () => null, namesVersion: 0 });
  /** Called near the ends. @type {() => any} */ onolder = () => {};
  /** @type {() => any} */ onnewer = () => {};
  /** Called before the end is shown, when what is here is an older stretch. @type {() => void} */ onend = () => {};
  /** Called with the highest number that is on screen. @type {(seq: number, atEnd: boolean) => void} */ onseen = () => {};

  #items = [];
  #index = new Map();
  #heights = new Map();
  #offsets = new Float64Array(1);
  #stuck = true;
  #unseen = 0;
  #width = 0;
  #frame = 0;
  #target = null;
  /** Where it stood when it was last looked at. */
  #stood = 0;

  start() {
    this.rows = h("div", { class: "rows" });
    this.above = h("div", { class: "spacer" });
    this.below = h("div", { class: "spacer" });
    this.empty = h("div", { class: "empty-room" });
    this.port = h("div", { class: "port", role: "feed", "aria-label": "Messages", "aria-busy": "false", tabindex: "0" }, this.above, this.rows, this.below, this.empty);
    this.jumpCount = h("span", { class: "badge" });
    this.jump = h("button", { type: "button", class: "jump", hidden: true, onclick: () => this.toEnd() }, this.jumpCount, icon("down"), h("span", { class: "visually-hidden" }, "Jump to the newest message"));
    this.replaceChildren(this.port, this.jump);
    this.hear(this.port, "scroll", () => this.#onScroll(), { passive: true });
    this.hear(this.port, "keydown", (event) => this.#onKey(event));
    this.sizes = new ResizeObserver((entries) => this.#onSizes(entries));
    this.sizes.observe(this.port);
  }

  stop() {
    this.sizes.disconnect();
    cancelAnimationFrame(this.#frame);
  }

  get atEnd() {
    return this.#stuck;
  }

  /** What it was put to, until somebody moves it. */
  get put() {
    this.#heed();
    return this.#target;
  }

  get items() {
    return this.#items;
  }

  /** Show another room from here: at `dividerSeq`, if there is something new after it, else at the end. */
  begin(items, { dividerSeq = null } = {}) {
    this.#heights.clear();
    this.#items = items;
    this.#stuck = true;
    this.#unseen = 0;
    this.scene.dividerSeq = dividerSeq;
    const at = dividerSeq === null ? -1 : items.findIndex((one) => one.seq !== null && one.seq > dividerSeq);
    if (at >= 0) {
      this.#stuck = false;
      this.#target = { key: keyOf(items[at]), delta: this.port.clientHeight * 0.3 };
    }
    this.#reindex();
    this.#draw();
  }

  /** The list has changed: older ones above, newer ones below, or something in between. */
  update(items) {
    this.#heed();
    const before = this.#items[this.#items.length - 1];
    this.#items = items;
    const fresh = this.#arrived(before);
    if (!this.#stuck) this.#unseen += fresh;
    this.#reindex();
    this.#draw();
    return fresh;
  }

  /** How many of others have come after the one that was last. */
  #arrived(before) {
    if (!before) return 0;
    const last = before.seq ?? Infinity;
    let many = 0;
    for (let at = this.#items.length - 1; at >= 0; at -= 1) {
      const item = this.#items[at];
      if (item.seq === null) continue;
      if (item.seq <= last) break;
      if (!this.scene.isMe?.(item.sender_id)) many += 1;
    }
    return many;
  }

  toEnd() {
    if (this.scene.room?.hasNewer) this.onend();
    this.#stuck = true;
    this.#unseen = 0;
    this.#target = null;
    this.#draw();
  }

  /** Bring a message into the middle and let it be seen. Whether it is here. */
  show(key) {
    const at = this.#index.get(key) ?? this.#items.findIndex((one) => one.message_id === key);
    if (at === undefined || at < 0) return false;
    this.#stuck = false;
    const named = keyOf(this.#items[at]);
    this.#target = { key: named, delta: this.port.clientHeight * 0.4 };
    this.#draw();
    const row = this.#rowOf(named);
    row?.classList.remove("flash");
    void row?.offsetWidth;
    row?.classList.add("flash");
    row?.focus({ preventScroll: true });
    return true;
  }

  /** Draw again: names have come, or the divider has gone. */
  refresh() {
    this.#heed();
    this.#draw();
  }

  #reindex() {
    this.#index = new Map(this.#items.map((item, at) => [keyOf(item), at]));
  }

  #measureAll() {
    const width = this.port.clientWidth;
    if (width !== this.#width) {
      if (this.#width) this.#heights.clear();
      this.#width = width;
    }
    const many = this.#items.length;
    if (this.#offsets.length !== many + 1) this.#offsets = new Float64Array(many + 1);
    let sum = 0;
    for (let at = 0; at < many; at += 1) {
      this.#offsets[at] = sum;
      const item = this.#items[at];
      const key = keyOf(item);
      let height = this.#heights.get(key);
      if (height === undefined) this.#heights.set(key, (height = guessHeight(item, width)));
      sum += height;
    }
    this.#offsets[many] = sum;
  }

  /** The index of the row at a height. */
  #at(y) {
    let low = 0;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#offsets[middle + 1] <= y) low = middle + 1;
      else high = middle;
    }
    return Math.min(low, Math.max(0, this.#items.length - 1));
  }

  /** The row that is to stay: the one that was asked for, else the first that is whole on screen. */
  #anchor() {
    if (this.#target) return this.#target;
    const top = this.port.getBoundingClientRect().top;
    for (const row of this.rows.children) {
      const at = row.getBoundingClientRect();
      if (at.bottom > top + 1 && this.#index.has(row.dataset.key)) return { key: row.dataset.key, delta: at.top - top };
    }
    return null;
  }

  #draw() {
    if (!this.isConnected || this.port.clientHeight === 0) return;
    const anchor = this.#stuck ? null : this.#anchor();
    this.#measureAll();
    const view = this.port.clientHeight;
    // Twice: what is measured in the first round moves the second one's bounds.
    for (let round = 0; round < 2; round += 1) {
      const total = this.#offsets[this.#items.length];
      const place = anchor && this.#index.get(anchor.key);
      const top = this.#stuck ? total - view : place === undefined || place === null ? this.port.scrollTop : this.#offsets[place] - anchor.delta;
      if (!this.#window(top, view)) break;
    }
    const total = this.#offsets[this.#items.length];
    if (this.#stuck) this.port.scrollTop = this.port.scrollHeight;
    else if (anchor) this.#hold(anchor);
    this.#stood = this.port.scrollTop;
    this.empty.hidden = this.#items.length > 0;
    this.port.classList.toggle("short", total < view);
    this.#after();
  }

  /** Put the rows around a height into the document; whether their heights differ from what was thought. */
  #window(top, view) {
    const from = this.#items.length === 0 ? 0 : this.#at(Math.max(0, top - OVERSCAN));
    const to = this.#items.length === 0 ? 0 : this.#at(top + view + OVERSCAN) + 1;
    const wanted = [];
    for (let at = from; at < to; at += 1) wanted.push(rowOf(this.#items[at], this.#items[at - 1], this.#items[at + 1], this.scene));
    const make = (row) => {
      const element = renderRow(row, this.scene);
      element.signature = signatureOf(row, this.scene);
      return element;
    };
    const fresh = keyed(this.rows, wanted, (row) => keyOf(row.item), make, (element, row) => {
      const signature = signatureOf(row, this.scene);
      if (element.signature === signature) return;
      this.#renew(element, renderRow(row, this.scene), signature);
    });
    for (const element of fresh) this.sizes.observe(element);
    const many = this.#items.length;
    for (let at = from; at < to; at += 1) this.rows.keyed.get(keyOf(this.#items[at]))?.setAttribute("aria-posinset", String(at + 1));
    for (const element of fresh) element.setAttribute("aria-setsize", this.scene.room?.hasOlder ? "-1" : String(many));
    this.above.style.setProperty("block-size", `${this.#offsets[from]}px`);
    this.below.style.setProperty("block-size", `${this.#offsets[many] - this.#offsets[to]}px`);
    return this.#learn();
  }

  /** Change a row in place: the element stays, so focus and its observer do. */
  #renew(element, next, signature) {
    const focused = element.contains(document.activeElement) ? document.activeElement : null;
    const label = focused?.getAttribute("aria-label");
    element.signature = signature;
    element.className = next.className + (element.classList.contains("flash") ? " flash" : "");
    for (const name of ["aria-label", "data-seq"]) {
      const value = next.getAttribute(name);
      if (value === null) element.removeAttribute(name);
      else element.setAttribute(name, value);
    }
    const tools = element.querySelector("hr-tools");
    element.replaceChildren(...next.children);
    if (tools) element.querySelector(".stack")?.append(tools);
    if (focused && !element.contains(document.activeElement) && focused !== element) {
      const again = label ? element.querySelector(`[aria-label="${CSS.escape(label)}"]`) : null;
      (again ?? element).focus({ preventScroll: true });
    }
  }

  /** Take the heights of the rows in the document; whether one was another than thought. */
  #learn() {
    let changed = false;
    for (const row of this.rows.children) {
      const height = row.getBoundingClientRect().height;
      if (height > 0 && Math.abs((this.#heights.get(row.dataset.key) ?? 0) - height) > 0.5) {
        this.#heights.set(row.dataset.key, height);
        changed = true;
      }
    }
    if (changed) this.#measureAll();
    return changed;
  }

  #rowOf(key) {
    return this.rows.keyed?.get(key) ?? null;
  }

  /** Bring a row back to where it is to be. */
  #hold(anchor) {
    const row = this.#rowOf(anchor.key);
    if (!row) return;
    const off = row.getBoundingClientRect().top - this.port.getBoundingClientRect().top - anchor.delta;
    if (Math.abs(off) >= 1) this.port.scrollTop += off;
  }

  /**
   * A place that we have not put it to is somebody's wish. Asked before whatever could undo it, too: a browser tells of a scroll
   * with the next frame only.
   */
  #heed() {
    const { scrollTop, scrollHeight, clientHeight } = this.port;
    const before = this.#stood;
    if (Math.abs(scrollTop - before) < 1) return;
    this.#stood = scrollTop;
    this.#target = null;
    const left = scrollHeight - scrollTop - clientHeight;
    // Near the end is at the end for whoever comes down, not for whoever just leaves it.
    this.#stuck = (left < 2 || (left < NEAR_END && scrollTop > before)) && !this.scene.room?.hasNewer;
  }

  #onScroll() {
    this.#heed();
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#onMoved();
    });
  }

  /** After a scroll: rows come and go; nothing moves but by what was guessed wrong. */
  #onMoved() {
    const top = this.port.scrollTop;
    const view = this.port.clientHeight;
    const first = this.rows.firstElementChild;
    const last = this.rows.lastElementChild;
    const covered = first && last && first.offsetTop <= Math.max(0, top - OVERSCAN / 3) + 1 && last.offsetTop + last.offsetHeight >= Math.min(this.port.scrollHeight, top + view + OVERSCAN / 3) - 1;
    if (!covered) {
      const stuck = this.#stuck;
      this.#stuck = false;
      const anchor = this.#anchor();
      this.#window(top, view);
      if (anchor) this.#hold(anchor);
      this.#stood = this.port.scrollTop;
      this.#stuck = stuck;
    }
    this.#after();
  }

  #after() {
    const view = this.port.clientHeight;
    const top = this.port.scrollTop;
    if (this.#stuck) this.#unseen = 0;
    this.jump.hidden = this.#stuck || this.port.scrollHeight - top - view < view * 0.6;
    const below = this.scene.thread ? this.#unseen : (this.scene.room?.unread ?? 0);
    this.jumpCount.textContent = below > 99 ? "99+" : String(below);
    this.jumpCount.hidden = below === 0;
    const from = this.#at(top);
    const to = this.#at(top + view - 20);
    if (from < LOAD_ROWS) this.onolder();
    if (to > this.#items.length - LOAD_ROWS) this.onnewer();
    for (let at = to; at >= from && at >= 0; at -= 1) {
      const seq = this.#items[at]?.seq;
      if (seq !== null && seq !== undefined) {
        this.onseen(seq, this.#stuck);
        break;
      }
    }
  }

  #onSizes(entries) {
    const port = entries.some((entry) => entry.target === this.port);
    if (port || this.#differs(entries)) this.refresh();
  }

  #differs(entries) {
    return entries.some((entry) => entry.target.isConnected && Math.abs((this.#heights.get(entry.target.dataset.key) ?? 0) - entry.target.getBoundingClientRect().height) > 0.5);
  }

  /** The arrows go from message to message. */
  #onKey(event) {
    const row = /** @type {HTMLElement | null} */ (document.activeElement?.closest("article.row"));
    if (event.target !== this.port && event.target !== row) return;
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (event.key === "End" || event.key === "Home") {
      event.preventDefault();
      if (event.key === "End") this.toEnd();
      else this.show(keyOf(this.#items[0]));
      return;
    }
    if (!step || this.#items.length === 0) return;
    event.preventDefault();
    const at = row ? (this.#index.get(row.dataset.key) ?? 0) + step : this.#items.length - 1;
    const item = this.#items[at];
    if (!item) return;
    const key = keyOf(item);
    if (!this.#rowOf(key)) this.show(key);
    const next = this.#rowOf(key);
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "nearest" });
  }
}

customElements.define("hr-timeline", Timeline);
