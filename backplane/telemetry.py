"""Logs and metrics: structlog to stdout, prometheus-client's registry; every metric is declared here (docs/metrics.md)."""

import logging
import re
import sys
import time
from collections.abc import Callable

import structlog
from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest

from backplane.settings import Settings

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

connections = Gauge("headrace_ws_connections", "Open WebSocket connections, by state.", ["state"])
closes = Counter("headrace_ws_closes_total", "WebSocket connections closed by us, by close name.", ["reason"])
intents = Counter("headrace_intents_total", "Intents from clients, by type and outcome.", ["type", "outcome"])
resumes = Counter("headrace_resumes_total", "Connects, by outcome of the resume.", ["outcome"])
message_seconds = Histogram(
    "headrace_message_seconds", "From taking a message to a stage of its way.", ["stage"], buckets=LATENCY_BUCKETS
)
ephemera = Counter(
    "headrace_ephemera_total", "Typing and presence to single connections, by what became of it.", ["kind", "outcome"]
)
stream_lag = Gauge("headrace_stream_lag_entries", "Entries not yet taken; -1 when unknown.", ["stage", "partition"])
stream_age = Gauge(
    "headrace_stream_oldest_age_seconds",
    "Age of the oldest unacknowledged entry; -1 when unknown.",
    ["stage", "partition"],
)
redeliveries = Counter("headrace_redeliveries_total", "Entries taken again after a crash or a hand-over.", ["stage"])
duplicates = Counter("headrace_duplicates_total", "Intents found already applied, by whose repeat it was.", ["kind"])
receipts = Counter(
    "headrace_receipts_total",
    "Merged marks of a person in a conversation or thread, by what came of them.",
    ["outcome"],
)
rate_limited = Counter("headrace_rate_limited_total", "Requests refused by a rate limit, by the limit.", ["policy"])
expired = Counter("headrace_expired_messages_total", "Messages whose taking out for their age was asked for.")
fenced = Counter("headrace_fenced_writes_total", "Calls refused because somebody else owns the partition.", ["stage"])
dead_letters = Counter("headrace_dead_letters_total", "Entries moved to the dead stream.", ["stage"])
lost_trimmed = Counter("headrace_lost_trimmed_total", "Pending entries that were trimmed away: lost work.", ["stage"])
cut = Counter(
    "headrace_cut_entries_total",
    "Entries cut before an optional stage, more than its max_lag behind, had them.",
    ["stage"],
)
webhook_deliveries = Counter(
    "headrace_webhook_deliveries_total",
    "Webhook deliveries: parked; then delivered, retried (an attempt that failed), failed (given up) or dropped.",
    ["outcome"],
)
webhooks_disabled = Counter("headrace_webhooks_disabled_total", "Webhooks disabled by the server, by why.", ["reason"])
owned = Gauge("headrace_partitions_owned", "Partitions that this worker owns.", ["stage"])
batches = Histogram(
    "headrace_batch_entries", "Entries handled at once.", ["stage"], buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500)
)
scans = Counter("headrace_scans_total", "Files that got a verdict, by the verdict.", ["verdict"])
scan_seconds = Histogram(
    "headrace_scan_seconds", "One look at a file, from its first byte to its verdict.", buckets=LATENCY_BUCKETS
)
scan_queue = Gauge("headrace_scan_queue_entries", "Files that wait for a scan or are being scanned.")
scan_queue_age = Gauge("headrace_scan_queue_age_seconds", "Since when the first of them waits.")
scanner_up = Gauge("headrace_scanner_up", "1 while the scanner answers.")
signatures_built = Gauge("headrace_scanner_signatures_timestamp_seconds", "When the scanner's signatures were made.")
swept = Counter("headrace_attachments_swept_total", "Leftovers that were mended or deleted, by kind.", ["kind"])
dependency_up = Gauge("headrace_dependency_up", "1 while a dependency answers.", ["name"])


def render_metrics() -> bytes:
    """The registry in Prometheus' text format."""
    return generate_latest(REGISTRY)


class Repeats:
    """Lets one warning of a kind through per `quiet_seconds`, with how many were left out before it.

    When Redis or MongoDB goes away every partition says so; thirty-two equal lines would bury the one that matters. Errors and
    everything below warnings always pass.
    """

    def __init__(self, quiet_seconds: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet_seconds, self._clock = quiet_seconds, clock
        self._said: dict[str, tuple[float, int]] = {}

    def __call__(
        self, logger: structlog.typing.WrappedLogger, method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        """A structlog processor."""
        del logger
        if method != "warning":
            return event
        now, kind = self._clock(), str(event.get("event"))
        said_at, left_out = self._said.get(kind, (float("-inf"), 0))
        if now - said_at < self._quiet_seconds:
            self._said[kind] = said_at, left_out + 1
            raise structlog.DropEvent
        self._said[kind] = now, 0
        if left_out:
            event["repeated"] = left_out
        return event


_SECRET_NAMES = re.compile(r"password|secret|token$|^token|authorization|cookie|signing_key", re.IGNORECASE)
_SECRETS = re.compile(
    r"eyJ[\w-]{8,}\.[\w.-]+"  # a JWT
    r"|(?i:bearer)\s+\S+"
    r"|hr[bw]_[\w-]{16,}"  # a bot's token
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"  # the password of a URL
)
MASK = "[masked]"


def masked(text: str) -> str:
    """The text without what looks like a token or a password."""
    return _SECRETS.sub(MASK, text)


def mask_secrets(
    logger: structlog.typing.WrappedLogger, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """A structlog processor, the last net: whoever logs has not put a secret there in the first place."""
    del logger, method
    for name, value in event.items():
        if _SECRET_NAMES.search(name):
            event[name] = MASK
        elif isinstance(value, str):
            event[name] = masked(value)
    return event


def configure_logging(settings: Settings) -> None:
    """Send every log line of this process to stdout, as JSON or for people."""
    shared: list[structlog.typing.Processor] = [
        Repeats(),
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
        mask_secrets,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    )
    level = getattr(logging, settings.log_level.upper())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stdout, format="%(message)s", force=True)
    # Below errors it only tells what strangers send that is no HTTP: a line for each would be theirs to fill the disk with.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
