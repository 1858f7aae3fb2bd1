/** Who is there. What is on screen is subscribed to; the rest is not known. */

const MOST = 200;

export class Presence extends EventTarget {
  #wanted = new Set();
  #client = null;

  open(client) {
    this.#client = client;
    this.#wanted.clear();
    client.addEventListener("ephemeral", (event) => {
      if (event.detail.event === "presence") this.dispatchEvent(new CustomEvent("changed", { detail: event.detail.data.user_id }));
    });
  }

  /** "online", "away", "busy" or "offline". */
  of(userId) {
    if (this.#client?.link !== "connected") return "offline";
    return this.#client.view.presence.get(userId)?.status ?? "offline";
  }

  /** Follow these people, and nobody else. */
  follow(userIds) {
    const wanted = new Set([...userIds].filter(Boolean).slice(0, MOST));
    const fresh = [...wanted].filter((id) => !this.#wanted.has(id));
    const left = [...this.#wanted].filter((id) => !wanted.has(id));
    this.#wanted = wanted;
    if (left.length > 0) this.#client?.unsubscribePresence(left);
    if (fresh.length > 0) this.#client?.subscribePresence(fresh);
  }
}
