/** What this SDK throws. */

/** @import {ErrorBody} from './types.js' */

/** The server refused. */
export class ApiError extends Error {
  name = 'ApiError';

  /**
   * @param {number} status of HTTP; 0 where it came over the socket
   * @param {ErrorBody} body
   */
  constructor(status, body) {
    super(body.message || body.code);
    this.status = status;
    this.code = body.code;
    /** Whether the same may succeed later. */
    this.temporary = body.temporary ?? false;
    this.retryAfterMs = body.retry_after_ms ?? 0;
  }
}

/** Nobody knows what happened: no answer, or none of the server's. Doing the same again with the same key is safe. */
export class Unreachable extends Error {
  name = 'Unreachable';
}

/** The client has ended. */
export class Stopped extends Error {
  name = 'Stopped';

  /**
   * @param {string} why
   * @param {number | null} [code] the close code, if there was one
   */
  constructor(why, code = null) {
    super(why);
    this.code = code;
  }
}

/** Too many messages wait already. */
export class OutboxFull extends Error {
  name = 'OutboxFull';
}
