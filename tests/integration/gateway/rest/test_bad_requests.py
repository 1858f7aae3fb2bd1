"""Whatever a client sends, the answer is a documented problem, never a traceback."""

import httpx2
import msgspec
import pytest
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backplane.errors import Transient, Unknown
from gateway.problems import ProblemBody
from gateway.rest.application import make_application
from gateway.rest.edge import MAX_BODY, SECURITY_HEADERS
from schemas.errors import ERRORS
from tests.integration.gateway.rest.conftest import Person

pytestmark = pytest.mark.anyio

LOGIN = "/api/auth/login"
JSON = {"Content-Type": "application/json"}


def assert_problem(answer: httpx2.Response, code: str) -> ProblemBody:
    problem = msgspec.json.decode(answer.content, type=ProblemBody)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem.code, problem.status, answer.status_code) == (code, ERRORS[code].status, ERRORS[code].status)
    assert "Traceback" not in answer.text
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    return problem


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b'\xef\xbb\xbf{"username":"a","password":"b"}', "not valid JSON"),
        (b'{"username":"\\ud800","password":"b"}', "not valid JSON"),
        (b'{"username":"a","password":NaN}', "not valid JSON"),
        (b'{"username":"a","password":9223372036854775808}', "password"),
        (b'{"username":' + b"[" * 5000 + b"]" * 5000 + b"}", ""),
        (b'{"username":{"$ne":null},"password":"b"}', "username"),
        (b'{"username":"a","password":"b","$where":"1"}', "$where"),
        (b'["a"]', "object"),
        (b"null", "object"),
        (b"", "password"),
    ],
    ids=lambda value: value[:40],
)
async def test_a_malformed_body_is_named(http: httpx2.AsyncClient, body: bytes, said: str) -> None:
    problem = assert_problem(await http.post(LOGIN, content=body, headers=JSON), "bad_request")
    assert said in problem.detail


async def test_a_body_of_another_type_is_refused(http: httpx2.AsyncClient) -> None:
    answer = await http.post(LOGIN, content=b"{}", headers={"Content-Type": "text/plain"})
    assert "application/json" in assert_problem(answer, "bad_request").detail


async def test_a_body_over_the_bound_is_refused_by_its_length_and_by_its_bytes(http: httpx2.AsyncClient) -> None:
    async def drip():
        for _ in range(2 * MAX_BODY // 1024):
            yield b" " * 1024

    declared = await http.post(LOGIN, content=b" " * (MAX_BODY + 1), headers=JSON)
    assert_problem(declared, "payload_too_large")
    assert_problem(await http.post(LOGIN, content=drip(), headers=JSON), "payload_too_large")
    assert_problem(await http.post(LOGIN, content=b" " * MAX_BODY, headers=JSON), "bad_request")


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=ten",
        "limit=-1",
        "before_seq=-1",
        "before_seq=9007199254740992",
        "nonsense=1",
        "limit=1&limit=2",
    ],
)
async def test_a_query_out_of_bounds_is_refused(alice: Person, query: str) -> None:
    conversation = "33333333-3333-4333-8333-333333333333"
    assert_problem(await alice("GET", f"/api/conversations/{conversation}/messages?{query}"), "bad_request")


async def test_an_unknown_address_and_a_wrong_method_are_problems(http: httpx2.AsyncClient, alice: Person) -> None:
    assert_problem(await http.get("/api/nothing"), "not_found")
    assert_problem(await http.get("/nothing"), "not_found")
    answer = await alice("PUT", "/api/me")
    assert_problem(answer, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "PATCH"}


@pytest.mark.parametrize("path", ["/api/users/nobody", "/api/messages/1", "/api/conversations/%24where"])
async def test_an_id_that_is_none_is_not_found(alice: Person, path: str) -> None:
    assert_problem(await alice("GET", path), "not_found")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a.b.c"])
async def test_without_a_valid_token_there_is_nothing(http: httpx2.AsyncClient, header: str) -> None:
    for path in ("/api/me", "/api/sync", "/api/conversations", "/api/events", "/api/users?query=a"):
        answer = await http.get(path, headers={"Authorization": header})
        assert_problem(answer, "authentication_failed")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_token_is_looked_at_before_the_body(http: httpx2.AsyncClient) -> None:
    assert_problem(await http.post("/api/messages", content=b"{", headers=JSON), "authentication_failed")


async def test_a_bug_is_logged_and_answered_without_its_traceback() -> None:
    async def explode(_: Request) -> Response:
        raise RuntimeError("the secret of the house")

    transport = httpx2.ASGITransport(app=make_application([Route("/explode", explode)]))
    with structlog.testing.capture_logs() as logged:
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway.test") as http:
            answer = await http.get("/explode")
    assert_problem(answer, "internal_error")
    assert "secret" not in answer.text
    assert [(line["log_level"], line["path"]) for line in logged] == [("error", "/explode")]


@pytest.mark.parametrize(
    ("failure", "code"), [(Transient("away"), "unavailable"), (Unknown("lost"), "outcome_unknown")]
)
async def test_a_dependency_that_is_away_is_temporary(failure: Exception, code: str) -> None:
    async def fail(_: Request) -> Response:
        raise failure

    transport = httpx2.ASGITransport(app=make_application([Route("/fail", fail)]))
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway.test") as http:
        answer = await http.get("/fail")
    assert assert_problem(answer, code).temporary
    assert answer.headers["retry-after"] == "1"


async def test_a_listed_origin_may_read_answers_and_another_may_not(http: httpx2.AsyncClient) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,idempotency-key"}
    ours = await http.options(LOGIN, headers=asked | {"Origin": "https://chat.example"})
    assert ours.headers["access-control-allow-origin"] == "https://chat.example"
    foreign = await http.options(LOGIN, headers=asked | {"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers
    refused = await http.get("/api/me", headers={"Origin": "https://chat.example"})
    assert refused.headers["access-control-allow-origin"] == "https://chat.example"
