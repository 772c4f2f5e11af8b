"""The secret in the Parameter Store of AWS Systems Manager, as a SecureString.

A standard parameter is free, and few people read it, whereas operators look into the table; a secret in Secrets Manager
costs 0.40 dollars a month. CloudFormation cannot create a SecureString, so the first function that needs it does.
https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
"""

from __future__ import annotations

import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from urlsum import aws
from urlsum.errors import TableUnavailable
from urlsum.secret import new

if TYPE_CHECKING:
    from collections.abc import Callable

MISSING, TAKEN = "ParameterNotFound", "ParameterAlreadyExists"
# Parameter Store responds within tens of milliseconds. At worst three requests, each with one retry, take 3 * 2 *
# (1 + 2) s and their pauses, which leaves the API time to respond with 503.
CONNECT_SECONDS = 1
READ_SECONDS = 2
TRIES = 2
# Between a refused PutParameter and the GetParameter after it: reads may lag behind writes for a moment.
PAUSES_SECONDS = (0.0, 0.2, 0.5, 1.0)


class _Client(Protocol):
    """The two operations of botocore's client."""

    def get_parameter(self, *, Name: str, WithDecryption: bool) -> dict[str, Any]: ...  # noqa: N803 - AWS's names

    def put_parameter(self, *, Name: str, Value: str, Type: str, Overwrite: bool, Description: str) -> object: ...  # noqa: N803 - as above


class SsmSecret:
    """Reads the secret from the parameter ``name`` at first use, and creates the parameter if there is none.

    PutParameter without Overwrite lets one process win; the others take its value.
    """

    def __init__(self, name: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._name = name
        self._sleep = sleep
        self._lock = threading.Lock()
        self._value: bytes | None = None

    def __call__(self) -> bytes:
        """The secret. Raises TableUnavailable."""
        with self._lock:
            if self._value is None:
                self._value = self._kept().encode()
            return self._value

    def prepare(self) -> None:
        """Make the client now, and not at the first use of the secret."""
        _ = self._client

    def _kept(self) -> str:
        try:
            return self._read() or self._made() or self._read_after_another_made_it()
        except ClientError as exc:
            raise TableUnavailable(f"SSM: {self._name}: {exc}") from exc
        except BotoCoreError as exc:
            raise TableUnavailable(f"SSM: {exc}") from exc

    def _read(self) -> str | None:
        try:
            response = self._client.get_parameter(Name=self._name, WithDecryption=True)
        except ClientError as exc:
            if exc.response["Error"]["Code"] == MISSING:
                return None
            raise
        return str(response["Parameter"]["Value"])

    def _made(self) -> str | None:
        value = new()
        try:
            self._client.put_parameter(
                Name=self._name,
                Value=value,
                Type="SecureString",
                Overwrite=False,
                Description="The key of urlsum's HMACs. Without it, links in emails and repeated submissions fail.",
            )
        except ClientError as exc:
            if exc.response["Error"]["Code"] == TAKEN:
                return None
            raise
        return value

    def _read_after_another_made_it(self) -> str:
        for pause in PAUSES_SECONDS:
            self._sleep(pause)
            if value := self._read():
                return value
        raise TableUnavailable(f"SSM: {self._name} exists and cannot be read yet")

    @cached_property
    def _client(self) -> _Client:
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": TRIES},
        )
        client: _Client = aws.client("ssm", config)
        return client
