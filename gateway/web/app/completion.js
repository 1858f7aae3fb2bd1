/** Completion of @names and :emoji: in a text box: a list that follows what is typed. */

import { fill, h } from "./dom.js";
import { findEmoji } from "./emoji.js";
import { avatar } from "./avatar.js";

const WORD = /(?:^|[\s(])([@:])([\p{L}\p{N}_.+-]{0,32})$/u;

export class Completion {
  #box;
  #list;
  #candidates;
  #found = [];
  #at = 0;
  #from = 0;

  /**
   * @param {HTMLTextAreaElement} box
   * @param {HTMLElement} list where the offers are shown
   * @param {(query: string) => {name: string, label: string, userId: string | null}[]} candidates who can be mentioned
   */
  constructor(box, list, candidates) {
    this.#box = box;
    this.#list = list;
    this.#candidates = candidates;
    list.hidden = true;
    box.addEventListener("input", () => this.#look());
    box.addEventListener("blur", () => setTimeout(() => this.close(), 150));
  }

  get open() {
    return !this.#list.hidden;
  }

  close() {
    this.#list.hidden = true;
    this.#box.removeAttribute("aria-activedescendant");
  }

  /** Take a key; whether it was for the list. */
  key(event) {
    if (!this.open) return false;
    const many = this.#found.length;
    if (event.key === "ArrowDown") this.#at = (this.#at + 1) % many;
    else if (event.key === "ArrowUp") this.#at = (this.#at - 1 + many) % many;
    else if (event.key === "Enter" || event.key === "Tab") this.#choose(this.#at);
    else if (event.key === "Escape") this.close();
    else return false;
    event.preventDefault();
    event.stopPropagation();
    if (this.open) this.#mark();
    return true;
  }

  #look() {
    const before = this.#box.value.slice(0, this.#box.selectionStart);
    const match = WORD.exec(before);
    const [, sign, query] = match ?? [];
    if (!match || (sign === ":" && query.length < 2)) return this.close();
    this.#from = before.length - query.length - 1;
    this.#found =
      sign === "@"
        ? this.#candidates(query.toLowerCase()).map((one) => ({ text: `@${one.name} `, label: one.label, note: `@${one.name}`, userId: one.userId, emoji: null }))
        : findEmoji(query).map((one) => ({ text: `${one.emoji} `, label: `:${one.names[0]}:`, note: "", userId: null, emoji: one.emoji }));
    if (this.#found.length === 0) return this.close();
    this.#at = 0;
    const id = this.#list.id;
    fill(this.#list, this.#found.map((one, at) => h("div", { role: "option", id: `${id}-${at}`, class: "offer", onpointerdown: (event) => this.#press(event, at) }, one.emoji ? h("span", { class: "emoji" }, one.emoji) : one.userId ? avatar(one.userId, { size: "tiny" }) : h("span", { class: "avatar tiny group hue-0" }, "@"), h("span", { dir: "auto" }, one.label), one.note ? h("span", { class: "quiet" }, one.note) : null)));
    this.#list.hidden = false;
    this.#mark();
  }

  #press(event, at) {
    event.preventDefault();
    this.#choose(at);
  }

  #mark() {
    [...this.#list.children].forEach((one, at) => one.setAttribute("aria-selected", String(at === this.#at)));
    this.#list.children[this.#at]?.scrollIntoView({ block: "nearest" });
    this.#box.setAttribute("aria-activedescendant", `${this.#list.id}-${this.#at}`);
  }

  #choose(at) {
    const { text } = this.#found[at];
    const end = this.#box.selectionStart;
    this.#box.setRangeText(text, this.#from, end, "end");
    this.close();
    this.#box.dispatchEvent(new Event("input", { bubbles: true }));
  }
}
