"""The settings: the one place that reads the environment."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from urlsum.errors import SettingsError

Network = IPv4Network | IPv6Network
Seconds = Annotated[float, Field(gt=0)]
HIGHEST_PORT = 65535
Port = Annotated[int, Field(ge=1, le=HIGHEST_PORT)]
# What holds a password, and so is neither quoted in errors nor shown by repr().
SECRET = frozenset({"MAIL_PASSWORD", "DATABASE_URI", "REDIS_URL"})
_HOST_OR_SUFFIX = re.compile(r"\.?([a-z0-9_-]+\.)*[0-9_-]*[a-z][a-z0-9_-]*")


class Settings(BaseSettings):
    """What can be set from outside; each field is the environment variable of the same name in capitals.

    A ``.env`` file in the working directory is read too; the environment wins over it.
    """

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    # Tables
    database_uri: Annotated[str, Field(repr=False)] = "sqlite:///data/urlsum.db"
    tasks_table: str | None = None
    task_ttl_days: Annotated[int, Field(ge=1)] = 30

    # Queues
    tasks_queue_url: str | None = None
    redis_url: Annotated[str | None, Field(repr=False)] = None
    # Of the RQ queue. RQ's lists of queues are separated by commas, and its command line by blanks.
    tasks_queue_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")] = "tc-tasks"

    # Mail
    mail_backend: Literal["ses", "smtp", "outbox"] = "outbox"
    mail_server: str = "localhost"
    mail_port: Port = 587
    mail_username: str | None = None
    mail_password: SecretStr | None = None
    mail_use_tls: bool = True
    mail_from: str = "urlsum@localhost"
    outbox_dir: Path = Path("outbox")

    # The web
    public_url: Annotated[str | None, Field(pattern=r"^https?://[^/?#\s]+(/[^?#\s]*)?$")] = None
    port: Port = 5000

    # What may be contacted. 8080 and 8443 beside the two standard ports: mirrors use them.
    allowed_networks: Annotated[tuple[Network, ...], NoDecode] = ()
    allowed_ports: Annotated[frozenset[int], NoDecode] = frozenset({80, 443, 8080, 8443})
    # Hosts, .suffixes and networks that this service leaves alone: an operator who is asked to stop must be able to.
    blocked_hosts: Annotated[tuple[Network | str, ...], NoDecode] = ()
    ssl_cert_file: Path | None = None

    # How an origin is read. 5 TiB is the largest object that S3 keeps.
    max_bytes: Annotated[int, Field(ge=1)] = 5 * 2**40
    connections_per_origin: Annotated[int, Field(ge=1, le=64)] = 8
    connect_timeout: Seconds = 10.0
    read_timeout: Seconds = 30.0
    min_bytes_per_second: Annotated[int, Field(ge=0)] = 1024
    min_rate_seconds: Seconds = 60.0
    max_redirects: Annotated[int, Field(ge=0)] = 10

    # How a task is worked on. A slice ends well before Lambda's own time-out, see template.yaml.
    max_attempts: Annotated[int, Field(ge=1)] = 5
    retry_base_seconds: Seconds = 5.0
    slice_seconds: Seconds = 240.0
    checkpoint_seconds: Seconds = 10.0
    lease_seconds: Seconds = 90.0
    # How often a self-hosted worker sweeps; on AWS the schedule of template.yaml says it. A sweep that finds nothing is
    # one look into an index, and a task whose worker died waits for two leases anyway.
    sweep_seconds: Seconds = 60.0

    # Set by the Lambda runtime, never by people.
    aws_lambda_function_name: str | None = None

    @field_validator("allowed_networks", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())

    @field_validator("blocked_hosts", mode="before")
    @classmethod
    def _hosts(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(_host_or_network(part.strip()) for part in value.split(",") if part.strip())

    @field_validator("allowed_ports", mode="before")
    @classmethod
    def _ports(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        ports = frozenset(int(part) for part in value.split(",") if part.strip())
        if not all(1 <= port <= HIGHEST_PORT for port in ports):
            raise ValueError("ports are whole numbers from 1 to 65535, separated by commas")
        return ports

    @model_validator(mode="after")
    def _lease_outlives_silence(self) -> Self:
        # The lease is renewed at checkpoints only. An origin that is silent for a whole read time-out just after
        # one, and must then be connected to again, would otherwise cost a healthy worker its lease.
        silence = self.checkpoint_seconds + self.read_timeout + self.connect_timeout
        if self.lease_seconds <= silence:
            raise ValueError(
                f"LEASE_SECONDS ({self.lease_seconds:g}) must be more than CHECKPOINT_SECONDS + READ_TIMEOUT"
                f" + CONNECT_TIMEOUT ({silence:g})"
            )
        return self

    @property
    def on_lambda(self) -> bool:
        """Whether this process runs inside AWS Lambda (or its emulator)."""
        return self.aws_lambda_function_name is not None


def _host_or_network(text: str) -> Network | str:
    with suppress(ValueError):
        return ip_network(text)
    host = text.lower().removesuffix(".")
    # An entry that no host can match, like *.example.org or a URL, would be a deny list that denies nothing.
    if not _HOST_OR_SUFFIX.fullmatch(host):
        raise ValueError(
            f"{text!r} is neither a host (example.org), nor a .suffix (.example.org: it and all below it), nor a"
            " network (192.0.2.0/24); write international names in their xn-- form"
        )
    return host


def on_lambda() -> bool:
    """Whether this process runs inside AWS Lambda; unlike ``load`` this may be asked at import: it reads no file."""
    return bool(os.environ.get("AWS_LAMBDA_FUNCTION_NAME"))


@cache
def load() -> Settings:
    """The settings of this process. Raises SettingsError: one line that names the wrong one."""
    try:
        return Settings()
    except ValidationError as exc:
        error = exc.errors()[0]
        name = str(error["loc"][0]).upper() if error["loc"] else ""
        reason = error["msg"].removeprefix("Value error, ")
        shown = "" if not name or name in SECRET else f" (it is {error['input']!r})"
        raise SettingsError(f"{name}: {reason}{shown}" if name else reason) from None
