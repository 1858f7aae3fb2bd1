"""`python -m gateway`: settings from the environment, SIGTERM and SIGINT stop it in order.

Exit codes: 0 after an orderly stop, 1 when it must not or can not serve (another layout, a taken port), 2 for wrong settings.
"""

import sys

import uvloop

from backplane.settings import SettingsError, load_settings
from backplane.store.mongo import LayoutMismatch
from backplane.telemetry import configure_logging
from gateway.app import serve


def main() -> int:
    """Serve until told to stop; the exit code."""
    try:
        settings = load_settings()
        configure_logging(settings)
        uvloop.run(serve(settings))
    except SettingsError as failure:
        return _fail(2, failure)
    except (LayoutMismatch, OSError) as failure:
        return _fail(1, failure)
    return 0


def _fail(code: int, failure: BaseException) -> int:
    sys.stderr.write(f"{failure}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
