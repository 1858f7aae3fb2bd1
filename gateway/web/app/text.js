/** What somebody wrote, as nodes: links, mentions and code; never markup. */

import { h } from "./dom.js";

const TOKENS = /```\n?([\s\S]+?)\n?```\n?|`([^`\n]+)`|(https?:\/\/[^\s<>"]+)|(^|[\s(])@([A-Za-z0-9][A-Za-z0-9_.-]{0,31})/gu;
const TRAILING = /[.,;:!?'")\]}]+$/;
const ONLY_EMOJI = /^(?:\p{RGI_Emoji}|\s)+$/v;

/**
 * @param {string} text
 * @param {(username: string) => "me" | "member" | null} mentioned whom a word after @ names
 * @returns {(Node | string)[]}
 */
export function rich(text, mentioned) {
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(TOKENS)) {
    const [whole, block, inline, url, before, name] = match;
    const node = block !== undefined ? h("pre", null, h("code", null, block)) : inline !== undefined ? h("code", null, inline) : null;
    if (node) {
      nodes.push(text.slice(from, match.index), node);
      from = match.index + whole.length;
    } else if (url) {
      const shown = trimmed(url);
      nodes.push(text.slice(from, match.index), link(shown));
      from = match.index + shown.length;
    } else if (name) {
      const word = name.replace(/[.-]+$/, "");
      const who = mentioned(word.toLowerCase());
      if (!who) continue;
      const at = match.index + before.length;
      nodes.push(text.slice(from, at), h("span", { class: who === "me" ? "mention me" : "mention" }, `@${word}`));
      from = at + 1 + word.length;
    }
  }
  nodes.push(text.slice(from));
  return nodes.filter((node) => node !== "");
}

/** A sentence's dot is not the link's; a bracket is, if it was opened there. */
function trimmed(url) {
  let shown = url.replace(TRAILING, "");
  if (shown.includes("(") && !shown.includes(")") && url[shown.length] === ")") shown += ")";
  return shown;
}

function link(url) {
  if (!URL.canParse(url)) return url;
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer nofollow" }, url);
}

/** How many emoji a text is made of, if of nothing else; 0: there is more. */
export function emojiAlone(text) {
  const bare = text.trim();
  if (!bare || bare.length > 40 || !ONLY_EMOJI.test(bare)) return 0;
  return [...new Intl.Segmenter().segment(bare.replace(/\s/gu, ""))].length;
}

/** Those whom a text names, as the wire wants them: ids, and "all". */
export function mentionsOf(text, members, nameOf, mayAll) {
  const found = new Set();
  const byName = new Map(members.map((id) => [nameOf(id), id]));
  for (const match of text.matchAll(/(^|[\s(])@([A-Za-z0-9][A-Za-z0-9_.-]{0,31})/gu)) {
    const word = match[2].replace(/[.-]+$/, "").toLowerCase();
    if (word === "all" && mayAll) found.add("all");
    else if (byName.has(word)) found.add(byName.get(word));
  }
  return [...found];
}
