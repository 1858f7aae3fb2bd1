/**
 * A file on its way up: announce, form to the object store (or through the gateway where that can not be reached), complete.
 *
 * Whatever fails for a moment is done again from the announcement on, until nothing has moved for a while. With the same `key` it goes
 * on in a later run, and sends nothing if the file is there.
 */

import { reconnectDelay } from './backoff.js';
import { ApiError, Unreachable } from './errors.js';
import { read } from './http.js';

/** @import {Attachment} from './types.js' */

/**
 * @typedef {object} UploadOptions
 * @property {string} [name]
 * @property {string} [contentType]
 * @property {string} [key]
 * @property {(sent: number, total: number) => void} [onProgress] with numbers that only rise
 * @property {AbortSignal} [signal]
 * @property {number} [patienceMs] how long to go on without getting any further
 *
 * @typedef {Pick<import('./api.js').Api, 'url' | 'token' | 'answer' | 'request'>} Asked
 */

/** Larger files are not read for their SHA-256: it would have to be in memory as a whole. */
const DIGESTED_BYTES = 64 * 2 ** 20;
/** Tries in a row of which none came further than one before. */
const MOST_TRIES = 20;

/**
 * @param {Asked} api
 * @param {Blob} file
 * @param {UploadOptions} [options]
 * @returns {Promise<Attachment>}
 */
export async function upload(api, file, { name, contentType, key = crypto.randomUUID(), onProgress, signal, patienceMs = 120_000 } = {}) {
  if (!file.size) throw new RangeError('an empty file can not be sent');
  const named = name ?? (/** @type {Partial<File>} */ (file).name || 'file');
  const body = {
    name: named,
    content_type: contentType || file.type || 'application/octet-stream',
    size: file.size,
    sha256: await digest(file),
  };
  let most = 0;
  let failures = 0;
  let refusals = 0;
  let until = Date.now() + patienceMs;
  const told = (/** @type {number} */ sent) => {
    sent = Math.min(sent, file.size);
    if (sent > 0) until = Date.now() + patienceMs; // it moves, if not yet further than an earlier try came
    if (sent <= most) return;
    most = sent;
    failures = refusals = 0;
    onProgress?.(sent, file.size);
  };
  for (;;) {
    try {
      const attachment = await once(api, file, body, key, told, signal);
      told(file.size);
      return attachment;
    } catch (failure) {
      const refused = failure instanceof ApiError ? failure : null;
      if (!refused && !(failure instanceof Unreachable)) throw failure;
      if (refused?.code === 'upload_refused') refusals += 1; // the form may just have expired: once more with a fresh one
      else if (refused && (!refused.temporary || refused.code === 'scanner_unavailable')) throw failure;
      const delay = reconnectDelay(failures, Math.random, refused?.retryAfterMs);
      failures += 1;
      if (refusals > 1 || failures > MOST_TRIES || Date.now() + delay > until) throw failure;
      await pause(delay, signal);
    }
  }
}

/**
 * @param {Asked} api
 * @param {Blob} file
 * @param {object} body
 * @param {string} key
 * @param {(sent: number) => void} told
 * @param {AbortSignal} [signal]
 * @returns {Promise<Attachment>}
 */
async function once(api, file, body, key, told, signal) {
  const options = signal ? { signal } : {};
  const { status, result } = await api.answer('POST', '/api/attachments', { ...options, body, key });
  const { attachment, upload: form } = result;
  if (!form) return attachment;
  const path = `/api/attachments/${encodeURIComponent(attachment.attachment_id)}`;
  const complete = () => api.request('POST', `${path}/complete`, options);
  if (status !== 201) {
    // announced before: perhaps it had arrived, and only the answer was lost
    const done = await complete().catch((failure) => {
      if (failure.code !== 'attachment_not_ready') throw failure;
    });
    if (done) return done;
  }
  const fields = new FormData();
  for (const [field, value] of Object.entries(form.fields)) fields.append(field, String(value));
  fields.append('file', file);
  let posted;
  try {
    posted = await transfer('POST', form.url, {}, fields, told, signal);
  } catch (failure) {
    if (!(failure instanceof Unreachable)) throw failure;
    const headers = { Authorization: `Bearer ${await api.token()}`, 'Content-Type': 'application/octet-stream' };
    const put = await transfer('PUT', `${api.url}${path}/content`, headers, file, told, signal);
    return answered(put);
  }
  if (posted.status >= 500) throw new Unreachable(`the object store answered ${posted.status}`);
  if (posted.status >= 400) {
    throw new ApiError(posted.status, { code: 'upload_refused', message: `the object store refused: ${posted.text.slice(0, 300)}` });
  }
  return complete();
}

/** @param {{status: number, text: string}} answer */
function answered({ status, text }) {
  try {
    return read(status, text);
  } catch (failure) {
    throw failure instanceof ApiError ? failure : new Unreachable(String(failure));
  }
}

/**
 * Send bytes, telling how far they are where the browser tells us.
 *
 * @param {string} method
 * @param {string} url
 * @param {Record<string, string>} headers
 * @param {FormData | Blob} body
 * @param {(sent: number) => void} told
 * @param {AbortSignal} [signal]
 * @returns {Promise<{status: number, text: string}>}
 */
async function transfer(method, url, headers, body, told, signal) {
  signal?.throwIfAborted();
  if (!globalThis.XMLHttpRequest) {
    try {
      const answer = await fetch(url, { method, headers, body, signal: signal ?? null });
      return { status: answer.status, text: await answer.text() };
    } catch (failure) {
      throw signal?.aborted ? failure : new Unreachable(String(failure));
    }
  }
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded }) => told(loaded);
    request.onload = () => resolve({ status: request.status, text: request.responseText });
    request.onerror = () => reject(new Unreachable(`no answer from ${new URL(url).host}`));
    request.onabort = () => reject(signal?.reason);
    signal?.addEventListener('abort', () => request.abort());
    request.send(body);
  });
}

/** In hexadecimal digits; undefined where it can not be had: it is not needed, but lets a damaged upload be noticed. @param {Blob} file */
async function digest(file) {
  if (!globalThis.crypto?.subtle || file.size > DIGESTED_BYTES) return undefined;
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** @param {number} ms @param {AbortSignal} [signal] @returns {Promise<void>} */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => reject(signal.reason));
  });
}
