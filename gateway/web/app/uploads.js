/** Files on their way into a message: how far they are, what became of them. */

import { refusalOf } from "./attachment.js";
import { h } from "./dom.js";
import { bytes } from "./format.js";
import { icon } from "./icons.js";
import { sentence } from "./overlay.js";
import { state } from "./state.js";

const MOST = 10;

export class Uploads extends EventTarget {
  /** @type {any[]} */ list = [];

  get ready() {
    return this.list.filter((one) => one.attachment);
  }

  get busy() {
    return this.list.some((one) => !one.attachment && !one.error);
  }

  get failed() {
    return this.list.some((one) => one.error);
  }

  /** Begin with these files; those beyond ten are left, and how many is returned. */
  add(files) {
    const room = MOST - this.list.length;
    const taken = [...files].slice(0, Math.max(0, room));
    for (const file of taken) this.#begin({ key: crypto.randomUUID(), file, sent: 0, attachment: null, error: null, preview: file.type.startsWith("image/") && file.size < 20e6 ? URL.createObjectURL(file) : null, abort: new AbortController() });
    this.#tell();
    return files.length - taken.length;
  }

  remove(upload) {
    upload.abort.abort();
    if (upload.preview) URL.revokeObjectURL(upload.preview);
    this.list = this.list.filter((one) => one !== upload);
    this.#tell();
  }

  /** Everything has gone with a message. */
  clear() {
    for (const one of this.list) if (one.preview) URL.revokeObjectURL(one.preview);
    this.list = [];
    this.#tell();
  }

  #begin(upload) {
    this.list.push(upload);
    void this.#run(upload);
  }

  async #run(upload) {
    upload.error = null;
    try {
      const onProgress = (sent, total) => {
        upload.sent = total ? sent / total : 0;
        this.#tell();
      };
      upload.attachment = await state.api.upload(upload.file, { name: upload.file.name || "pasted", contentType: upload.file.type || "application/octet-stream", key: upload.key, onProgress, signal: upload.abort.signal });
      this.#tell();
      await this.#watch(upload);
    } catch (error) {
      if (upload.abort.signal.aborted) return;
      upload.error = sentence(error);
    }
    this.#tell();
  }

  /** What the scanner says, for as long as the file is here: a refused one can not be sent. */
  async #watch(upload) {
    for (let wait = 300; this.list.includes(upload); wait = Math.min(5000, wait * 1.6)) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      if (!this.list.includes(upload)) return;
      const file = await state.api.attachment(upload.attachment.attachment_id).catch(() => null);
      if (!file || file.status === "pending" || file.status === "uploading") continue;
      upload.error = refusalOf(file);
      upload.attachment = upload.error ? null : file;
      upload.refused = Boolean(upload.error);
      this.#tell();
      return;
    }
  }

  retry(upload) {
    void this.#run(upload);
    this.#tell();
  }

  #tell() {
    this.dispatchEvent(new Event("changed"));
  }
}

/** One upload as it is shown above the text. */
export function uploadChip(upload, uploads) {
  const { file } = upload;
  const note = upload.error ?? (upload.attachment ? `${bytes(file.size)}, ${upload.attachment.status === "clean" ? "checked" : "being checked"}` : `${bytes(file.size)}, ${Math.round(upload.sent * 100)} %`);
  const bar = h("progress", { max: "1", ".value": upload.sent, "aria-label": `Upload of ${file.name}` });
  return h(
    "div",
    { class: `chip ${upload.error ? "bad" : ""}`, "data-upload": upload.error ? "failed" : upload.attachment ? "done" : "busy" },
    upload.preview ? h("img", { src: upload.preview, alt: "", width: 40, height: 40 }) : h("span", { class: "file-icon" }, icon("file")),
    h("span", { class: "file-text" }, h("span", { class: "file-name", dir: "auto" }, file.name || "pasted"), h("span", { class: "file-note" }, note), upload.attachment || upload.error ? null : bar),
    upload.error && !upload.refused ? h("button", { type: "button", class: "plain-button", "aria-label": `Try ${file.name} again`, onclick: () => uploads.retry(upload) }, icon("retry")) : null,
    h("button", { type: "button", class: "plain-button", "aria-label": `Remove ${file.name}`, onclick: () => uploads.remove(upload) }, icon("close")),
  );
}
