"""What `headrace doctor` asks: everything at once, whatever is away."""

import asyncio
import itertools
import os

from backplane.inspection import machine, mongodb, objects, redis, scanner
from backplane.inspection import settings as secrets_and_urls
from backplane.inspection.checks import Check
from backplane.settings import PREFIX, Settings, SettingsError, load_settings
from cli.asking import systems


async def checks() -> list[Check]:
    """Every check, in the order of the page."""
    faults, settings, production = _settings()
    here = machine.judge(machine.look())
    if settings is None:
        return [*faults, *here]
    of_services = await asyncio.gather(
        redis.inspect(settings),
        mongodb.inspect(settings, production=production),
        objects.inspect(settings),
        scanner.inspect(settings),
    )
    judged = secrets_and_urls.judge(settings, production=production)
    return [*faults, *judged, *itertools.chain(*of_services), *here]


def _settings() -> tuple[list[Check], Settings | None, bool]:
    """Findings, the settings to look with if there are any, and whether this is production."""
    try:
        settings = load_settings()
    except SettingsError as failure:
        faults = secrets_and_urls.refused(str(failure))
    else:
        return [], settings, not settings.development
    production = os.environ.get(f"{PREFIX}ENVIRONMENT") != "development"
    try:
        return faults, systems.settings_for_looking(), production
    except SettingsError:
        return faults, None, production
