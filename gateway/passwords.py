"""Passwords: argon2id (RFC 9106) in threads of their own, so that a storm of logins stops neither sockets nor memory.

Two threads at 19 MiB each (OWASP's minimum parameters) do some 60 checks a second; what waits is bounded, the rest is refused.
An unknown user costs the same as a wrong password, so neither time nor answer tells who has an account. What everybody tries first is no
password (NIST SP 800-63B, 5.1.1.2): `common_passwords.txt.gz` holds those of eight bytes and more of the 20 000 most common ones that
Royce Williams has published and Django uses.
"""

import asyncio
import functools
import gzip
import importlib.resources
import secrets
import unicodedata
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import argon2

MIN_BYTES = 8
MAX_BYTES = 1024

_T = TypeVar("_T")


class PasswordsBusy(Exception):
    """Too many checks are waiting; nothing was checked."""


class Passwords:
    """Hashes and checks passwords.

    Args:
        threads: checks at the same time.
        waiting: checks that may be under way or wait for a thread; more raise `PasswordsBusy`.
    """

    def __init__(self, *, threads: int = 2, waiting: int = 64) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._waiting, self._limit = 0, waiting
        self._nobodys = self._hasher.hash(secrets.token_bytes(32))  # now: the first unknown user must not cost double

    def close(self) -> None:
        """Let the check under way end, drop what waits."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str, *, names: Collection[str | None] = ()) -> str:
        """The PHC string to store of a new password; `names`: what its owner is called.

        Raises:
            ValueError: it is too short or too long, common, or a name; the message says the rule.
            PasswordsBusy: too many are waiting.
        """
        check_new(password, names)
        return await self.rehash(password)

    async def rehash(self, password: str) -> str:
        """The PHC string of a password that counts already, whatever today's rules are. Raises `PasswordsBusy`."""
        prepared = _prepare(password)
        return await self._in_thread(lambda: self._hasher.hash(prepared))

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether it is the password of this hash; for None, nobody's hash, as slowly.

        Raises:
            PasswordsBusy: too many are waiting.
        """
        prepared = _prepare(password)
        if len(prepared) > MAX_BYTES:
            return False  # no stored password is that long, whoever it is
        return await self._in_thread(lambda: self._verify(stored or self._nobodys, prepared)) and stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether it was hashed with other parameters than today's: hash anew at the next login."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, stored: str, prepared: bytes) -> bool:
        try:
            return self._hasher.verify(stored, prepared)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        if self._waiting >= self._limit:
            raise PasswordsBusy
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._waiting -= 1


def check_new(password: str, names: Collection[str | None] = ()) -> None:
    """Judge a new password.

    Raises:
        ValueError: the message says the rule that it breaks.
    """
    prepared = _prepare(password)
    if not MIN_BYTES <= len(prepared) <= MAX_BYTES:
        raise ValueError(f"password must have {MIN_BYTES} to {MAX_BYTES} bytes")
    folded = prepared.decode().casefold()
    if folded in _common():
        raise ValueError("password is one of the most common ones, which everybody tries first; choose another")
    if folded in {name.casefold() for name in names if name}:
        raise ValueError("password is your name; choose another")


@functools.cache
def _common() -> frozenset[str]:
    packed = (importlib.resources.files("gateway") / "common_passwords.txt.gz").read_bytes()
    return frozenset(gzip.decompress(packed).decode().split())


def _prepare(password: str) -> bytes:
    """NFKC, so that two keyboards that write the same password differently both open the account."""
    return unicodedata.normalize("NFKC", password).encode()
