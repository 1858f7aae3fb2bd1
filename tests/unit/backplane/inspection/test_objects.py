"""What the doctor says of an object store that answers, or does not."""

import pytest

from backplane.errors import Transient
from backplane.inspection.objects import answering, inspect, refused
from backplane.objects.failures import Misconfigured
from backplane.settings import load_settings


def test_a_store_that_answers_is_said_with_its_time() -> None:
    assert answering(0.0123).seen == "both buckets answer, in 12.3 ms"


@pytest.mark.parametrize(
    ("failure", "fix"),
    [
        (Misconfigured("S3: there is no bucket b; run `headrace migrate`"), "`headrace migrate`"),
        (Misconfigured("S3: look at bucket b: 403"), "HEADRACE_S3_SECRET_KEY"),
        (Transient("S3: look at bucket b: EndpointConnectionError"), "HEADRACE_S3_URL"),
    ],
)
def test_each_failure_has_its_own_remedy(failure: Exception, fix: str) -> None:
    check = refused(failure)
    assert check.level == "error"
    assert fix in str(check.fix)
    assert "run" not in check.seen


@pytest.mark.anyio
async def test_no_store_is_no_fault() -> None:
    (check,) = await inspect(load_settings({}, environment="development"))
    assert (check.what, check.level) == ("s3", "ok")
