/** Files on their way into a message: how far they are, what became of them. */

import { refusalOf } from "./attachment.js";
import { h } from "./dom.js";
import { bytes } from "./format.js";
import { icon } from "./icons.js";
import { sentence } from "./overlay.js";
import { state } from "./state.js";

const MOST = 10;

/** Where one writes: what was chosen there stays there while one looks elsewhere. @type {Map<string, Uploads>} */
const places = new Map();

/** The uploads of a place where one writes. */
export function uploadsOf(place) {
  const known = places.get(place) ?? new Uploads();
  places.set(place, known);
  return known;
}

/** Whoever signs out takes all of them along. */
export function dropUploads() {
  for (const uploads of places.values()) for (const one of uploads.list) uploads.remove(one);
  places.clear();
}

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
  const note = h("span", { class: "file-note" });
  const bar = h("progress", { max: "1", "aria-label": `Upload of ${file.name}` });
  const again = h("button", { type: "button", class: "plain-button", "aria-label": `Try ${file.name} again`, onclick: () => uploads.retry(upload) }, icon("retry"));
  const chip = h(
    "div",
    { class: "chip", ".note": note, ".bar": bar, ".again": again },
    upload.preview ? h("img", { src: upload.preview, alt: "", width: 40, height: 40 }) : h("span", { class: "file-icon" }, icon("file")),
    h("span", { class: "file-text" }, h("span", { class: "file-name", dir: "auto" }, file.name || "pasted"), note, bar),
    again,
    h("button", { type: "button", class: "plain-button", "aria-label": `Remove ${file.name}`, onclick: () => uploads.remove(upload) }, icon("close")),
  );
  showUpload(chip, upload);
  return chip;
}

/** How far it is now. The chip stays, so that a click on it is not lost, nor the focus. */
export function showUpload(chip, { file, error, refused, attachment, sent }) {
  chip.dataset.upload = error ? "failed" : attachment ? "done" : "busy";
  chip.classList.toggle("bad", Boolean(error));
  chip.note.textContent = error ?? `${bytes(file.size)}, ${attachment ? (attachment.status === "clean" ? "checked" : "being checked") : `${Math.round(sent * 100)} %`}`;
  chip.bar.value = sent;
  chip.bar.hidden = Boolean(attachment || error);
  chip.again.hidden = !error || Boolean(refused);
}
