"""The garbage collector as a server needs it: while it looks through everything that a process holds, nobody's message moves."""

import gc
from typing import Final

THRESHOLDS: Final = (10_000, 5, 20)
"""Objects more than at the last look, and every which look goes further (`gc.set_threshold`). At Python's own 700, what is merely under way when
it looks counts as long-lived, and by and by that asks for a look at everything: in a gateway with 3000 sockets 0.4 s each time, seven times while
they connect."""


def quiet_collector() -> None:
    """Called when everything is made: that is not looked through again, and what comes since less often.

    In a gateway with an object store, what start-up makes takes a tenth of a second (`gc.freeze`).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
