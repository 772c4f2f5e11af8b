"""What a service answers, of which nothing is trusted: bounded, and of the types that are expected."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from urlsum.origin.http11.waits import retry_after

if TYPE_CHECKING:
    import requests

# The longest response has three URLs of 8,000 characters, each escaped as six, and a dozen notes.
MOST_BYTES = 2**20
READ_BYTES = 65_536
# The service says 30 s at most; a proxy that limits rates may say more. A wrong Retry-After must not stop the command
# for a day.
MOST_WAIT_SECONDS = 300.0

# It becomes a part of a URL, and is shown. Services have UUIDs.
TaskId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,128}\Z")]
Digest = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f]{32}\Z")]
# A stable word of the service, which scripts compare.
Code = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}\Z")]
PROBLEM_PREFIX = "urn:urlsum:problem:"
# SQL databases keep sizes in 64 bits.
Size = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Accepted(Struct):
    """202 to POST /submit."""

    id: TaskId


class Progress(Struct):
    """How far a task is, in bytes."""

    bytes: Size
    total: Size | None = None


class Waiting(Struct):
    """202 to GET /check."""

    progress: Progress


class Note(Struct):
    """A remark about a digest."""

    message: str
    code: str = ""


class ProvenVersion(Struct):
    """The validators of the version that was read, and which of them proves it."""

    etag: str | None = None
    last_modified: Annotated[datetime, Meta(tz=True)] | None = None
    proof: str | None = None


class Done(Struct):
    """200 to GET /check. All but the digest are remarks: one of another type does not cost the digest."""

    md5: Digest
    notes: object = None
    final_url: object = None
    name: object = None
    content_type: object = None
    size: object = None
    version: object = None

    @property
    def proven(self) -> ProvenVersion | None:
        """The version, unless it is none."""
        with suppress(msgspec.ValidationError, OverflowError):  # the latter from a time before the year 1 in UTC
            found = msgspec.convert(self.version, ProvenVersion)
            if found.last_modified is not None:
                found.last_modified = found.last_modified.astimezone(UTC)
            return found
        return None

    def remarks(self, most: int) -> list[Note]:
        """At most ``most`` of the notes, without those that are none."""
        notes = self.notes if isinstance(self.notes, list) else []
        return [note for item in notes[:most] if (note := _note(item)) is not None]


def _note(item: object) -> Note | None:
    with suppress(msgspec.ValidationError):
        return msgspec.convert(item, Note)
    return None


class Reason(Struct):
    """Why there is no digest."""

    code: Code
    message: str


class Failed(Struct):
    """424 to GET /check."""

    error: Reason


class Cancelled(Struct):
    """410 to GET /check."""

    status: Code


class Problem(Struct):
    """A refusal (RFC 9457)."""

    type: Annotated[str, Meta(pattern=rf"^{PROBLEM_PREFIX}[a-z0-9][a-z0-9_-]{{0,39}}\Z")]
    detail: str


Kind = TypeVar("Kind", bound=Struct)


class Reply:
    """A response whose body has been read. Raises RequestException, and ValueError if it is longer than MOST_BYTES."""

    def __init__(self, response: requests.Response) -> None:
        self.status = response.status_code
        self.content_type = response.headers.get("Content-Type", "no type")
        self.location = response.headers["Location"] if response.is_redirect else None
        self.preference_applied = "Preference-Applied" in response.headers
        wait = retry_after(response.headers.get("Retry-After"), date=response.headers.get("Date"), now=time.time())
        self.retry_after = None if wait is None else min(wait, MOST_WAIT_SECONDS)
        body = bytearray()
        try:
            for piece in response.iter_content(READ_BYTES):
                body += piece
                if len(body) > MOST_BYTES:
                    raise ValueError(f"a response of more than {MOST_BYTES} bytes")
        finally:
            response.close()
        self._body = bytes(body)

    def read(self, kind: type[Kind]) -> Kind | None:
        """The body, if it is JSON with all members of ``kind`` in their types; else None."""
        try:
            return msgspec.json.decode(self._body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
