"""The web client: the files of `gateway/web`, read once at start and served from memory.

There is one route for each file and no look-up by name, so there is no path to traverse. Files are small and change with a release only, so they are
revalidated each time (a strong `ETag` of the content); what makes a second visit instant is the service worker, which keeps one whole
release together.
"""

import gzip
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from backplane.settings import Settings

FOLDER: Final = Path(__file__).parent / "web"

PAGES: Final[Mapping[str, str]] = {
    "/": "index.html",
    "/settings": "index.html",
    "/c/{conversation_id:uuid}": "index.html",
    "/c/{conversation_id:uuid}/t/{message_id:uuid}": "index.html",
    "/ops": "ops.html",
    "/sw.js": "sw.js",
}
"""Addresses beside `/web/<file>`. A deep link is the same page as `/`; what is behind it, the client asks for."""

PARTS: Final = ("app", "icons", "ops", "sdk", "styles")
"""Folders of it that are served; what tools leave beside them is not."""

TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
"""What is served of them."""

PERMISSIONS_POLICY: Final = (
    "accelerometer=(), browsing-topics=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), "
    "magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=(), xr-spatial-tracking=()"
)

_SPLIT_AT: Final = 512
"""Bytes from which a compressed copy is worth its header."""
_IMPORT: Final = re.compile(r"""^(?:import|export)\b[^'"]*?["'](\.{1,2}/[^"']+)["']""", re.MULTILINE)
_PRELOADS: Final = "<!-- preloads -->"
_SHELL: Final = '"{{shell}}"'


@dataclass(frozen=True, slots=True)
class WebFile:
    """One file as it is answered, and its compressed form if that is smaller."""

    content: bytes
    gzipped: bytes | None
    media_type: str
    tag: str

    @classmethod
    def of(cls, name: str, content: bytes) -> "WebFile":
        """The file of that name."""
        gzipped = gzip.compress(content, 9, mtime=0) if len(content) >= _SPLIT_AT else None
        if gzipped is not None and len(gzipped) >= len(content):
            gzipped = None
        digest = hashlib.sha256(content).hexdigest()[:32]
        return cls(content, gzipped, TYPES[PurePosixPath(name).suffix], digest)


def web_routes(settings: Settings) -> list[BaseRoute]:
    """A route for each file, and for the addresses of `PAGES`."""
    policy = content_security_policy(settings)
    files = prepare(read_folder(FOLDER), policy)
    plain = {"Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    # What a page may do counts for its modules and styles; a service worker is asked for its own.
    policies = {
        "Content-Security-Policy": policy,
        "Permissions-Policy": PERMISSIONS_POLICY,
    }
    named = {
        name: _endpoint(WebFile.of(name, content), plain | policies if name in PAGES.values() else plain)
        for name, content in files.items()
    }
    pages = [Route(path, named[name], methods=["GET"]) for path, name in PAGES.items()]
    inner = [Route(f"/web/{name}", one, methods=["GET"]) for name, one in named.items() if name not in PAGES.values()]
    return [*pages, *inner]


def content_security_policy(settings: Settings) -> str:
    """What the client's pages may load: ourselves, and the object store for files. Text can not become script or markup."""
    uploads = settings.s3_public_url or settings.s3_url
    stores = [one.rstrip("/") for one in (uploads, settings.s3_cdn_url) if settings.s3_url and one]
    # 'self' covers the socket of the page's own origin (CSP 3, 6.7.2.8), but not in older Safari: there the names that we know help.
    sockets = [f"wss://{name}" for name in settings.allowed_hosts]
    rules = {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:", *stores],
        "connect-src": ["'self'", *sockets, *stores[:1]],
        "manifest-src": ["'self'"],
        "worker-src": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "require-trusted-types-for": ["'script'"],
        "trusted-types": ["headrace"],
    }
    return "; ".join(" ".join([rule, *values]) for rule, values in rules.items())


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files that are served, by their path from the folder."""
    places = [folder.glob("*"), *((folder / part).glob("*") for part in PARTS)]
    found = sorted(path for place in places for path in place if path.is_file() and path.suffix in TYPES)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def prepare(files: Mapping[str, bytes], policy: str = "") -> dict[str, bytes]:
    """Write into the pages what they need at once, so that it comes in one round trip, and into the service worker what it keeps.

    What a browser keeps, it keeps with its headers: another `policy` is another release.
    """
    done = dict(files)
    for page in (name for name in files if name.endswith(".html")):
        entry = re.search(rb'<script type="module" src="/web/([^"]+)"', files[page])
        modules = reachable(files, entry[1].decode()) if entry else []
        links = "\n    ".join(f'<link rel="modulepreload" href="/web/{name}">' for name in modules)
        done[page] = files[page].replace(_PRELOADS.encode(), links.encode())
    if "sw.js" in files:
        modules = reachable(files, "app/main.js")
        kept = [name for name in files if name.startswith(("styles/", "icons/")) or name.endswith(".webmanifest")]
        shell = {"/": "index.html", **{f"/web/{name}": name for name in [*modules, *kept]}}
        version = hashlib.sha256(b"".join([policy.encode(), *(done[name] for name in shell.values())])).hexdigest()[:16]
        text = json.dumps({"version": version, "paths": list(shell)})
        done["sw.js"] = files["sw.js"].replace(_SHELL.encode(), text.encode())
    return done


def reachable(files: Mapping[str, bytes], entry: str) -> list[str]:
    """A module and what it imports, and what that imports, in the order in which they are met."""
    met: dict[str, None] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop(0)
        if name in met or name not in files:
            continue
        met[name] = None
        for target in _IMPORT.findall(files[name].decode()):
            parts = [*PurePosixPath(name).parent.parts, *PurePosixPath(target).parts]
            waiting.append(_joined(parts))
    return list(met)


def _joined(parts: list[str]) -> str:
    kept: list[str] = []
    for part in parts:
        if part == "..":
            kept.pop()
        elif part != ".":
            kept.append(part)
    return "/".join(kept)


def _endpoint(file: WebFile, headers: Mapping[str, str]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        zipped = file.gzipped is not None and _takes_gzip(request.headers.get("accept-encoding", ""))
        # A strong tag names exact bytes, so the two forms have two (RFC 9110, 8.8.3.3).
        tag = f'"{file.tag}-gzip"' if zipped else f'"{file.tag}"'
        own = {**headers, "ETag": tag}
        if _matches(request.headers.get("if-none-match", ""), tag):
            return Response(status_code=304, headers=own)
        if zipped:
            own["Content-Encoding"] = "gzip"
        return Response(file.gzipped if zipped else file.content, headers=own, media_type=file.media_type)

    return endpoint


def _takes_gzip(accepted: str) -> bool:
    for one in accepted.lower().split(","):
        coding, _, weight = one.partition(";")
        if coding.strip() in {"gzip", "*"}:
            return not re.fullmatch(r"\s*q=0(\.0*)?\s*", weight)
    return False


def _matches(asked: str, tag: str) -> bool:
    known = [one.strip().removeprefix("W/") for one in asked.split(",")]
    return tag in known or "*" in known
