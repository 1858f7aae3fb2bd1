/** Files of a message: pictures laid out before they load, other files as cards, and what the scanner has said. */

import { h } from "./dom.js";
import { bytes } from "./format.js";
import { icon } from "./icons.js";
import { attempt } from "./overlay.js";
import { state } from "./state.js";

const MOST_WIDE = 320;
const MOST_HIGH = 280;

const REASONS = {
  encrypted: "it is encrypted, so nobody can look into it",
  too_large: "it is too large to be checked",
  too_complex: "it is too complex to be checked",
  too_slow: "the check took too long",
  not_understood: "it could not be checked",
  attempts: "the check broke off each time",
  archive_encrypted: "the archive is encrypted",
  archive_ratio: "the archive would become too large",
  archive_size: "the archive would become too large",
  archive_entries: "the archive has too many files",
  archive_depth: "archives within archives go too deep",
  archive_names: "the archive has files with dangerous names",
  archive_damaged: "the archive is damaged",
  archive_unsupported: "this kind of archive is not understood",
  wrong_size: "it is not the file that was announced",
  wrong_checksum: "it was damaged on its way",
  wrong_type: "it is not what its name says",
  active_content: "programs and scripts are not taken",
  missing: "it never arrived",
  changed: "it was changed after it was sent",
};

/** One sentence about a file that can not be had, or null. */
export function refusalOf(file) {
  if (file.status === "infected") return `Blocked: a virus was found${file.reason ? ` (${file.reason})` : ""}.`;
  if (file.status === "unscannable" || file.status === "error") return `Blocked: ${REASONS[file.reason] ?? "it could not be checked"}.`;
  return null;
}

/** The files of a message, or null. */
export function attachmentsOf(item) {
  const files = (item.attachments ?? []).filter((one) => typeof one === "object");
  if (files.length === 0) return null;
  const gone = item.local?.error?.code === "attachment_gone";
  return h("div", { class: "files" }, files.map((file) => (file.status === "clean" && file.thumbnail ? picture(file) : card(gone ? { ...file, status: "error" } : file))));
}

/** The size at which a picture is shown. */
export function fit(width, height) {
  const scale = Math.min(1, MOST_WIDE / width, MOST_HIGH / height);
  return { width: Math.max(48, Math.round(width * scale)), height: Math.max(32, Math.round(height * scale)) };
}

const links = new Map();

async function linkOf(file, anew = false) {
  if (anew) links.delete(file.attachment_id);
  if (!links.has(file.attachment_id)) links.set(file.attachment_id, state.api.link(file.attachment_id, { thumbnail: true }));
  try {
    return (await links.get(file.attachment_id)).url;
  } catch (error) {
    links.delete(file.attachment_id);
    throw error;
  }
}

function picture(file) {
  const size = fit(file.width ?? file.thumbnail.width, file.height ?? file.thumbnail.height);
  const image = h("img", { width: size.width, height: size.height, alt: file.name, decoding: "async" });
  let tries = 0;
  const load = (anew) => linkOf(file, anew).then((url) => (image.src = url), () => image.classList.add("broken"));
  image.addEventListener("load", () => image.classList.add("loaded"));
  image.addEventListener("error", () => {
    // A link is good for a minute: one that is older is asked for anew, once.
    tries += 1;
    if (tries === 1) void load(true);
    else image.classList.add("broken");
  });
  void load(false);
  return h("button", { type: "button", class: "picture", title: `${file.name}, ${bytes(file.size)}`, "aria-label": `Save ${file.name}`, onclick: () => save(file) }, image);
}

function card(file) {
  const refused = refusalOf(file);
  const waiting = file.status === "pending" || file.status === "uploading";
  const said = refused ?? (waiting ? "Being checked for viruses…" : bytes(file.size));
  const inner = [
    h("span", { class: `file-icon ${refused ? "bad" : ""}` }, refused ? icon("shield") : waiting ? h("span", { class: "spinner", "aria-hidden": "true" }) : icon("file")),
    h("span", { class: "file-text" }, h("span", { class: "file-name", dir: "auto" }, file.name), h("span", { class: "file-note" }, said)),
  ];
  if (refused || waiting) return h("div", { class: `file ${refused ? "refused" : "waiting"}`, "data-status": file.status }, inner);
  return h("button", { type: "button", class: "file", "data-status": file.status, "aria-label": `Save ${file.name}, ${bytes(file.size)}`, onclick: () => save(file) }, inner, icon("download"));
}

/** Save a file: the browser follows a link that is good for a moment. */
function save(file) {
  return attempt(async () => {
    const { url } = await state.api.link(file.attachment_id);
    const anchor = h("a", { href: url, download: file.name, rel: "noopener" });
    document.body.append(anchor);
    anchor.click();
    anchor.remove();
  });
}
