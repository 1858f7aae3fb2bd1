"""The configuration of a process: environment variables `HEADRACE_…`, checked all at once.

Any variable can also be given as `HEADRACE_<NAME>_FILE`, a file that holds the value, as containers' secrets do.
`docs/settings.md` is generated from this module.
"""

import os
from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from backplane.setting_rules import PREFIX, BrokenRule, broken_rules
from schemas.limits import Policy, PolicyName, read_policies
from schemas.names import Names

BUCKET = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"


class SettingsError(Exception):
    """The configuration is wrong; the message lists every fault with its variable and an example."""


class Settings(BaseSettings):
    """One process' configuration. Times carry their unit in their name."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    environment: Literal["development", "production"] = Field(
        "production", description="`development` allows missing secrets and plain defaults.", examples=["production"]
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe line that is logged."
    )
    log_format: Literal["json", "console"] = Field("json", description="JSON lines for machines, colours for people.")

    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis 7+ or Valkey.",
        examples=["rediss://headrace:secret@redis:6379/0"],
    )
    mongodb_url: SecretStr = Field(
        SecretStr("mongodb://127.0.0.1:27017/?replicaSet=rs0"),
        description="MongoDB 7+, a replica set or a sharded cluster.",
        examples=["mongodb://headrace:secret@mongo-1,mongo-2/?replicaSet=rs0"],
    )
    mongodb_database: str = Field("headrace", description="The database's name.", min_length=1, max_length=63)
    namespace: str = Field("hr", description="What every Redis key begins with.", pattern="^[a-z0-9_-]{1,32}$")
    partitions: int = Field(
        16, description="Partitions of the conversations; fixed at the deployment's birth.", ge=1, le=256
    )
    shards: int = Field(16, description="Shards of the user logs; fixed at the deployment's birth.", ge=1, le=256)
    redis_lossless_restart: bool = Field(
        False,
        description="Redis runs with `appendfsync always`: a restart forgets nothing, and clients need no resync.",
    )

    host: str = Field("127.0.0.1", description="The address a gateway listens on.", examples=["10.0.0.5"])
    port: int = Field(8000, description="The port a gateway listens on.", ge=1, le=65535)
    internal_host: str = Field("127.0.0.1", description="The address of the internal port.")
    internal_port: int = Field(0, description="Port of detailed health and metrics; 0 switches it off.", ge=0, le=65535)
    ops_token: SecretStr | None = Field(
        None,
        description="Bearer token that opens detailed health and metrics on the public port.",
        examples=["<32+ random characters>"],
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Web origins that may use the server, separated by commas; its own origin always may.",
        examples=["https://chat.example"],
    )

    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="What `Host` may say, separated by commas; `*.` in front means every subdomain. Empty: anything.",
        examples=["chat.example,*.chat.example"],
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        ("127.0.0.1", "::1"),
        description="Addresses and networks whose `X-Forwarded-For` and `-Proto` count, separated by commas; `*`: anybody's.",
        examples=["10.0.0.0/8"],
    )
    rate_limits: str = Field(
        "",
        description="Changes to the table of rate limits (docs/limits.md): `name=how many/seconds` or `name=off`, separated by commas; `off`: none.",
        examples=["send=500/20,register=off"],
    )
    connections_per_user: int = Field(100, description="Sockets of one person on one gateway.", ge=1)
    connections_per_address: int = Field(
        2000, description="Sockets from one address (of IPv6: from one /64) on one gateway.", ge=1
    )
    accepts_per_second: int = Field(
        200,
        description="Sockets that a gateway takes in a second, and twice as many at once; others come again later.",
        ge=1,
    )

    signing_key: SecretStr | None = Field(
        None,
        description="Keys that sign and check access tokens: a JWK Set (`headrace keys generate`), or one Ed25519 private key in PEM. Gateways need it outside development.",
        examples=["$(headrace keys generate)"],
    )
    token_issuer: str = Field("headrace", description="`iss` of access tokens.")
    token_audience: str = Field("headrace", description="`aud` of access tokens.")
    access_token_seconds: int = Field(600, description="Life of an access token.", ge=30, le=3600)
    refresh_idle_seconds: int = Field(
        7 * 86400, description="A refresh token unused this long ends its session.", ge=60
    )
    refresh_absolute_seconds: int = Field(30 * 86400, description="A session ends after this, used or not.", ge=60)
    registration_open: bool = Field(True, description="Whether people may register by themselves.")
    edit_seconds: int = Field(
        0,
        description="How long authors may edit and delete what they have sent; 0: for ever. Admins may always delete.",
        ge=0,
    )
    reactions_a_message: int = Field(50, description="Different reactions to one message.", ge=1, le=500)
    reactions_a_user: int = Field(10, description="Reactions of one person to one message.", ge=1, le=100)
    retention_days: int = Field(
        0,
        description="How long messages are kept, in days; 0: for ever. A conversation's own setting can only be shorter.",
        ge=0,
        le=3650,
    )
    retention_seconds: float = Field(60.0, description="Between two looks for messages that are too old.", gt=0)
    member_limit: int = Field(1000, description="Members of one conversation.", ge=2, le=1000)

    receipt_members: int = Field(
        50,
        description="Up to so many members everybody in a conversation is told of receipts; others ask.",
        ge=0,
        le=1000,
    )

    heartbeat_seconds: float = Field(25.0, description="Between two pings of a socket.", gt=0)
    connect_seconds: float = Field(10.0, description="Within which a socket must send `connect`.", gt=0)
    slow_consumer_seconds: float = Field(30.0, description="A connection without progress this long is closed.", gt=0)
    send_buffer_bytes: int = Field(65536, description="High-water mark of a socket's write buffer.", ge=1024)
    sweep_seconds: float = Field(30.0, description="Between two comparisons of connected users with their logs.", gt=0)
    drain_seconds: float = Field(10.0, description="Over which a stopping gateway spreads its goodbyes.", ge=0)
    resync_spread_ms: int = Field(5000, description="Clients wait a random time up to this before a resync.", ge=0)
    intents_in_flight: int = Field(
        10_000, description="Intents that one gateway holds before it answers `overloaded`.", ge=1
    )

    ephemera: bool = Field(True, description="Whether typing and presence are told; off, they cost next to nothing.")
    presence_grace_seconds: float = Field(
        15.0, description="How long somebody is still there whose last connection has ended.", ge=0
    )

    lease_seconds: float = Field(
        10.0, description="Life of a partition's lease; longer than `mongodb_timeout_seconds`.", gt=0
    )
    batch_entries: int = Field(500, description="Entries that a stage takes at once.", ge=1, le=5000)
    max_attempts: int = Field(5, description="Failures of one entry before it is dead-lettered.", ge=1)
    retry_seconds: float = Field(
        0.5, description="First wait before a failed entry is tried again; doubles up to 10 s.", gt=0
    )
    overload_seconds: float = Field(
        10.0, description="Age of the oldest unacknowledged entry from which intents are refused.", gt=0
    )
    memory_limit_ratio: float = Field(
        0.8, description="Share of Redis' maxmemory from which intents are refused.", gt=0, le=1
    )
    stream_max_age_seconds: float = Field(86400.0, description="Replay window of the partition streams.", gt=0)
    stream_max_entries: int = Field(1_000_000, description="Entries of a partition stream.", ge=1000)
    trim_seconds: float = Field(10.0, description="Between two trims of a partition.", gt=0)
    log_max_entries: int = Field(10_000, description="Entries of a user's log.", ge=10)
    resume_max_entries: int = Field(
        5000, description="Entries that a resume replays before it asks for a resync.", ge=1
    )
    epoch_ttl_seconds: int = Field(
        30 * 86400, description="A user who does not connect this long loses the log.", ge=60
    )
    shard_skip_seconds: float = Field(30.0, description="A user shard away this long is set aside.", gt=0)
    mongodb_timeout_seconds: float = Field(5.0, description="Limit of one MongoDB operation.", gt=0)

    webhooks_allow_private: bool = Field(
        False, description="Webhooks may lead into private networks. Only in development."
    )
    webhooks_retry_seconds: float = Field(
        5.0,
        description="Longest first wait after a webhook delivery failed; doubles up to 300 s, with full jitter.",
        gt=0,
    )
    webhooks_give_up_seconds: float = Field(
        900.0, description="A webhook delivery that fails this long after its event is given up.", gt=0
    )
    webhooks_disable_seconds: float = Field(
        86400.0, description="A webhook without any success this long after its first failure is disabled.", gt=0
    )
    webhooks_disable_failures: int = Field(
        2000, description="A webhook is disabled after this many failed attempts in a row.", ge=1
    )
    webhooks_queue_entries: int = Field(
        1000, description="Deliveries that wait for one webhook in one partition; more are dropped.", ge=1
    )
    bots_per_owner: int = Field(20, description="Bots that one person may have, disabled ones too.", ge=1)
    webhooks_per_owner: int = Field(20, description="Webhooks that one person or bot may have.", ge=1)

    s3_url: str | None = Field(
        None,
        description="The object store for attachments, any that speaks S3, as our own processes reach it. Not set or empty: there is none.",
        examples=["https://s3.eu-central-1.amazonaws.com"],
    )
    s3_public_url: str | None = Field(
        None,
        description="The same as clients and browsers reach it, or a CDN that passes requests on as they are; used in links and upload forms. Not set: `s3_url`.",
        examples=["https://files.example"],
    )
    s3_region: str = Field("us-east-1", description="The region that requests to S3 are signed for.", min_length=1)
    s3_access_key: SecretStr | None = Field(
        None, description="The access key of S3; needed with `s3_url`.", examples=["AKIAEXAMPLE"]
    )
    s3_secret_key: SecretStr | None = Field(
        None, description="The secret key of S3; needed with `s3_url`.", examples=["<secret>"]
    )
    s3_bucket: str = Field("headrace-clean", description="The bucket of what may be served.", pattern=BUCKET)
    s3_quarantine_bucket: str = Field(
        "headrace-quarantine", description="The bucket of what was uploaded and is not judged yet.", pattern=BUCKET
    )
    s3_ca_file: str | None = Field(
        None,
        description="A CA of your own for the object store's certificate, in PEM.",
        examples=["/etc/headrace/ca.pem"],
    )
    scanner_url: str | None = Field(
        None,
        description="clamd, which attachments are scanned by: a UNIX socket or an address of a private network. Empty: no scanner.",
        examples=["unix:///run/clamav/clamd.ctl"],
    )
    scan_seconds: float = Field(
        150.0,
        description="Longest that clamd may take for one file; longer than its `MaxScanTime` (120 s unless it is set).",
        gt=0,
    )
    attachment_max_bytes: int = Field(
        26_214_400,
        description="Largest attachment; a scanner must take as much (clamd: `StreamMaxLength`, `MaxFileSize`, `MaxScanSize`).",
        ge=1,
        le=5_000_000_000,
    )
    attachment_quota_bytes: int = Field(
        5_000_000_000, description="Room that the attachments of one person may take together.", ge=1
    )
    upload_seconds: int = Field(300, description="How long an upload form is good for.", ge=10, le=86_400)
    uploads_at_once: int = Field(
        16,
        description="Uploads that one gateway passes through at a time, of clients that do not reach S3; half of them of one person at most.",
        ge=1,
    )
    download_seconds: int = Field(60, description="How long a link to an attachment is good for.", ge=5, le=3600)
    s3_cdn_url: str | None = Field(
        None,
        description="A CDN that serves the bucket of what is clean, asking `s3_url` under its own name and with the query as it came. Links lead there.",
        examples=["https://cdn.example"],
    )
    scans_at_once: int = Field(4, description="Files that one consumer process scans at a time.", ge=1, le=64)
    scan_claim_seconds: float = Field(
        30.0, description="A scan whose process has said nothing for this long is taken over by another.", ge=1
    )
    attachment_sweep_seconds: float = Field(
        60.0, description="Between two looks for uploads that were left, and for files that were withdrawn.", gt=0
    )
    attachment_loose_seconds: int = Field(
        86_400, description="A file that no message holds after this long is deleted.", ge=600
    )

    metrics_port: int = Field(
        0, description="Port of a consumer's `/health` and `/metrics`; 0 switches it off.", ge=0, le=65535
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` read counts: a test's settings never depend on the machine's environment."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def names(self) -> Names:
        """Every name of this deployment."""
        return Names(self.namespace, self.partitions, self.shards)

    @property
    def development(self) -> bool:
        """Whether weak settings are tolerated."""
        return self.environment == "development"

    @property
    def policies(self) -> Mapping[PolicyName, Policy]:
        """The rate limits of this deployment; one that is off is not there."""
        return read_policies(self.rate_limits)

    @field_validator("allowed_origins", "allowed_hosts", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return (
            tuple(filter(None, (one.strip().rstrip("/") for one in value.split(","))))
            if isinstance(value, str)
            else value
        )

    @field_validator("s3_url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            if one != "*":
                ip_network(one, strict=False)
        return value

    @field_validator("rate_limits")
    @classmethod
    def _are_policies(cls, value: str) -> str:
        read_policies(value)
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if broken := list(broken_rules(self)):
            raise _RulesBroken(broken)
        return self


def load_settings(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read the settings of this process from `environ` (default: the real environment); `overrides` win.

    Raises:
        SettingsError: something is wrong; the message lists all faults, one a line, with variable and example.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    faults: list[str] = []
    unread: set[str] = set()
    for name in Settings.model_fields:
        variable = PREFIX + name.upper()
        if path := environ.get(f"{variable}_FILE"):
            try:
                values[name] = Path(path).read_text(encoding="utf-8").strip()
            except OSError as failure:
                faults.append(f"{variable}_FILE: {path} can not be read ({failure.strerror})")
                unread.add(name)
            except UnicodeDecodeError:
                faults.append(f"{variable}_FILE: {path} is not text in UTF-8")
                unread.add(name)
        elif variable in environ:
            values[name] = environ[variable]
    if faults := [*faults, *_faults(values | overrides, frozenset(unread))]:
        raise SettingsError("\n".join(faults))
    return Settings.model_validate(values | overrides)


class _RulesBroken(ValueError):
    def __init__(self, broken: Sequence[BrokenRule]) -> None:
        super().__init__("\n".join(rule.fault for rule in broken))
        self.broken = broken


def _faults(values: Mapping[str, Any], wrong: frozenset[str]) -> list[str]:
    """What is wrong with each setting, then the rules that those keep from holding which are right; `wrong` are known to be so."""
    try:
        Settings.model_validate({name: value for name, value in values.items() if name not in wrong})
    except ValidationError as failure:
        errors: list[Any] = failure.errors(include_url=False, include_input=False)
        if singly := {str(error["loc"][0]): _fault(error) for error in errors if error["loc"]}:
            return [*singly.values(), *_faults(values, wrong | singly.keys())]
        # A setting that is wrong has its default here, about which nothing is to be said.
        rules: list[BrokenRule] = [rule for error in errors for rule in error["ctx"]["error"].broken]
        return [rule.fault for rule in rules if not rule.names & wrong]
    return []


def _fault(error: Any) -> str:
    name = str(error["loc"][0])
    field = Settings.model_fields[name]
    example = next(iter(field.examples or ()), field.get_default())
    return f"{PREFIX}{name.upper()}: {error['msg']} (e.g. {getattr(example, 'get_secret_value', lambda: example)()})"
