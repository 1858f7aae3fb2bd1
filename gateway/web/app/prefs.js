/** Settings of this device: the theme, whether to notify. They are no secrets and belong to no account. */

const read = (name) => {
  try {
    return localStorage.getItem(`headrace.${name}`);
  } catch {
    return null;
  }
};

const write = (name, value) => {
  try {
    if (value === null) localStorage.removeItem(`headrace.${name}`);
    else localStorage.setItem(`headrace.${name}`, value);
  } catch {
    // Storage is shut: it holds until the window closes.
  }
};

/** "system", "light" or "dark". */
export const theme = () => read("theme") ?? "system";

export function setTheme(value) {
  write("theme", value === "system" ? null : value);
  if (value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
}

export const notifies = () => read("notify") === "on";
export const setNotifies = (on) => write("notify", on ? "on" : null);

/** The emoji that were chosen last, newest first. */
export const recentEmoji = () => (read("emoji") ?? "").split(" ").filter(Boolean);
export const useEmoji = (emoji) => write("emoji", [emoji, ...recentEmoji().filter((one) => one !== emoji)].slice(0, 16).join(" "));

/** This device, as the protocol wants it: one id for as long as storage lives. */
export function deviceId() {
  const known = read("device");
  if (known) return known;
  const made = crypto.randomUUID();
  write("device", made);
  return made;
}

/** What this device is called in the list of sessions. */
export function deviceName() {
  const agent = navigator.userAgent;
  const browser = ["Edg", "OPR", "Firefox", "Chrome", "Safari"].find((one) => agent.includes(one)) ?? "Browser";
  const system = ["Android", "iPhone", "iPad", "Windows", "Mac OS", "CrOS", "Linux"].find((one) => agent.includes(one));
  const named = { Edg: "Edge", OPR: "Opera" }[browser] ?? browser;
  return system ? `${named} on ${system === "CrOS" ? "ChromeOS" : system}` : named;
}
