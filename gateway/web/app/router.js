/** Where one is: the address is the state, so Back, reload and links work. */

const PATTERN = /^\/c\/([0-9a-f-]{36})(?:\/t\/([0-9a-f-]{36}))?\/?$/;

/** @returns {{conversationId: string | null, threadRootId: string | null}} */
export function place(path = location.pathname) {
  const found = PATTERN.exec(path);
  return { conversationId: found?.[1] ?? null, threadRootId: found?.[2] ?? null };
}

export const router = new EventTarget();

export function pathOf(conversationId, threadRootId = null) {
  if (!conversationId) return "/";
  return threadRootId ? `/c/${conversationId}/t/${threadRootId}` : `/c/${conversationId}`;
}

/** Go to a conversation, a thread of one, or (null) to the list. */
export function go(conversationId, threadRootId = null, { replace = false } = {}) {
  const path = pathOf(conversationId, threadRootId);
  if (path === location.pathname) return;
  history[replace ? "replaceState" : "pushState"](null, "", path);
  router.dispatchEvent(new Event("moved"));
}

addEventListener("popstate", () => router.dispatchEvent(new Event("moved")));
