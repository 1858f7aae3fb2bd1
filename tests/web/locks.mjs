// Web Locks (https://w3c.github.io/web-locks/) as far as one exclusive lock of a name goes: queue, signal, steal.

export class Locks {
  /** The channels that were opened, the oldest first: so a test can silence a tab. */
  static channels = new Set();
  static #frozen = new Set();
  static #thawed = Promise.resolve();
  #held = new Map();
  #queues = new Map();

  /** As a frozen page that leads: it says nothing, and what it hears, also of its lock, it hears when it thaws. Returns what thaws it. */
  static freeze(channel) {
    const { onmessage } = channel;
    const heard = [];
    channel.postMessage = () => {};
    channel.onmessage = (event) => heard.push(event);
    const thawing = Promise.withResolvers();
    Locks.#frozen = new Set(navigator.locks.#held.values());
    Locks.#thawed = thawing.promise;
    return () => {
      delete channel.postMessage;
      channel.onmessage = onmessage;
      for (const event of heard) onmessage(event);
      thawing.resolve();
    };
  }

  request(name, options, callback = options) {
    const { steal = false, signal } = typeof options === 'function' ? {} : options;
    return new Promise((resolve, reject) => {
      const one = { callback, resolve, reject };
      const queue = this.#queues.get(name) ?? [];
      this.#queues.set(name, queue);
      if (signal?.aborted) return reject(new DOMException('aborted', 'AbortError'));
      signal?.addEventListener('abort', () => {
        if (!queue.includes(one)) return;
        queue.splice(queue.indexOf(one), 1);
        reject(new DOMException('aborted', 'AbortError'));
      });
      if (steal && this.#held.has(name)) {
        const holder = this.#held.get(name);
        const told = Locks.#frozen.has(holder) ? Locks.#thawed : Promise.resolve();
        void told.then(() => holder.reject(new DOMException('stolen', 'AbortError')));
        this.#held.delete(name);
        queue.unshift(one);
      } else queue.push(one);
      this.#next(name);
    });
  }

  #next(name) {
    if (this.#held.has(name)) return;
    const one = this.#queues.get(name).shift();
    if (!one) return;
    this.#held.set(name, one);
    Promise.resolve()
      .then(() => one.callback({ name }))
      .then(one.resolve, one.reject)
      .finally(() => {
        if (this.#held.get(name) !== one) return;
        this.#held.delete(name);
        this.#next(name);
      });
  }
}

const { BroadcastChannel } = globalThis;
globalThis.BroadcastChannel = class extends BroadcastChannel {
  constructor(name) {
    super(name);
    Locks.channels.add(this);
  }

  close() {
    Locks.channels.delete(this);
    super.close();
  }
};
