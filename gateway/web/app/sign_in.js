/** The door: sign in, or make an account. What the server says against it is shown as it is. */

import { Part, fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { sentence } from "./overlay.js";
import { deviceName } from "./prefs.js";
import { state } from "./state.js";

export class SignIn extends Part {
  /** Called with the user. @type {(user: any) => void} */ ondone = () => {};
  /** Why one is here again. */ note = "";
  #fresh = false;

  start() {
    this.#draw();
  }

  #draw() {
    const fresh = this.#fresh;
    this.username = h("input", { class: "field", name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true, autofocus: true });
    this.display = h("input", { class: "field", name: "name", autocomplete: "name", maxlength: "80", dir: "auto" });
    this.password = h("input", { class: "field", name: "password", type: "password", autocomplete: fresh ? "new-password" : "current-password", required: true });
    this.problem = h("p", { class: "problem", role: "alert", hidden: true });
    this.submit = h("button", { class: "button primary wide" }, fresh ? "Create account" : "Sign in");
    const field = (label, input, hint) => h("label", { class: "row-field" }, h("span", null, label, hint ? h("span", { class: "quiet" }, ` ${hint}`) : null), input);
    fill(
      this,
      h(
        "main",
        { class: "door" },
        h("div", { class: "mark", "aria-hidden": "true" }, icon("wave")),
        h("h1", null, fresh ? "Create your account" : "Welcome back"),
        h("p", { class: "quiet" }, fresh ? "Messages that arrive: once, and in order." : "Sign in to Headrace."),
        this.note ? h("p", { class: "note", role: "status" }, this.note) : null,
        h("form", { class: "form", onsubmit: (event) => void this.#enter(event) }, field("Username", this.username), fresh ? field("Display name", this.display, "(optional)") : null, field("Password", this.password), this.problem, this.submit),
        h("p", { class: "quiet" }, fresh ? "You have an account?" : "New here?", " ", h("button", { type: "button", class: "link", onclick: () => this.#turn() }, fresh ? "Sign in" : "Create an account")),
      ),
    );
    this.username.focus();
  }

  #turn() {
    const { value } = this.username;
    this.#fresh = !this.#fresh;
    this.note = "";
    this.#draw();
    this.username.value = value;
  }

  async #enter(event) {
    event.preventDefault();
    this.problem.hidden = true;
    this.submit.disabled = true;
    const named = { username: this.username.value.trim(), password: this.password.value, device: deviceName() };
    try {
      const user = this.#fresh ? await state.api.register({ ...named, displayName: this.display.value.trim() || undefined }) : await state.api.login(named);
      this.ondone(user?.user ?? user ?? state.api.user);
    } catch (error) {
      this.problem.textContent = sentence(error);
      this.problem.hidden = false;
      this.submit.disabled = false;
      this.password.select();
    }
  }
}

customElements.define("hr-sign-in", SignIn);
