/**
 * The protocol, its socket, the view and the store, without tabs, paging, drafts, REST and files: what another kind of client is built on.
 * Whoever uses it carries out the effects of `Core` that `Socket` passes on, as `leader.js` does.
 */

export { Core } from './core.js';
export { Socket } from './socket.js';
export { IndexedDbStore } from './store.js';
export { View } from './view.js';
