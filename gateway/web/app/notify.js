/** Notifications of new messages, and how many are unread in the window's title. Permission is asked for when it is wanted, not before. */

import { notifies } from "./prefs.js";
import { go } from "./router.js";
import { isDirect, isMuted, state, titleOf } from "./state.js";

/** Ask the browser; whether it lets us. */
export async function askToNotify() {
  if (!("Notification" in globalThis)) return false;
  if (Notification.permission === "default") await Notification.requestPermission();
  return Notification.permission === "granted";
}

/** Tell of messages from now on. One tab of several does: the one that holds the socket. */
export function startNotifying(client) {
  client.addEventListener("event", (/** @type {any} */ event) => {
    if (client.leads && event.detail.event === "message.created") notify(event.detail.data);
  });
}

function notify(message) {
  const room = state.room(message.conversation_id);
  if (!room || state.isMe(message.sender_id) || message.duplicate || !notifies() || Notification.permission !== "granted") return;
  const mentioned = (message.mentions ?? []).some((id) => id === "all" || state.isMe(id));
  if ((isMuted(room) && !mentioned) || (!document.hidden && document.hasFocus())) return;
  const name = state.people.name(message.sender_id);
  const title = isDirect(room) ? name : `${name} in ${titleOf(room)}`;
  const options = { body: message.content?.text || "Sent a file", tag: message.conversation_id, icon: "/web/icons/icon.svg" };
  try {
    const shown = new Notification(title, options);
    shown.onclick = () => {
      window.focus();
      go(message.conversation_id);
      shown.close();
    };
  } catch {
    // Phones have them by the service worker alone.
    void navigator.serviceWorker?.ready.then((worker) => worker.showNotification(title, { ...options, data: { path: `/c/${message.conversation_id}` } }));
  }
}

/** The number of conversations with something unread, in the title and on the app's icon. */
export function showUnread() {
  let unread = 0;
  for (const room of state.view?.rooms.values() ?? []) if (room.unread > 0 && (!isMuted(room) || room.mentions > 0) && !room.conversation.archived) unread += room.unread;
  document.title = unread > 0 ? `(${unread > 99 ? "99+" : unread}) Headrace` : "Headrace";
  if ("setAppBadge" in navigator) void (unread > 0 ? navigator.setAppBadge(unread) : navigator.clearAppBadge()).catch(() => {});
}
