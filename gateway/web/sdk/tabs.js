/**
 * Which of several tabs leads, and how they talk: Web Locks elects, a BroadcastChannel carries. The lock goes with its tab, so another
 * takes over at once; a leader that lives and is silent (a frozen page of a phone) has it taken away.
 */

/** A visible follower looks whether the leader is there. */
const LOOK_MS = 2000;

/**
 * @typedef {object} Roles
 * @property {() => void} lead this tab leads from now on
 * @property {() => void} depose it does not any more
 * @property {(message: any) => void} hear what another tab posted
 */

/** Whether tabs can find each other here. */
export const tabsAvailable = () => Boolean(globalThis.navigator?.locks && globalThis.BroadcastChannel && globalThis.document);

export class Tabs {
  /** This one. */
  id = crypto.randomUUID();
  leads = false;
  #name;
  #roles;
  #channel;
  #closing = new AbortController();
  #release = () => {};
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  #silent = 0;

  /** @param {string} name of the group @param {Roles} roles */
  constructor(name, roles) {
    this.#name = name;
    this.#roles = roles;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#heard(data);
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#elect(false);
  }

  /** @param {any} message to all other tabs, which hear `from` whom it is */
  post(message) {
    this.#channel.postMessage({ ...message, from: this.id });
  }

  close() {
    clearInterval(this.#timer);
    this.#closing.abort();
    this.#release();
    this.#channel.close();
  }

  /** @param {boolean} steal */
  #elect(steal) {
    const lead = () => {
      if (this.#closing.signal.aborted) return undefined;
      this.leads = true;
      this.post({ here: true });
      this.#roles.lead();
      return new Promise((resolve) => (this.#release = () => resolve(null)));
    };
    const options = steal ? { steal } : { signal: this.#closing.signal };
    navigator.locks.request(this.#name, options, lead).catch(() => {
      if (this.#closing.signal.aborted || !this.leads) return;
      this.leads = false; // it was taken away
      this.#roles.depose();
      this.#elect(false);
    });
  }

  /** @param {any} message */
  #heard(message) {
    if (message.there) {
      if (this.leads) this.post({ here: true });
    } else {
      this.#silent = 0;
      this.#roles.hear(message);
    }
  }

  #look() {
    if (this.leads || document.visibilityState !== 'visible') return;
    this.#silent += 1;
    if (this.#silent > 2) {
      this.#silent = 0;
      this.#elect(true);
    } else this.post({ there: true });
  }
}
