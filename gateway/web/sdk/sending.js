/** A message, or a change, on its way. */

import { ApiError, Stopped } from './errors.js';

/** @import {ErrorBody, Message, Row} from './types.js' */

/** What `Client.send`, `edit`, `remove` and `react` return. Nobody has to await it; a failure is also in `state` and `error`. */
export class Sending {
  /** @type {'sending' | 'accepted' | 'stored' | 'failed'} */
  state = 'sending';
  /** @type {ErrorBody | null} */
  error = null;
  /** When the server has it; it is not stored yet. Rejects with `ApiError` if it is refused. @type {Promise<void>} */
  accepted = Promise.resolve();
  /** The message as it is stored. Rejects with `ApiError` if it is refused. @type {Promise<Message>} */
  stored = Promise.resolve(/** @type {any} */ (null));
  #accept = () => {};
  #store = (/** @type {Message} */ _message) => {};
  #fail = (/** @type {Error} */ _error) => {};

  /** @param {Row} row */
  constructor(row) {
    this.row = row;
    this.id = this.clientMsgId = row.id;
    this.user = row.user;
    this.conversationId = row.conversationId;
    this.kind = row.kind;
    this.frame = row.frame;
    this.createdAt = row.createdAt;
    this.attachments = row.attachments;
    this.again();
    if (row.error) this.become('failed', { error: row.error });
  }

  /** On its way, perhaps again. */
  again() {
    this.state = 'sending';
    this.error = null;
    this.accepted = new Promise((resolve, reject) => {
      this.#accept = resolve;
      this.#fail = reject;
    });
    const { accepted } = this;
    this.stored = new Promise((resolve, reject) => {
      this.#store = resolve;
      accepted.catch(reject);
      const failed = this.#fail;
      this.#fail = (error) => (failed(error), reject(error));
    });
    this.accepted.catch(() => {});
    this.stored.catch(() => {});
  }

  /**
   * @param {Sending['state']} state
   * @param {{error?: ErrorBody | null, message?: Message | null}} [outcome]
   */
  become(state, { error = null, message = null } = {}) {
    if (this.state === 'stored' || (this.state === 'failed' && state !== 'stored')) return;
    this.state = state;
    this.error = error;
    if (error) this.#fail(new ApiError(0, error));
    else this.#accept();
    if (message) this.#store(message);
  }

  /** Nobody will hear what becomes of it. @param {Stopped} why */
  stop(why) {
    this.#fail(why);
  }
}
