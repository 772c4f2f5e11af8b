"""The response models of a task in each state. POST /submit needs none of them, and they take 4 ms to make."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from urlsum.text.redact import PUBLIC_CODES
from urlsum.web.models import Described, Id

Url = Annotated[
    str,
    Field(
        description="The URL as submitted, but for secrets: `?…` hides a query with a signature or token, `#…` such a"
        " fragment."
    ),
]
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
Etag = Annotated[
    str | None,
    Field(description="As the server sent it, with quotes, truncated to 200 characters; null if it sent no valid one."),
]
LastModified = Annotated[
    datetime | None, Field(description="A time as in RFC 3339, in UTC; null if the server sent no valid one.")
]


class Progress(Described):
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


class _Why(Described):
    code: Annotated[str, Field(json_schema_extra={"enum": [code.value for code in PUBLIC_CODES]})]
    message: str


class Reason(_Why):
    """Why the task failed."""


class Retry(_Why):
    """Why the last attempt failed, and when the next one starts."""

    in_seconds: Annotated[int, Field(ge=0, description="Seconds until the next attempt; 0 if it is due.")]
    attempt: Annotated[
        int, Field(ge=1, description="The number of the next attempt; progress makes the count begin again.")
    ]
    most_attempts: Annotated[
        int, Field(ge=1, description="Attempts without progress after which such an error is final.")
    ]


class Waiting(Described):
    """The task is not finished; check again after Retry-After."""

    id: Id
    status: Literal["queued", "running"]
    complete: Literal[False]
    url: Url
    expected_md5: Expected = None
    activity: Annotated[
        Activity,
        Field(
            description="waiting: for a worker, or for another task that is reading the same file; hashing: a worker"
            " reads the file; retrying: the last attempt failed."
        ),
    ]
    retry: Annotated[
        Retry | None,
        Field(exclude_if=lambda value: value is None, description="Present only while `activity` is retrying."),
    ] = None
    progress: Progress
    reader: Annotated[
        Progress | None,
        Field(
            exclude_if=lambda value: value is None,
            description="Present only while another task is reading the same file: the progress of that one. This task"
            " takes its MD5, once the server has confirmed the file.",
        ),
    ] = None
    ahead: Annotated[
        int | None,
        Field(
            ge=0,
            exclude_if=lambda value: value is None,
            description="How many tasks have waited for a worker for longer than this one; 100 are counted at most."
            " Absent if the task does not wait for a worker, or where the queue does not tell (AWS).",
        ),
    ] = None
    created_at: Time


class Version(Described):
    """The version of the file that was hashed, and the validator that proves it.

    It is for telling versions apart: `proof` says which of the validators all bytes came with.
    """

    etag: Etag
    last_modified: LastModified
    proof: Annotated[
        Literal["etag", "last-modified", "length"],
        Field(
            description="etag: all bytes came with the same strong ETag; last-modified: with the same date and length;"
            " length: without such a validator, so a change of the file while it was read may have gone unnoticed. A"
            " short file comes in one response; for a longer one the server confirmed the validator after the last"
            " byte."
        ),
    ]


class Note(Described):
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


class Reused(Described):
    """The MD5 was computed for another task, and the server still has the version of the file that was read then.

    Its validators and the length are the same, and so are samples of the bytes: both ends, and a place between them.
    """

    computed_at: Time


class Done(Described):
    """The MD5 of one complete version of the file.

    `name` to `last_modified` are the metadata of the file, as the server sent them; `version` says what they prove.
    """

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
    etag: Etag = None
    last_modified: LastModified = None
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
    reused: Annotated[
        Reused | None,
        Field(exclude_if=lambda value: value is None, description="Absent if the file was read for this task."),
    ] = None
    seconds: Annotated[float, Field(ge=0, description="Seconds from the submission to the result.")]
    created_at: Time
    finished_at: Time


class Failed(Described):
    """The task failed; submit the URL again when the cause is fixed."""

    id: Id
    status: Literal["failed"]
    complete: Literal[True]
    url: Url
    expected_md5: Expected = None
    error: Reason
    created_at: Time
    finished_at: Time


class Cancelled(Described):
    """The task was cancelled: there is no MD5, and no email is sent."""

    id: Id
    status: Literal["cancelled"]
    complete: Literal[True]
    url: Url
    expected_md5: Expected = None
    created_at: Time
    finished_at: Time


TaskModel = Waiting | Done | Failed | Cancelled
