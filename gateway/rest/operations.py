"""What a REST operation is: a method, a path, what it asks, what it answers, and a handler that gets both checked.

A handler never sees a request that breaks a bound, and a handler for signed-in people never sees one without an `Identity`:
there is no half-valid call. The same rows make the routes and `/openapi.json`.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway.addresses import address_of
from gateway.limiter import Spent
from gateway.problems import Problem
from gateway.rest.api import Api
from gateway.rest.mutations import Accepted
from gateway.tokens import BadToken, Identity
from schemas.client_frames import UuidText
from schemas.limits import PolicyName
from schemas.scopes import Needs

BODY_SECONDS = 10.0
MAX_PAGE = 200
MAX_KEY = 128

Method = Literal["GET", "POST", "PATCH", "PUT", "DELETE"]
Limit = msgspec.Meta(ge=1, le=MAX_PAGE)
A = TypeVar("A", bound=msgspec.Struct)


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an operation asks that asks nothing."""


@dataclass(frozen=True, slots=True)
class Call(Generic[A]):
    """One request, decoded: `asked` comes from the query of a GET, else from the JSON body."""

    api: Api
    request: Request
    asked: A
    now_ms: int

    def path_id(self, name: str) -> str:
        """An id in the path; what is not an id names nothing, so it is `not_found`."""
        value = str(self.request.path_params[name])
        try:
            return msgspec.convert(value, UuidText)
        except msgspec.ValidationError:
            raise Problem("not_found") from None

    def operation_id(self) -> str:
        """The id of a change: the `Idempotency-Key` as a UUID, else a new one, with which a repeat is another change."""
        key = self.idempotency_key()
        return str(uuid.uuid4()) if key is None else uuid_of(key, "operation")

    def idempotency_key(self) -> str | None:
        """The `Idempotency-Key` header, quoted (as its RFC draft has it) or plain."""
        key = self.request.headers.get("idempotency-key")
        if key is None:
            return None
        key = key.strip().removeprefix('"').removesuffix('"')
        if not 1 <= len(key) <= MAX_KEY or not key.isprintable():
            raise Problem("bad_request", f"Idempotency-Key must have 1 to {MAX_KEY} printable characters")
        return key


def uuid_of(key: str, salt: str) -> str:
    """A key that is a UUID stays itself; any other becomes one, always the same."""
    try:
        return msgspec.convert(key, UuidText)
    except msgspec.ValidationError:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{salt}:{key}"))


@dataclass(frozen=True, slots=True)
class SignedCall(Call[A]):
    """A request of somebody whose token was verified."""

    identity: Identity


class Operation(NamedTuple):
    """One row of the REST interface. `answers` maps each status to the type of its body; None: no body."""

    method: Method
    path: str
    name: str
    summary: str
    asks: type[msgspec.Struct]
    answers: Mapping[int, Any]
    needs: Needs | None
    """What the token must be good for; None: no token is asked for."""
    limit: PolicyName
    """The rate limit that it counts in, `cost` times."""
    cost: int
    keyed: bool
    """Whether an `Idempotency-Key` makes every repeat of a request the same change."""
    respond: Callable[[Api, Request], Awaitable[Response]]
    streams: bool = False
    """Whether the body is a file, which the handler reads piece by piece."""


def anonymous(
    method: Method,
    path: str,
    handle: Callable[[Call[A]], Awaitable[Response]],
    *,
    asks: type[A],
    answers: Mapping[int, Any],
    limit: PolicyName = "anonymous",
) -> Operation:
    """An operation that needs no token but gives one; its `limit` is one by address."""

    async def respond(api: Api, request: Request) -> Response:
        if not api.tokens.issues:
            raise Problem("unsupported", "This gateway only checks tokens; sign in where they are issued.")
        spent = await api.limiter.address(limit, address_of(request))
        with _limited(spent) as headers:
            return headed(await handle(Call(api, request, await _decode(request, asks), _now_ms())), headers)

    return Operation(method, path, handle.__name__, _summary(handle), asks, answers, None, limit, 1, False, respond)


