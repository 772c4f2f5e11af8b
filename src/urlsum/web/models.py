"""The response models: the JSON that is sent, and the descriptions of its fields for OpenAPI.

Those of tasks are in ``task_models``.
"""

from http import HTTPStatus
from typing import Annotated, Literal

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field

from urlsum.api_keys import LIMITS

Id = Annotated[str, Field(json_schema_extra={"format": "uuid"}, description="The id of the task.")]


class Described(BaseModel):
    """A model whose every field is described."""

    # A field that is not described would break the contract. A model is built at its first use: a function sends few.
    model_config = ConfigDict(extra="forbid", defer_build=True)


class About(Described):
    """The service and how to use it."""

    name: Literal["urlsum"]
    version: str
    description: str
    submit: Annotated[str, Field(description="A command that submits a URL.")]
    check: Annotated[str, Field(description="A command that checks the task with the id from the first one.")]
    docs: Annotated[str, Field(description="The page that describes the API.")]


class Accepted(Described):
    """The task is stored and queued; use its id to check it."""

    id: Id
    check_url: Annotated[
        str, Field(json_schema_extra={"format": "uri"}, description="The absolute URL that checks the task.")
    ]


class Subscription(Described):
    """Whether results are emailed to the mailbox whose email has the link."""

    suppressed: Annotated[bool, Field(description="true: this service sends no more email to the mailbox.")]


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

    limit: Annotated[
        str | None,
        Field(
            exclude_if=lambda value: value is None,
            json_schema_extra={"enum": list(LIMITS)},
            description="The limit that was reached: minute and day count submissions, unfinished the tasks that have"
            " not ended, bytes what was read for your tasks in a day, fresh the submissions with `fresh=true`. Absent"
            " for all other problems.",
        ),
    ] = None
    suggestion: Annotated[
        str | None,
        Field(
            exclude_if=lambda value: value is None,
            description="The http or https URL that was probably meant; absent if there is none.",
        ),
    ] = None


class Kind(Struct, frozen=True):
    """A kind of problem; ``field`` is the part of the request that always causes it, if there is one."""

    name: str
    title: str
    status: HTTPStatus
    field: str | None = None

    @property
    def type(self) -> str:
        """The ``type`` of RFC 9457: a name, not an address to open."""
        return f"urn:urlsum:problem:{self.name}"
