"""Where access tokens come from."""

from collections.abc import Awaitable, Callable

from headrace_client.errors import Stopped

TokenSource = str | Callable[[], Awaitable[str]]


class Tokens:
    """The token in use, and how to get the next one."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source
        self._current = source if isinstance(source, str) else ""

    async def get(self, *, renew: bool = False) -> str:
        """The token in use, or a new one.

        Raises:
            Stopped: a new one is needed, and all we were given was a token.
            Exception: whatever the program's function raises.
        """
        if isinstance(self._source, str):
            if renew:
                raise Stopped("the access token has expired, and there is no function to get another")
        elif renew or not self._current:
            self._current = await self._source()
        return self._current
