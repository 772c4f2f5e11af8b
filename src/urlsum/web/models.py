"""The response models: the JSON that is sent, and the descriptions of its fields for OpenAPI."""

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from urlsum.text.redact import PUBLIC_CODES

Id = Annotated[str, Field(json_schema_extra={"format": "uuid"}, description="The id of the task.")]
Url = Annotated[str, Field(description="The URL as submitted.")]
Time = Annotated[datetime, Field(description="A time as in RFC 3339, in UTC.")]
Expected = Annotated[
    str | None,
    Field(
        exclude_if=lambda value: value is None,
        pattern="^[0-9a-f]{32}$",
        description="The MD5 that the submission expected; absent if none.",
    ),
]
Activity = Literal["waiting", "hashing", "retrying"]


class _Model(BaseModel):
    # A field that is not described would break the contract.
    model_config = ConfigDict(extra="forbid")


class About(_Model):
    """The service and how to use it."""

    name: Literal["urlsum"]
    version: str
    description: str
    submit: Annotated[str, Field(description="A command that submits a URL.")]
    check: Annotated[str, Field(description="A command that checks the task with the id from the first one.")]


class Accepted(_Model):
    """The task is stored and queued; use its id to check it."""

    id: Id


class Progress(_Model):
    """The progress of a task, updated at each checkpoint; null where not known yet."""

    bytes: Annotated[int, Field(ge=0, description="Bytes hashed up to the last checkpoint.")]
    total: Annotated[int | None, Field(ge=0, description="Size of the file in bytes.")]
    percent: Annotated[float | None, Field(ge=0, le=100)]
    bytes_per_second: Annotated[int | None, Field(ge=0)]
    eta_seconds: Annotated[int | None, Field(ge=0, description="Seconds left at the current rate.")]
    resumed_from: Annotated[
        int | None,
        Field(
            ge=0,
            description="Bytes already hashed when the current worker resumed; null if it started at byte 0.",
        ),
    ]
    restarts: Annotated[
        int,
        Field(ge=0, description="How often hashing restarted at byte 0, because the file may have changed."),
    ]


class _Why(_Model):
    code: Annotated[str, Field(json_schema_extra={"enum": [code.value for code in PUBLIC_CODES]})]
    message: str


class Reason(_Why):
    """Why the task failed."""


class Retry(_Why):
    """Why the last attempt failed, and when the next one starts."""

    in_seconds: Annotated[int, Field(ge=0, description="Seconds until the next attempt; 0 if it is due.")]


class Waiting(_Model):
    """The task is not finished; check again after Retry-After."""

    id: Id
    status: Literal["queued", "running"]
    complete: Literal[False]
    url: Url
    expected_md5: Expected = None
    activity: Annotated[
        Activity,
        Field(
            description="waiting: for a worker; hashing: a worker reads the file; retrying: the last attempt failed."
        ),
    ]
    retry: Annotated[
        Retry | None,
        Field(exclude_if=lambda value: value is None, description="Present only while `activity` is retrying."),
    ] = None
    progress: Progress
    created_at: Time


class Version(_Model):
    """The version of the file that was hashed, and the validator that proves it."""

    etag: Annotated[
        str | None,
        Field(
            description="As the server sent it, with quotes, truncated to 200 characters; null if it sent no valid one."
        ),
    ]
    last_modified: Annotated[
        datetime | None, Field(description="A time as in RFC 3339, in UTC; null if the server sent no valid one.")
    ]
    proof: Annotated[
        Literal["etag", "last-modified", "length"],
        Field(
            description="etag: all bytes came with the same strong ETag; last-modified: with the same date and length;"
            " length: without such a validator, so a change of the file while it was read may have gone unnoticed. A"
            " short file comes in one response; for a longer one the server confirmed the validator after the last"
            " byte."
        ),
    ]


class Note(_Model):
    """A note about the digest, for people."""

    code: Annotated[
        str,
        Field(
            description="Stable; later versions may add codes. web-page: the server sent HTML although the URL suggests"
            " another type; empty: the file has 0 bytes; transformed: the server altered the stored file before sending"
            " it; content-encoding: the server compressed it; unconfirmed: it refused to confirm the file after the"
            " last byte; read-twice: its validators differed, but two readings agree; no-validator, weak-validator,"
            " unconfirmed-validator: a change of the file while it was read may have gone unnoticed, because the server"
            " sent neither ETag nor date, sent only a weak ETag, or did not confirm them."
        ),
    ]
    message: str


class Done(_Model):
    """The MD5 of one complete version of the file."""

    id: Id
    status: Literal["done"]
    complete: Literal[True]
    url: Url
    md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    size: Annotated[int, Field(ge=0, description="Size of the file in bytes.")]
    name: Annotated[
        str,
        Field(description="The name of the file: from Content-Disposition, else from the final or the submitted URL."),
    ]
    final_url: Annotated[
        str | None,
        Field(
            description="Where the redirects ended; `?…` hides the query of a URL that was not submitted. Null for"
            " tasks of earlier versions of urlsum."
        ),
    ]
    content_type: Annotated[
        str | None, Field(description="The media type from the server, without parameters; null if none.")
    ]
    version: Annotated[Version | None, Field(description="Null for tasks of earlier versions of urlsum.")]
    notes: list[Note]
    expected_md5: Expected = None
    match: Annotated[
        bool | None,
        Field(
            exclude_if=lambda value: value is None,
            description="Whether `md5` equals `expected_md5`; absent if no MD5 was expected.",
        ),
    ] = None
    created_at: Time
    finished_at: Time


class Failed(_Model):
    """The task failed; submit the URL again when the cause is fixed."""

    id: Id
    status: Literal["failed"]
    complete: Literal[True]
    url: Url
    expected_md5: Expected = None
    error: Reason
    created_at: Time
    finished_at: Time


class Cancelled(_Model):
    """The task was cancelled: there is no MD5, and no email is sent."""

    id: Id
    status: Literal["cancelled"]
    complete: Literal[True]
    url: Url
    expected_md5: Expected = None
    created_at: Time
    finished_at: Time


TaskModel = Waiting | Done | Failed | Cancelled


class Problem(BaseModel):
    """Why a request failed (RFC 9457)."""

    type: Annotated[
        str, Field(description="The stable name of this kind of problem, for programs. It is no address to open.")
    ]
    title: Annotated[str, Field(description="A short title of the kind of problem, the same for each `type`.")]
    status: Annotated[int, Field(description="The HTTP status of the response.")]
    detail: Annotated[str, Field(description="What is wrong with this request, and what to do.")]
    field: Annotated[
        str | None,
        Field(
            exclude_if=lambda value: value is None,
            description="The form field, header or parameter that caused the problem; absent if none did.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem; ``field`` is the part of the request that always causes it, if there is one."""

    name: str
    title: str
    status: HTTPStatus
    field: str | None = None

    @property
    def type(self) -> str:
        """The ``type`` of RFC 9457: a name, not an address to open."""
        return f"urn:urlsum:problem:{self.name}"
