"""The garbage collector: what a process keeps for good is not looked through again and again."""

import gc


def forget_start() -> None:
    """Called when everything is made: a full collection then looks at what came since, and not at all modules and tables.

    In a gateway with an object store those are a tenth of a second, in which nobody's message moves (CPython, `gc.freeze`).
    """
    gc.collect()
    gc.freeze()
