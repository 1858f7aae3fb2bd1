"""A form whose length is known before its file is read."""

from email import message_from_bytes
from email.policy import HTTP

from hypothesis import given
from hypothesis import strategies as st

from headrace_client import multipart

VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40)


def parsed(framing: multipart.Framing, content: bytes) -> list[tuple[str, bytes]]:
    raw = f"Content-Type: {framing.content_type}\r\n\r\n".encode() + framing.head + content + framing.tail
    parts = message_from_bytes(raw, policy=HTTP).iter_parts()
    return [
        (part.get_param("name", header="content-disposition"), part.get_payload(decode=True))  # type: ignore[misc]
        for part in parts
    ]


@given(
    st.dictionaries(st.sampled_from(["key", "policy", "x-amz-date", "Content-Type"]), VALUES), st.binary(max_size=99)
)
def test_the_length_is_exact_and_the_file_comes_last(fields: dict[str, str], content: bytes) -> None:
    framing = multipart.frame(fields, len(content))
    assert framing.length == len(framing.head + content + framing.tail)
    body = framing.head + content + framing.tail
    boundary = framing.content_type.partition("boundary=")[2].encode()
    *before, file, end = body.split(b"--" + boundary)
    assert end == b"--\r\n"
    assert file.partition(b"\r\n\r\n")[2] == content + b"\r\n"
    assert [each.partition(b"\r\n\r\n")[2].decode().removesuffix("\r\n") for each in before[1:]] == [*fields.values()]


def test_another_reader_finds_the_same() -> None:
    content = b"\x00\r\n--not the boundary\r\n"
    framing = multipart.frame({"key": "a/b", "policy": "eyJ9"}, len(content))
    assert parsed(framing, content) == [("key", b"a/b"), ("policy", b"eyJ9"), ("file", content)]


def test_a_name_can_not_end_its_header() -> None:
    head = multipart.frame({'a"\r\nX-Evil: 1': "v"}, 1, boundary="b").head
    assert head.startswith(b'--b\r\nContent-Disposition: form-data; name="a%22%0D%0AX-Evil: 1"\r\n\r\nv\r\n--b\r\n')
