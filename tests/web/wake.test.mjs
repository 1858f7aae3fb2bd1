// When a connection may have died unnoticed.

import assert from 'node:assert/strict';
import { mock, test } from 'node:test';

import { watchWake } from '../../gateway/web/sdk/wake.js';

function page(visibilityState = 'visible') {
  const events = new EventTarget();
  Object.assign(globalThis, {
    document: Object.assign(new EventTarget(), { visibilityState }),
    addEventListener: events.addEventListener.bind(events),
    removeEventListener: events.removeEventListener.bind(events),
  });
  return events;
}

test('the network that is back, a page that is shown, and one that was frozen', () => {
  const events = page();
  let woken = 0;
  const end = watchWake(() => (woken += 1));
  events.dispatchEvent(new Event('online'));
  document.dispatchEvent(new Event('resume'));
  document.dispatchEvent(new Event('visibilitychange'));
  assert.equal(woken, 3);
  document.visibilityState = 'hidden';
  document.dispatchEvent(new Event('visibilitychange'));
  assert.equal(woken, 3);
  end();
  events.dispatchEvent(new Event('online'));
  assert.equal(woken, 3);
});

for (const [state, seconds, expected] of [
  ['visible', 2, 0],
  ['visible', 20, 1],
  ['hidden', 62, 0],
  ['hidden', 600, 1],
]) {
  test(`a timer that comes after ${seconds} s on a ${state} page`, () => {
    page(state);
    let now = 1_795_000_000_000;
    let tick = () => {};
    const clock = mock.method(Date, 'now', () => now);
    const timer = mock.method(globalThis, 'setInterval', (call) => ((tick = call), 0));
    let woken = 0;
    const end = watchWake(() => (woken += 1));
    now += seconds * 1000;
    tick();
    assert.equal(woken, expected);
    end();
    clock.mock.restore();
    timer.mock.restore();
  });
}
