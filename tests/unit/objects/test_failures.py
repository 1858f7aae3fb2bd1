"""What each failure of the driver means for the caller, and that its words are not passed on."""

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ParamValidationError,
    ReadTimeoutError,
)
from urllib3.exceptions import ProtocolError

from backplane.errors import Permanent, Transient, Unknown
from backplane.objects.failures import Absent, Changed, Misconfigured, reading, writing

URL = "https://s3.example/bucket/key?X-Amz-Signature=0123"


def refusal(code: str, status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": f"see {URL}"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "GetObject",
    )


CASES: list[tuple[Exception, type[Exception], type[Exception]]] = [
    (EndpointConnectionError(endpoint_url=URL), Transient, Transient),
    (ConnectTimeoutError(endpoint_url=URL), Transient, Transient),
    (ReadTimeoutError(endpoint_url=URL), Transient, Unknown),
    (ConnectionClosedError(endpoint_url=URL), Transient, Unknown),
    (ProtocolError("broken", OSError(URL)), Transient, Unknown),
    (ConnectionResetError(104, URL), Transient, Unknown),
    (BotoCoreError(), Transient, Unknown),
    (ParamValidationError(report=URL), Permanent, Permanent),
    (refusal("InternalError", 500), Transient, Unknown),
    (refusal("", 502), Transient, Unknown),
    (refusal("SlowDown", 503), Transient, Transient),
    (refusal("TooManyRequests", 429), Transient, Transient),
    (refusal("ConditionalRequestConflict", 409), Transient, Transient),
    (refusal("NoSuchKey", 404), Absent, Absent),
    (refusal("404", 404), Absent, Absent),
    (refusal("PreconditionFailed", 412), Changed, Changed),
    (refusal("NoSuchBucket", 404), Misconfigured, Misconfigured),
    (refusal("SignatureDoesNotMatch", 403), Misconfigured, Misconfigured),
    (refusal("403", 403), Misconfigured, Misconfigured),
    (refusal("EntityTooLarge", 400), Permanent, Permanent),
]


@pytest.mark.parametrize(("failure", "read", "written"), CASES)
def test_a_failure_is_translated(failure: Exception, read: type[Exception], written: type[Exception]) -> None:
    for translate, meaning in ((reading, read), (writing, written)):
        with pytest.raises(meaning) as caught, translate("look at bucket b"):
            raise failure
        assert type(caught.value) is meaning
        assert str(caught.value).startswith("S3: look at bucket b: ")
        assert "s3.example" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_our_own_mistakes_in_code_are_not_hidden() -> None:
    with pytest.raises(KeyError), reading("x"):
        raise KeyError("ours")
