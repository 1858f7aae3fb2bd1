/** One's account and this device: name, theme, notifications, password, sessions, people blocked. */

import { avatar } from "./avatar.js";
import { block } from "./details.js";
import { fill, h } from "./dom.js";
import { ago, full } from "./format.js";
import { icon } from "./icons.js";
import { askToNotify } from "./notify.js";
import { attempt, confirm, dialog, sentence, toast } from "./overlay.js";
import { notifies, setNotifies, setTheme, theme } from "./prefs.js";
import { state } from "./state.js";

export function openSettings() {
  if (document.querySelector(".dialog")) return;
  dialog("Settings", [profile(), appearance(), notifications(), password(), sessions(), blocked(), signOut()], { class: "settings" });
}

function section(title, ...content) {
  return h("section", null, h("h3", { class: "label" }, title), h("div", { class: "card" }, content));
}

function profile() {
  const name = h("input", { class: "field", ".value": state.user.display_name, "aria-label": "Display name", maxlength: "80", required: true, dir: "auto", autocomplete: "name" });
  const submit = async (event) => {
    event.preventDefault();
    await attempt(async () => {
      const me = await state.api.changeMe({ display_name: name.value.trim() });
      state.user.display_name = me.display_name;
      state.people.learn([{ user_id: me.user_id, username: me.username, display_name: me.display_name }]);
      state.tell("me");
      toast("Your name is changed");
    });
  };
  return section("Profile", h("div", { class: "profile" }, avatar(state.user.user_id, { size: "large" }), h("form", { class: "inline-form", onsubmit: submit }, h("label", { class: "row-field" }, h("span", { class: "quiet" }, `Display name · @${state.user.username}`), name), h("button", { class: "button" }, "Save"))));
}

function appearance() {
  const choice = (value, label) => h("label", { class: "segment" }, h("input", { type: "radio", name: "theme", value, ".checked": theme() === value, onchange: () => setTheme(value) }), h("span", null, label));
  return section("Appearance", h("div", { class: "segments", role: "radiogroup", "aria-label": "Theme" }, choice("system", "System"), choice("light", "Light"), choice("dark", "Dark")));
}

function notifications() {
  const note = h("p", { class: "quiet" });
  const said = () => {
    note.textContent = globalThis.Notification?.permission === "denied" ? "Your browser does not allow notifications here; its settings for this page can." : "When this window is not in front. Muted conversations stay silent.";
  };
  const change = async (event) => {
    const box = event.currentTarget;
    const on = box.checked && (await askToNotify());
    setNotifies(on);
    box.checked = on;
    said();
  };
  said();
  return section("Notifications", h("label", { class: "switch-row" }, h("span", null, h("span", null, "Notify me of new messages"), note), h("input", { type: "checkbox", class: "switch", role: "switch", ".checked": notifies() && globalThis.Notification?.permission === "granted", onchange: change })));
}

function password() {
  const current = h("input", { class: "field", type: "password", placeholder: "Current password", "aria-label": "Current password", autocomplete: "current-password", required: true });
  const next = h("input", { class: "field", type: "password", placeholder: "New password", "aria-label": "New password", autocomplete: "new-password", required: true });
  const wrong = h("p", { class: "problem", role: "alert", hidden: true });
  const submit = async (event) => {
    event.preventDefault();
    wrong.hidden = true;
    try {
      await state.api.changePassword(current.value, next.value);
      form.reset();
      toast("Your password is changed; your other sessions have ended");
    } catch (error) {
      wrong.textContent = sentence(error);
      wrong.hidden = false;
    }
  };
  const form = h("form", { class: "form", onsubmit: submit }, h("input", { type: "text", autocomplete: "username", ".value": state.user.username, hidden: true, "aria-hidden": "true" }), current, next, wrong, h("div", { class: "buttons" }, h("button", { class: "button" }, "Change password")));
  return section("Password", form);
}

function sessions() {
  const list = h("ul", { class: "sessions" }, h("li", { class: "quiet" }, "…"));
  const load = async () => {
    try {
      const answer = await state.api.sessions();
      fill(list, (answer.items ?? answer).map((one) => h("li", { class: "session" }, h("span", { class: "person-text" }, h("span", { dir: "auto" }, one.device || "Unnamed device", one.current ? h("span", { class: "role" }, "this one") : null), h("span", { class: "quiet", title: full(one.seen_at) }, [ago(one.seen_at), one.address].filter(Boolean).join(" · "))), one.current ? null : h("button", { type: "button", class: "button small", "aria-label": `End the session of ${one.device || "an unnamed device"}`, onclick: () => void attempt(() => state.api.endSession(one.session_id)).then(load) }, "End"))));
    } catch (error) {
      fill(list, h("li", { class: "quiet" }, sentence(error)));
    }
  };
  void load();
  return section("Sessions", list);
}

function blocked() {
  const ids = [...(state.view.blocked ?? [])];
  if (ids.length === 0) return null;
  return section("Blocked", h("ul", { class: "sessions" }, ids.map((id) => h("li", { class: "session" }, avatar(id, { size: "small" }), h("span", { class: "person-text", dir: "auto" }, state.people.name(id)), h("button", { type: "button", class: "button small", onclick: (event) => void block(id, false).then(() => event.target.closest("li").remove()) }, "Unblock")))));
}

function signOut() {
  const end = async (everywhere) => {
    if (everywhere && !(await confirm("Sign out everywhere?", "All your sessions end, on every device.", "Sign out everywhere"))) return;
    state.tell("sign-out", { everywhere });
  };
  return h("div", { class: "buttons spread" }, h("button", { type: "button", class: "button", onclick: () => void end(false) }, icon("leave"), "Sign out"), h("button", { type: "button", class: "button danger", onclick: () => void end(true) }, "Sign out everywhere"));
}
