/** When a connection may have died unnoticed: the machine slept, the network changed, the page was frozen. */

const TICK_MS = 2000;

/**
 * Call `woke` when that may be so. Returns how to end it.
 *
 * A timer that comes late says that the machine slept: the clock of timers may stand still meanwhile, the wall clock does not. A hidden
 * page's timers come as rarely as once a minute.
 *
 * @param {() => void} woke
 */
export function watchWake(woke) {
  const page = globalThis.document;
  let last = Date.now();
  const timer = setInterval(() => {
    const late = Date.now() - last - TICK_MS;
    last = Date.now();
    if (Math.abs(late) > (page?.visibilityState === 'hidden' ? 90_000 : 3000)) woke();
  }, TICK_MS);
  const shown = () => page.visibilityState === 'visible' && woke();
  globalThis.addEventListener?.('online', woke);
  globalThis.addEventListener?.('pageshow', woke);
  page?.addEventListener('visibilitychange', shown);
  page?.addEventListener('resume', woke);
  return () => {
    clearInterval(timer);
    globalThis.removeEventListener?.('online', woke);
    globalThis.removeEventListener?.('pageshow', woke);
    page?.removeEventListener('visibilitychange', shown);
    page?.removeEventListener('resume', woke);
  };
}
