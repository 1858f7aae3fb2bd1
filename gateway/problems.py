"""Errors over HTTP: RFC 9457 problem documents, made from the same table as the socket's errors (schemas/errors.py)."""

import math
from collections.abc import Mapping

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from backplane.errors import Transient, Unknown
from gateway.passwords import PasswordsBusy
from gateway.tokens import BadToken
from schemas.errors import ERRORS, ErrorBody

MEDIA_TYPE = "application/problem+json"
RETRY_MS = 1000
"""What a client waits after a temporary error that says nothing more exact."""

_log = structlog.get_logger(__name__)


class Problem(Exception):
    """A request that ends with an error of the table; `detail` says what is wrong with this very request."""

    def __init__(self, code: str, detail: str | None = None, *, retry_after_ms: int | None = None) -> None:
        super().__init__(code)
        row = ERRORS[code]
        self.body = ErrorBody(code, detail or row.message, row.temporary, retry_after_ms)
        self.headers: Mapping[str, str] = {}

    @classmethod
    def of(cls, error: ErrorBody) -> "Problem":
        """A consumer's or the socket side's refusal as a problem."""
        return cls(error.code, error.message, retry_after_ms=error.retry_after_ms)


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The document: `title` is the table's sentence, `detail` this request's."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    temporary: bool = False
    retry_after_ms: int | None = None


def render(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The answer of a problem, with the headers that its status asks for (RFC 9110, 10.2.3 and 11.6.1)."""
    body = problem.body
    row = ERRORS[body.code]
    retry_ms = body.retry_after_ms or (RETRY_MS if row.temporary else None)
    extra = {**problem.headers, **(headers or {})}
    if retry_ms is not None:
        extra["Retry-After"] = str(math.ceil(retry_ms / 1000))
    if row.status == 401:
        extra["WWW-Authenticate"] = "Bearer"
    document = ProblemBody(
        f"urn:problem-type:headrace:{body.code}",
        row.message,
        row.status,
        body.message,
        body.code,
        body.temporary,
        retry_ms,
    )
    return Response(msgspec.json.encode(document), row.status, extra, MEDIA_TYPE)


async def _on_problem(_: Request, failure: Exception) -> Response:
    assert isinstance(failure, Problem)  # noqa: S101 - registered for this class alone
    return render(failure)


async def _on_http(_: Request, failure: Exception) -> Response:
    """The framework's own refusals: no such address, no such method."""
    assert isinstance(failure, HTTPException)  # noqa: S101
    code = {404: "not_found", 405: "method_not_allowed", 413: "payload_too_large"}.get(
        failure.status_code, "bad_request"
    )
    return render(Problem(code), failure.headers)


async def _on_transient(request: Request, failure: Exception) -> Response:
    code = "outcome_unknown" if isinstance(failure, Unknown) else "unavailable"
    _log.warning("a dependency is away", path=request.url.path, code=code, error=str(failure))
    return render(Problem(code))


async def _on_bad_token(_: Request, failure: Exception) -> Response:
    assert isinstance(failure, BadToken)  # noqa: S101
    return render(Problem(failure.code))


async def _on_busy(_: Request, __: Exception) -> Response:
    return render(Problem("overloaded", "Too many people are signing in; try again shortly.", retry_after_ms=2000))


HANDLERS: Mapping[type[Exception], ExceptionHandler] = {
    Problem: _on_problem,
    HTTPException: _on_http,
    Transient: _on_transient,
    BadToken: _on_bad_token,
    PasswordsBusy: _on_busy,
}
"""One row for every exception that a handler may let through; what is not here is a bug, and `internal_error`."""
