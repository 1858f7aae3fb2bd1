/** One request over HTTP: JSON in, JSON out; what the server refuses and what nobody knows are told apart. */

import { ApiError, Unreachable } from './errors.js';

/** How long an answer is waited for: a server that hangs must not hold up what asks again by itself. */
export const PATIENCE_MS = 30_000;

/**
 * @typedef {object} Options
 * @property {any} [body] sent as JSON; a Blob as it is
 * @property {Record<string, string | number | boolean | null | undefined>} [query]
 * @property {string} [key] the same request with the same key is done once
 * @property {AbortSignal} [signal]
 * @property {number} [patienceMs] how long the answer is waited for
 * @property {string} [accept]
 * @property {string} [token]
 */

/**
 * @param {typeof globalThis.fetch} fetch
 * @param {string} url
 * @param {string} method
 * @param {Options} options
 * @returns {Promise<{status: number, result: any}>}
 */
export async function ask(fetch, url, method, { body, query = {}, key, signal, patienceMs = PATIENCE_MS, accept = 'application/json', token }) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  const search = given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : '';
  /** @type {Record<string, string>} */
  const headers = { Accept: accept, 'X-Headrace-Client': 'web' };
  const raw = globalThis.Blob && body instanceof Blob;
  if (body !== undefined) headers['Content-Type'] = raw ? body.type || 'application/octet-stream' : 'application/json';
  if (token) headers['Authorization'] = `Bearer ${token}`;
  if (key) headers['Idempotency-Key'] = key;
  try {
    const limit = signal ?? (raw ? null : AbortSignal.timeout(patienceMs)); // a file takes as long as it takes
    const init = { method, headers, body: raw || body === undefined ? body : JSON.stringify(body), signal: limit };
    const answer = await fetch(url + search, init);
    return { status: answer.status, result: read(answer.status, await answer.text(), answer.headers.get('Retry-After')) };
  } catch (failure) {
    if (failure instanceof ApiError || signal?.aborted) throw failure;
    throw new Unreachable(`${method} ${url}: ${failure}`);
  }
}

/**
 * What an answer says.
 *
 * @param {number} status
 * @param {string} text
 * @param {string | null} [retryAfter] in seconds
 */
export function read(status, text, retryAfter) {
  const result = text ? JSON.parse(text) : null;
  if (status < 400) return result;
  if (typeof result?.code !== 'string') throw new Error(`status ${status} without a code`);
  const { code, detail, title, temporary, retry_after_ms = Number(retryAfter ?? 0) * 1000 } = result;
  throw new ApiError(status, { code, message: detail ?? title ?? code, temporary: temporary ?? status >= 500, retry_after_ms });
}