def signed_in(
    method: Method,
    path: str,
    handle: Callable[[SignedCall[A]], Awaitable[Response]],
    *,
    asks: type[A],
    answers: Mapping[int, Any],
    needs: Needs = "person",
    limit: PolicyName = "rest",
    cost: int = 1,
    keyed: bool | None = None,
    streams: bool = False,
) -> Operation:
    """An operation for whoever has a valid access token that is good for it; without one its body is not even read.

    An operation that does not say what it needs is closed to bots. Its `limit` is one by person. One that may answer 202 is `keyed`
    unless it says otherwise.
    """

    async def respond(api: Api, request: Request) -> Response:
        try:
            identity = api.tokens.verify(bearer(request))
        except BadToken:
            with _limited(await api.limiter.address("anonymous", address_of(request))):
                raise
        spent, ended = await api.limiter.call(identity.user_id, identity.session_id, limit, cost)
        with _limited(spent) as headers:
            if ended is not None:
                raise Problem(ended)
            if refusal := identity.lacks(needs):
                raise Problem("forbidden", refusal)
            asked = asks() if streams else await _decode(request, asks)
            return headed(await handle(SignedCall(api, request, asked, _now_ms(), identity)), headers)

    keyed = Accepted in answers.values() if keyed is None else keyed
    return Operation(
        method, path, handle.__name__, _summary(handle), asks, answers, needs, limit, cost, keyed, respond, streams
    )


@contextlib.contextmanager
def _limited(spent: Spent | None) -> Generator[Mapping[str, str]]:
    """What a limit adds to the headers of an answer, whether that is a problem or not.

    Raises:
        Problem: `rate_limited`.
    """
    headers = {} if spent is None else spent.headers
    check_limit(spent)
    try:
        yield headers
    except Problem as problem:
        problem.headers = {**headers, **problem.headers}
        raise


def check_limit(spent: Spent | None) -> None:
    """Go on, or not.

    Raises:
        Problem: `rate_limited`.
    """
    if spent and (refusal := spent.refusal):
        problem = Problem.of(refusal)
        problem.headers = spent.headers
        raise problem


def headed(response: Response, headers: Mapping[str, str]) -> Response:
    """The answer with more headers."""
    response.headers.update(headers)
    return response


def bearer(request: Request) -> str:
    """The token of the `Authorization` header (RFC 6750, section 2.1; never from the URL)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Problem("authentication_failed", "Send an access token: `Authorization: Bearer <token>`.")
    return token.strip()


def answer(body: msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(body), status, headers, "application/json")


def routes(api: Api, operations: Sequence[Operation]) -> list[BaseRoute]:
    """One route a path, so that a wrong method is told all the right ones (RFC 9110, 15.5.6)."""
    by_path = groupby(sorted(operations, key=lambda row: row.path), key=lambda row: row.path)
    return [_route(api, path, {row.method: row for row in rows}) for path, rows in by_path]


def _route(api: Api, path: str, rows: dict[Method, Operation]) -> Route:
    by_method: dict[str, Operation] = {**rows, **({"HEAD": rows["GET"]} if "GET" in rows else {})}

    async def endpoint(request: Request) -> Response:
        return await by_method[request.method].respond(api, request)

    return Route(path, endpoint, methods=list(by_method))


async def _decode(request: Request, asks: type[A]) -> A:
    """What is asked, in its closed type.

    Raises:
        Problem: `bad_request`, naming the field.
    """
    try:
        if request.method in {"GET", "HEAD"}:
            return msgspec.convert(_once_each(request.query_params), asks, strict=False)
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.body()
        if body and request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Problem("bad_request", "The body must be JSON: `Content-Type: application/json`.")
        return msgspec.json.decode(body or b"{}", type=asks)
    except msgspec.ValidationError as failure:
        raise Problem("bad_request", str(failure)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Problem("bad_request", "The body is not valid JSON in UTF-8.") from None
    except TimeoutError:
        raise Problem("bad_request", f"The body did not arrive within {BODY_SECONDS:.0f} s.") from None
    except ClientDisconnect:
        raise Problem("bad_request", "The client went away.") from None


def _once_each(query: QueryParams) -> dict[str, str]:
    """What is asked in a query; which of two values was meant, nobody can know."""
    if len(query.multi_items()) > len(query):
        raise Problem("bad_request", "A parameter of the query comes twice.")
    return dict(query)


def _summary(handle: Callable[..., Any]) -> str:
    return (handle.__doc__ or "").partition("\n")[0].strip()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
