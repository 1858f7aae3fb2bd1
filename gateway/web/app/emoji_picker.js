/** A picker for emoji: those of late, then all, or those that are searched for. */

import { composes, fill, h } from "./dom.js";
import { EMOJI, QUICK, findEmoji, nameOfEmoji } from "./emoji.js";
import { popover } from "./overlay.js";
import { recentEmoji, useEmoji } from "./prefs.js";

const COLUMNS = 8;

/** Ask for an emoji beside an element. */
export function pickEmoji(anchor, chosen) {
  const grid = h("div", { class: "emoji-grid", role: "group", "aria-label": "Emoji" });
  const search = h("input", { type: "search", class: "field", placeholder: "Search emoji", "aria-label": "Search emoji", autocomplete: "off" });
  const choose = (emoji) => {
    useEmoji(emoji);
    box.hidePopover();
    chosen(emoji);
  };
  const show = () => {
    const query = search.value.trim().replace(/^:|:$/g, "");
    const recent = [...new Set([...recentEmoji(), ...QUICK])].slice(0, COLUMNS * 2);
    const found = query ? findEmoji(query, 64).map((one) => one.emoji) : [...new Set([...recent, ...EMOJI.map((one) => one.emoji)])];
    fill(grid, found.map((emoji, at) => h("button", { type: "button", class: "emoji", "aria-label": nameOfEmoji(emoji), tabindex: at === 0 ? "0" : "-1", onclick: () => choose(emoji) }, emoji)));
    if (found.length === 0) fill(grid, h("p", { class: "quiet" }, "None by that name."));
  };
  search.addEventListener("input", show);
  search.addEventListener("keydown", (event) => {
    if (composes(event)) return;
    const first = grid.querySelector("button");
    if (event.key === "Enter" && first) first.click();
    else if (event.key === "ArrowDown" && first) first.focus();
    else return;
    event.preventDefault();
  });
  grid.addEventListener("keydown", (event) => move(event, grid, search));
  show();
  const box = popover(anchor, h("div", { class: "emoji-picker" }, search, grid), { label: "Choose an emoji" });
  search.focus();
}

function move(event, grid, search) {
  const all = [...grid.querySelectorAll("button")];
  const at = all.indexOf(document.activeElement);
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: COLUMNS, ArrowUp: -COLUMNS }[event.key];
  if (at < 0 || step === undefined) return;
  event.preventDefault();
  if (at + step < 0) search.focus();
  else if (all[at + step]) {
    all[at].tabIndex = -1;
    all[at + step].tabIndex = 0;
    all[at + step].focus();
  }
}
