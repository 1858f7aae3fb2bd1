"""Uploads large files all at once, in a session of its own: `python -m tests.system.uploader HOST:PORT TOKEN WAVES FILES BYTES MBIT`.

Each comes over a line of MBIT Mbit/s, or as fast as it can where that is 0. Every second one is streamed through the gateway, the others go by the form. The next wave comes when all are judged. Prints one JSON object:
what became of them, and how many seconds a wave took until its files were uploaded, and until they were judged.
"""

import http.client
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from cli.up.child import go_behind

CHUNK = os.urandom(64 * 1024)
PATIENCE_SECONDS = 300.0


class Gateway:
    """Somebody's requests, each on a connection of its own, over a line of so many bytes a second."""

    def __init__(self, address: str, token: str, line: float) -> None:
        self.address, self.token, self.line = address, token, line

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
        headers |= {"Authorization": f"Bearer {self.token}"}
        status, answer = request(self.address, method, path, body, headers)
        return status, json.loads(answer) if answer else {}


def request(address: str, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, bytes]:
    """Status 0 where the other side hung up, as it does to who sends what it does not want."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def noise(size: int, line: float) -> Iterator[bytes]:
    """So many bytes that are no text and no archive, never held whole."""
    began = time.monotonic()
    for start in range(0, size, len(CHUNK)):
        yield CHUNK[: size - start]
        if line:
            time.sleep(max(0.0, began + start / line - time.monotonic()))


def upload(gateway: Gateway, number: int, size: int) -> str:
    """Its id, once it is uploaded."""
    said = {"name": f"{number}.bin", "content_type": "application/octet-stream", "size": size}
    status, announced = gateway.ask(
        "POST", "/api/attachments", json.dumps(said), **{"Content-Type": "application/json"}
    )
    assert status == 201, announced
    path = f"/api/attachments/{announced['attachment_id']}"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (stream(gateway, path, size) if number % 2 else post(gateway, path, announced["upload"], size)):
        assert time.monotonic() < deadline, f"{number} can not be uploaded"
        time.sleep(0.5)
    return path


def stream(gateway: Gateway, path: str, size: int) -> bool:
    status, _ = gateway.ask("PUT", f"{path}/content", noise(size, gateway.line), **{"Content-Length": str(size)})
    assert status in {0, 200, 503}, status
    return status == 200


def post(gateway: Gateway, path: str, form: dict[str, Any], size: int) -> bool:
    boundary = "a-line-that-no-file-has"
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form["fields"].items()
    )
    head += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    tail = f"\r\n--{boundary}--\r\n"
    headers = {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Content-Length": str(len(head) + size + len(tail)),
    }

    def body() -> Iterator[bytes]:
        yield head.encode()
        yield from noise(size, gateway.line)
        yield tail.encode()

    url = urlsplit(form["url"])
    status, answer = request(url.netloc, "POST", url.path, body(), headers)
    assert status in {0, 204} or status >= 500, answer
    return status == 204 and gateway.ask("POST", f"{path}/complete")[0] == 200


def verdict(gateway: Gateway, path: str) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        status, answer = gateway.ask("GET", path)
        if status == 200 and answer["status"] != "pending":
            return answer["status"]
        time.sleep(0.5)
    return "pending"


def main(gateway: Gateway, waves: int, files: int, size: int) -> None:
    go_behind(19)  # real clients bring processors of their own
    verdicts: Counter[str] = Counter()
    seconds: list[tuple[float, float]] = []
    for _ in range(waves):
        began = time.monotonic()
        with ThreadPoolExecutor(files) as threads:
            paths = list(threads.map(lambda number: upload(gateway, number, size), range(files)))
        uploaded = time.monotonic()
        verdicts.update(verdict(gateway, path) for path in paths)
        seconds.append((round(uploaded - began, 1), round(time.monotonic() - began, 1)))
    print(json.dumps({"verdicts": verdicts, "seconds": seconds}))


if __name__ == "__main__":
    address, token, *numbers, mbit = sys.argv[1:]
    main(Gateway(address, token, int(mbit) * 125_000), *map(int, numbers))
