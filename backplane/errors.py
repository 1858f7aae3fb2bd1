"""What went wrong outside, as what a caller may do next. Each driver's exceptions are translated once, in its module."""


class Transient(Exception):
    """The system is away or busy, and nothing was done: back off and try again; counts no attempt."""


class Unknown(Transient):
    """A write was sent and no definite answer came: it may have been done. Repeat it only where that is idempotent."""


class Permanent(Exception):
    """The system refused this very request, and will refuse it again."""


class Fenced(Exception):
    """Somebody else owns the partition now: step back, touch nothing."""
