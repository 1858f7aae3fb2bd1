/** Who somebody is: asked for once, kept on this device for reading offline. */

const KEEP = 1000;
const AT_ONCE = 4;
const AGAIN_MS = 5000;
const FRESH_MS = 3_600_000;

export class People extends EventTarget {
  #known = new Map();
  #wanted = new Set();
  #asking = 0;
  #asked = new Map();
  #api = null;
  #place = "";
  #saving = 0;

  /** Begin with what this device knows. */
  open(api, userId) {
    this.#api = api;
    this.#place = `headrace.people.${userId}`;
    this.#known = new Map();
    this.#wanted.clear();
    this.#asked.clear();
    try {
      for (const user of JSON.parse(localStorage.getItem(this.#place) ?? "[]")) this.#known.set(user.user_id, user);
    } catch {
      localStorage.removeItem(this.#place);
    }
  }

  forget() {
    if (this.#place) localStorage.removeItem(this.#place);
    clearTimeout(this.#saving);
    this.#api = null;
    this.#known = new Map();
    this.#wanted.clear();
  }

  /** What is known of somebody; who is not known is asked for, and `changed` tells. */
  get(userId) {
    const user = this.#known.get(userId);
    if (!user || Date.now() - (user.at ?? 0) > FRESH_MS) this.#want(userId);
    return user ?? null;
  }

  name(userId) {
    return this.get(userId)?.display_name ?? "…";
  }

  /** Take in people whom an answer named. */
  learn(users) {
    if (!this.#api) return; // an answer that came when they had left
    let changed = false;
    for (const user of users) {
      const before = this.#known.get(user.user_id);
      changed ||= before?.display_name !== user.display_name;
      this.#known.set(user.user_id, { ...user, at: Date.now() });
    }
    if (changed) this.dispatchEvent(new Event("changed"));
    this.#save();
  }

  /** Everybody who is known here. */
  all() {
    return [...this.#known.values()];
  }

  #want(userId) {
    if (!userId || !this.#api || this.#wanted.has(userId) || Date.now() - (this.#asked.get(userId) ?? 0) < AGAIN_MS) return;
    this.#asked.set(userId, Date.now());
    this.#wanted.add(userId);
    queueMicrotask(() => this.#ask());
  }

  #ask() {
    while (this.#asking < AT_ONCE && this.#wanted.size > 0) {
      const [userId] = this.#wanted;
      this.#wanted.delete(userId);
      this.#asking += 1;
      const known = this.#known;
      // An answer is for whoever asked.
      const learn = (users) => this.#known === known && this.learn(users);
      this.#api
        .getUser(userId)
        .then((user) => learn([user]))
        .catch((error) => {
          // Somebody erased has no name any more; whatever else went wrong is tried again when somebody looks.
          if (error?.status === 404) learn([{ user_id: userId, username: "", display_name: "Somebody who left" }]);
        })
        .finally(() => {
          this.#asking -= 1;
          this.#ask();
        });
    }
  }

  #save() {
    clearTimeout(this.#saving);
    this.#saving = setTimeout(() => {
      try {
        localStorage.setItem(this.#place, JSON.stringify([...this.#known.values()].slice(-KEEP)));
      } catch {
        // No room: names are asked for again.
      }
    }, 500);
  }
}
