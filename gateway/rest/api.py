"""What the REST handlers work with; made once by the composition root."""

import asyncio
from dataclasses import dataclass, field

from backplane.logs import Logs
from backplane.revocations import Revocations
from backplane.settings import Settings
from backplane.store.mongo import Store
from gateway.answers import Answers
from gateway.intake import Intake
from gateway.limiter import Limiter
from gateway.listeners import Listeners
from gateway.passwords import Passwords
from gateway.tokens import Tokens
from gateway.uploads import Uploads


@dataclass(frozen=True, slots=True)
class Api:
    """The parts of this gateway that REST uses. `stopping` is set when it drains: long polls end at once."""

    settings: Settings
    store: Store
    logs: Logs
    intake: Intake
    answers: Answers
    listeners: Listeners
    tokens: Tokens
    passwords: Passwords
    revocations: Revocations
    limiter: Limiter
    uploads: Uploads
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
