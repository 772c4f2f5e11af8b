"""What the answers say, field by field: the JSON that is sent, and the schemas of it."""

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from urlsum.text.redact import PUBLIC_CODES

Id = Annotated[str, Field(json_schema_extra={"format": "uuid"}, description="The id of the task.")]
Url = Annotated[str, Field(description="The URL as submitted.")]
Time = Annotated[datetime, Field(description="RFC 3339, in UTC.")]
Expected = Annotated[
    str | None,
    Field(
        exclude_if=lambda value: value is None,
        pattern="^[0-9a-f]{32}$",
        description="The digest that was expected; absent when none was.",
    ),
]
Activity = Literal["waiting", "hashing", "retrying"]


class _Answer(BaseModel):
    # The schemas promise exactly what is sent, so that a field that slips in is a break of contract.
    model_config = ConfigDict(extra="forbid")


class About(_Answer):
    """What the service is and how to use it."""

    name: Literal["urlsum"]
    version: str
    description: str
    submit: Annotated[str, Field(description="A command that submits a URL.")]
    check: Annotated[str, Field(description="A command that asks for a task by the id that the first one answered.")]


class Accepted(_Answer):
    """The task is stored and queued; ask for it by its id."""

    id: Id


class Progress(_Answer):
    """How far a task is; null where it is not known yet. Renewed at every checkpoint."""

    bytes: Annotated[int, Field(ge=0, description="Bytes hashed up to the last checkpoint.")]
    total: Annotated[int | None, Field(ge=0, description="Length of the file in bytes.")]
    percent: Annotated[float | None, Field(ge=0, le=100)]
    bytes_per_second: Annotated[int | None, Field(ge=0)]
    eta_seconds: Annotated[int | None, Field(ge=0, description="Seconds until the end at the present rate.")]
    resumed_from: Annotated[
        int | None,
        Field(
            ge=0,
            description="Bytes hashed when the present worker took over; null when it began at the first byte.",
        ),
    ]
    restarts: Annotated[
        int,
        Field(ge=0, description="How often it began again at the first byte, because the file might have changed."),
    ]


class _Why(_Answer):
    code: Annotated[str, Field(json_schema_extra={"enum": [code.value for code in PUBLIC_CODES]})]
    message: str


class Reason(_Why):
    """Why there will be no digest."""


class Retry(_Why):
    """What went wrong, and when it is tried again."""

    in_seconds: Annotated[int, Field(ge=0, description="Seconds until the next try; 0 when it is due.")]


class Waiting(_Answer):
    """The task is not finished: come back after Retry-After."""

    id: Id
    status: Literal["queued", "running"]
    complete: Literal[False]
    url: Url
    expected_md5: Expected = None
    activity: Annotated[
        Activity,
        Field(description="waiting: for a worker; hashing: a worker reads the file; retrying: the last try failed."),
    ]
    retry: Annotated[
        Retry | None,
        Field(exclude_if=lambda value: value is None, description="Only while `activity` is retrying."),
    ] = None
    progress: Progress
    created_at: Time


class Version(_Answer):
    """Which version of the file was hashed, and the validator that all of its bytes came under."""

    etag: Annotated[
        str | None,
        Field(
            description="As the server sent it, quotes included, cut after 200 characters; null without a valid one."
        ),
    ]
    last_modified: Annotated[datetime | None, Field(description="RFC 3339, in UTC; null without a valid one.")]
    proof: Annotated[
        Literal["etag", "last-modified", "length"],
        Field(
            description="etag: all bytes came under one strong ETag; last-modified: under one date and one length;"
            " length: under no such validator, so a change of the file while it was read may have gone unnoticed. A"
            " short file comes in one response; for any other the server confirmed the validator after the last byte."
        ),
    ]


class Note(_Answer):
    """A remark about the digest, for people."""

    code: Annotated[
        str,
        Field(
            description="Stable, and there may be more: web-page, the server sent HTML where the URL promises something"
            " else; empty, a file of 0 bytes; transformed, the server altered the stored file before sending it;"
            " content-encoding, the server compressed it; unconfirmed, it refused to confirm the file after the last"
            " byte; read-twice, its validators differed, but two readings agree; no-validator, weak-validator,"
            " unconfirmed-validator, a change of the file while it was read may have gone unnoticed: the server sent no"
            " ETag and no date, only a weak ETag, or did not confirm them when asked again."
        ),
    ]
    message: str


class Done(_Answer):
    """The digest of one whole version of the file."""

    id: Id
    status: Literal["done"]
    complete: Literal[True]
    url: Url
    md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    size: Annotated[int, Field(ge=0, description="Length of the file in bytes.")]
    name: Annotated[
        str,
        Field(description="The file's name: by Content-Disposition, else by the final or the submitted URL."),
    ]
    final_url: Annotated[
        str | None,
        Field(
            description="Where the redirects ended; `?…` stands for the query of a URL that was not submitted. Null for"
            " tasks of earlier versions of urlsum."
        ),
    ]
    content_type: Annotated[
        str | None, Field(description="The media type that the server gave, without parameters; null without one.")
    ]
    version: Annotated[Version | None, Field(description="Null for tasks of earlier versions of urlsum.")]
    notes: list[Note]
    expected_md5: Expected = None
    match: Annotated[
        bool | None,
        Field(
            exclude_if=lambda value: value is None,
            description="Whether the digest is the expected one; absent when none was expected.",
        ),
    ] = None
    created_at: Time
    finished_at: Time


class Failed(_Answer):
    """The task ended without a digest; submit the URL again once the cause is removed."""

    id: Id
    status: Literal["failed"]
    complete: Literal[True]
    url: Url
    expected_md5: Expected = None
    error: Reason
    created_at: Time
    finished_at: Time


class Cancelled(_Answer):
    """The task was cancelled: there is no digest, and no mail was or will be sent."""

    id: Id
    status: Literal["cancelled"]
    complete: Literal[True]
    url: Url
    expected_md5: Expected = None
    created_at: Time
    finished_at: Time


TaskModel = Waiting | Done | Failed | Cancelled


class Problem(BaseModel):
    """Why a request was not fulfilled (RFC 9457)."""

    type: Annotated[str, Field(description="A stable name of this kind of problem: compare with this one.")]
    title: Annotated[str, Field(description="The kind of problem, in words; always the same for a type.")]
    status: Annotated[int, Field(description="The HTTP status of this answer.")]
    detail: Annotated[str, Field(description="What is wrong this time, and what to do.")]
    field: Annotated[
        str | None,
        Field(
            exclude_if=lambda value: value is None,
            description="The form field, header or parameter to blame; absent when none is.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem; ``field`` is the part of the request that is always to blame for it, if one is."""

    name: str
    title: str
    status: HTTPStatus
    field: str | None = None

    @property
    def type(self) -> str:
        """The ``type`` of RFC 9457: a name to compare with, not an address to open."""
        return f"urn:urlsum:problem:{self.name}"
