"""clamd, which attachments are scanned by: given by a URL, or an installed one with the signatures that this machine has.

Debian's own clamd is not used unasked: as it comes, it says OK to what it did not look at.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from backplane.errors import Transient
from backplane.scanner import parse_version
from backplane.settings import PREFIX
from cli.up.child import BEHIND, Spec
from cli.up.folder import DataFolder
from cli.up.services.outside import Service, given

NAME: Final = "clamd"
SCANNER_URL: Final = PREFIX + "SCANNER_URL"
NONE: Final = (
    "no virus scanner: uploads are refused; install clamav-daemon and clamav-freshclam (Debian), then start again"
)
NO_SIGNATURES: Final = (
    "no virus scanner: uploads are refused; clamd is installed and has no signatures: run freshclam, then start again"
)
PLACES: Final = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
"""Where clamd is installed; the PATH of most users does not have them."""
DATABASE: Final = Path("/var/lib/clamav")
SIGNATURES: Final = frozenset({".cvd", ".cld", ".ndb", ".ldb", ".hdb", ".hsb"})
SOCKET: Final = "clamd.ctl"
LONGEST_SOCKET: Final = 100
"""Bytes of the path of a UNIX socket; Linux takes 107 (unix(7)), macOS 103."""


def clamd(environ: Mapping[str, str], folder: DataFolder) -> Service:
    """The scanner to use. A URL that is set and empty asks for none."""
    url = given(environ, SCANNER_URL)
    if url == "":
        return Service(NAME, "", f"none: {SCANNER_URL} is empty, and uploads are refused", {SCANNER_URL: ""})
    if url is not None:
        return Service(NAME, url, f"given by {SCANNER_URL}", {SCANNER_URL: url})
    program = clamd_program()
    if program is None:
        return Service(NAME, "", NONE)
    database = database_folder(program)
    if database is None:
        return Service(NAME, "", NO_SIGNATURES)
    data = folder.sub(NAME)
    socket = _socket(folder, data)
    config = data / "clamd.conf"
    config.write_text(configuration(data, socket, database), encoding="utf-8")
    url = f"unix://{quote(str(socket))}"
    # Not waited for: it reads its signatures for up to a minute, and nobody needs it to chat.
    spec = Spec(NAME, (str(program), f"--config-file={config}"), data, ready=None, nice=BEHIND)
    said = f"{_origin(program, config)}, starting: uploads stay pending until it answers"
    return Service(NAME, url, said, {SCANNER_URL: url}, spec)


def clamd_program() -> Path | None:
    """An installed clamd."""
    found = shutil.which("clamd", path=os.pathsep.join([os.environ.get("PATH", ""), *PLACES]))
    return Path(found) if found else None


def database_folder(program: Path) -> Path | None:
    """Where this clamd's signatures are, if there are any."""
    beside = (program.parent, program.parent.parent / "bin")
    asked = shutil.which("clamconf", path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, beside)]))
    folder = (_told_database(asked) if asked else None) or DATABASE
    try:
        return folder if any(file.suffix in SIGNATURES for file in folder.iterdir()) else None
    except OSError:
        return None


def configuration(data: Path, socket: Path, database: Path) -> str:
    """clamd.conf(5): a scanner of this user's own, on a socket alone, that never calls clean what it did not look at."""
    return f"""\
Foreground yes
LocalSocket {socket}
LocalSocketMode 600
FixStaleSocket yes
DatabaseDirectory {database}
TemporaryDirectory {data}
MaxThreads 8
ExitOnOOM yes
# One set of signatures in memory, not two while they are read anew.
ConcurrentDatabaseReload no
AlertExceedsMax yes
AlertEncrypted yes
StreamMaxLength 100M
# Far above what consumers/inspection lets an archive unpack to: of a member that is over these, clamd says nothing.
MaxFileSize 1000M
MaxScanSize 2000M
MaxFiles 20000
"""


def _told_database(clamconf: str) -> Path | None:
    try:
        answer = subprocess.run([clamconf], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    told = re.search(r"^Database directory: (.+)$", answer.stdout, re.MULTILINE)
    return Path(told[1].strip()) if told else None


def _origin(program: Path, config: Path) -> str:
    command = [program, f"--config-file={config}", "--version"]
    try:
        answer = subprocess.run(command, capture_output=True, timeout=10, check=False)  # noqa: S603
        return f"{NAME} {parse_version(answer.stdout).engine}"
    except (OSError, subprocess.TimeoutExpired, Transient):
        return NAME


def _socket(folder: DataFolder, data: Path) -> Path:
    """Inside the data folder, or where that is too deep for a socket, in a folder of this user's alone, the same one as last time."""
    inside = data / SOCKET
    if len(os.fsencode(inside)) <= LONGEST_SOCKET:
        return inside
    before = folder.choice("clamd-socket-folder")
    if before is None or not _is_ours(Path(before)):
        before = tempfile.mkdtemp(prefix="headrace-")
        folder.choose("clamd-socket-folder", before)
    return Path(before) / SOCKET


def _is_ours(folder: Path) -> bool:
    """Others may write to a temporary directory, and could have made a folder of this name since."""
    try:
        seen = folder.lstat()
    except OSError:
        return False
    return folder.is_dir() and not folder.is_symlink() and (seen.st_uid, seen.st_mode & 0o777) == (os.getuid(), 0o700)
