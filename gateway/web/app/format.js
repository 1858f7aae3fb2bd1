/** Times, sizes, initials and colours, as people read them. Pure. */

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const longDay = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const yearDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const shortDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

const DAY_MS = 86_400_000;

export const time = (at) => clock.format(new Date(at));
export const full = (at) => whole.format(new Date(at));

/** A date: 3 March 2026. */
export const date = (at) => yearDay.format(new Date(at));

/** Midnight of a moment's day, as a number that tells days apart. */
export function dayOf(at) {
  const date = new Date(at);
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

function daysAgo(at, now = Date.now()) {
  return Math.round((dayOf(now) - dayOf(at)) / DAY_MS);
}

/** The line between days: Today, Yesterday, Monday 3 March. */
export function day(at) {
  const ago = daysAgo(at);
  if (ago === 0) return "Today";
  if (ago === 1) return "Yesterday";
  return ago < 300 ? longDay.format(new Date(at)) : yearDay.format(new Date(at));
}

/** For lists: the time today, the day this week, else the date. */
export function brief(at) {
  const ago = daysAgo(at);
  if (ago <= 0) return time(at);
  if (ago === 1) return "Yesterday";
  return ago < 7 ? weekday.format(new Date(at)) : shortDay.format(new Date(at));
}

/** How long ago: "5 min ago". */
export function ago(at, now = Date.now()) {
  const seconds = Math.max(0, (now - new Date(at).getTime()) / 1000);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return brief(at);
}

export function bytes(size) {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${size < 10 && unit > 0 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

/** One or two letters for a picture of somebody who has none. */
export function initials(name) {
  const bare = name.trim();
  const words = bare.split(/\s/u.test(bare) ? /\s+/u : /[._-]+/u).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return letters.map((word) => /[\p{L}\p{N}]/u.exec(word)?.[0].toLocaleUpperCase() ?? "").join("") || "?";
}

/** One of twelve hues, always the same for an id. */
export function hue(id) {
  let hash = 2166136261;
  for (let at = 0; at < id.length; at += 1) hash = Math.imul(hash ^ id.charCodeAt(at), 16777619);
  return (hash >>> 0) % 12;
}

export const count = (many, one, more = `${one}s`) => `${many} ${many === 1 ? one : more}`;

/** "Ana", "Ana and Ben", "Ana, Ben and 3 more". */
export function names(list) {
  if (list.length <= 1) return list[0] ?? "";
  if (list.length <= 3) return `${list.slice(0, -1).join(", ")} and ${list[list.length - 1]}`;
  return `${list.slice(0, 2).join(", ")} and ${list.length - 2} more`;
}
