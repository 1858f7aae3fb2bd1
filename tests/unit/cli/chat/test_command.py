"""Signing in: a server that is just being restarted is waited for, one that refuses is not."""

from pathlib import Path

import pytest

from cli.chat.command import Options, _sign_in
from headrace_client import ApiError, Stopped, Unreachable

pytestmark = pytest.mark.anyio

OPTIONS = Options("http://nowhere", "ann", "secret", None, Path("chat.db"))


class Server:
    """Answers each try to sign in with the next of these; None: it works."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)

    async def login(self, *_args: str, **_more: str) -> None:
        if (answer := self.answers.pop(0)) is not None:
            raise answer


def busy(retry_after_s: float = 0.0, *, temporary: bool = True) -> ApiError:
    return ApiError(503, "unavailable", "A part is away.", temporary=temporary, retry_after_s=retry_after_s)


async def sign_in(server: Server) -> None:
    await _sign_in(server, OPTIONS)  # type: ignore[arg-type]


async def test_a_server_that_comes_back_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server(Unreachable("nobody there"), busy(0.1), None)
    await sign_in(server)
    assert server.answers == []
    assert capsys.readouterr().err == "nobody there (trying for 10 s)\n"


async def test_a_refusal_for_good_and_a_wait_that_is_too_long_end_it() -> None:
    for answer in (busy(temporary=False), busy(11.0)):
        with pytest.raises(Stopped, match="ann can not sign in"):
            await sign_in(Server(answer))
