/**
 * How long to wait before trying again: full jitter, so that many clients that lost the same server come back spread out.
 * Source: Marc Brooker, “Exponential Backoff And Jitter”, AWS Architecture Blog, 2015.
 */

/** @import {Random} from './types.js' */

export const RECONNECT_BASE_MS = 500;
export const RECONNECT_CAP_MS = 20_000;

/**
 * Milliseconds before try number `failures` + 1. A server's hint is a floor, and the jitter comes on top of it.
 *
 * @param {number} failures
 * @param {Random} random
 * @param {number} [retryAfterMs]
 */
export const reconnectDelay = (failures, random, retryAfterMs = 0) =>
  retryAfterMs + random() * Math.min(RECONNECT_CAP_MS, RECONNECT_BASE_MS * 2 ** failures);

/**
 * Between the time and a quarter more: for deadlines that must not be early.
 *
 * @param {number} ms
 * @param {Random} random
 */
export const jittered = (ms, random) => ms * (1 + random() / 4);
