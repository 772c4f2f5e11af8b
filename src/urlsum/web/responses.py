"""Tasks → the responses to GET /, POST /submit, GET and DELETE /check.

Users see what concerns their file. Email address, leases, attempts and resolved addresses stay private.
"""

import math
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response

from urlsum import __version__
from urlsum.errors import TaskNotFound
from urlsum.task import Status, Task
from urlsum.text import remarks
from urlsum.text.redact import public_failure
from urlsum.web import render
from urlsum.web.models import (
    About,
    Accepted,
    Activity,
    Cancelled,
    Done,
    Failed,
    Note,
    Progress,
    Reason,
    Retry,
    Version,
    Waiting,
)

if TYPE_CHECKING:
    from urlsum.settings import Settings
    from urlsum.task import Representation
    from urlsum.web.models import TaskModel

# When to poll again: after a tenth of the task's age, so that a poller notices the end of a short task at once and that
# of a long one at most a tenth late. Half a minute at most, because people watch the page.
POLL_SHARE = 10
POLL_LEAST_SECONDS = 1
POLL_MOST_SECONDS = 30


def about(request: Request, settings: "Settings") -> Response:
    """The response to GET /."""
    base = (settings.public_url or str(request.base_url)).rstrip("/")
    model = About(
        name="urlsum",
        version=__version__,
        description="The MD5 of a file on the internet, of any size, without downloading it yourself",
        submit=f"curl --data-urlencode url=https://example.org/file.bin {base}/submit",
        check=f"curl '{base}/check?id=…'",
    )
    return render.respond(model, request, home=render.home(request, settings))


def accepted(task_id: str, request: Request, settings: "Settings") -> Response:
    """The response to POST /submit: the id or, for a browser, a redirect to the page of the task."""
    location = f"{render.home(request, settings)}check?id={task_id}"
    return render.respond_or_redirect(Accepted(id=task_id), request, HTTPStatus.ACCEPTED, location)


def task_id(request: Request) -> str:
    """The one ``id`` of the query string. A FastAPI dependency. Raises TaskNotFound.

    Other parameters are ignored: emails contain the link to /check, and mail programs add parameters to links.
    """
    match request.query_params.getlist("id"):
        case [only]:
            return only
    raise TaskNotFound


def checked(task: Task, now: float, request: Request, settings: "Settings") -> Response:
    """The response to GET /check. Raises InvalidRequest for an unknown format."""
    headers = {}
    model: TaskModel
    match task.status:
        case Status.DONE:
            status, model = HTTPStatus.OK, _done(task)
        case Status.FAILED:
            status, model = HTTPStatus.FAILED_DEPENDENCY, _failed(task)
        case Status.CANCELLED:
            status, model = HTTPStatus.GONE, _cancelled(task)
        case Status.QUEUED | Status.RUNNING:
            status, model = HTTPStatus.ACCEPTED, _waiting(task, now)
            headers["Retry-After"] = str(poll_after(task, now))
    return render.respond_or_plain(model, request, status, headers, home=render.home(request, settings))


def cancelled(task: Task, request: Request, settings: "Settings") -> Response:
    """The response to DELETE /check."""
    return render.respond(_cancelled(task), request, home=render.home(request, settings))


def poll_after(task: Task, now: float) -> int:
    """Whole seconds until the next poll of an unfinished task is worthwhile: its Retry-After.

    It grows with the age of the task and does not exceed the expected time left.
    """
    seconds = min(max((now - task.created_at) / POLL_SHARE, POLL_LEAST_SECONDS), POLL_MOST_SECONDS)
    eta = progress(task, now).eta_seconds
    if eta is not None:
        seconds = max(min(seconds, eta), POLL_LEAST_SECONDS)
    return math.ceil(seconds)


def progress(task: Task, now: float) -> Progress:
    """How far an unfinished task is."""
    # While no worker reads the file, a rate and a time left would be wrong.
    rate = task.rate if activity(task, now) == "hashing" else None
    left = None if task.size is None else max(task.size - task.offset, 0)
    return Progress(
        bytes=task.offset,
        total=task.size,
        # Rounded down, so that rounding never shows 100 % before the end.
        percent=min(1000 * task.offset // task.size, 1000) / 10 if task.size else None,
        bytes_per_second=None if rate is None else round(rate),
        eta_seconds=math.ceil(left / rate) if left is not None and rate else None,
        resumed_from=task.resumed_from if task.status is Status.RUNNING else None,
        restarts=task.restarts,
    )


def activity(task: Task, now: float) -> Activity:
    """What an unfinished task is doing."""
    if task.status is Status.QUEUED:
        return "waiting" if task.error is None else "retrying"
    # Between two slices, or after a worker died.
    return "hashing" if task.lease_until >= now else "waiting"


def _retry(task: Task, now: float) -> Retry | None:
    if task.error is None or task.status is not Status.QUEUED:
        return None
    failure = public_failure(task.error, task.url)
    return Retry(code=failure.code, message=failure.message, in_seconds=max(0, math.ceil(task.not_before - now)))


def _waiting(task: Task, now: float) -> Waiting:
    return Waiting(
        **_common(task),
        status="running" if task.status is Status.RUNNING else "queued",
        complete=False,
        activity=activity(task, now),
        retry=_retry(task, now),
        progress=progress(task, now),
    )


def _done(task: Task) -> Done:
    if task.md5 is None or task.size is None:
        raise ValueError(f"task {task.id} is done without a digest or size")
    known = task.representation
    return Done(
        **_ended(task),
        status="done",
        md5=task.md5,
        size=task.size,
        name=remarks.name(task),
        final_url=remarks.final_url(task),
        content_type=known.content_type if known else None,
        version=_version(known) if known else None,
        notes=[Note(code=note.code, message=note.message) for note in remarks.notes(task)],
        match=task.match,
    )


def _version(known: "Representation") -> Version:
    modified = known.last_modified
    return Version(
        etag=known.etag, last_modified=None if modified is None else _time(modified), proof=known.proof.value
    )


def _failed(task: Task) -> Failed:
    if task.error is None:
        raise ValueError(f"task {task.id} failed without a reason")
    failure = public_failure(task.error, task.url)
    return Failed(**_ended(task), status="failed", error=Reason(code=failure.code, message=failure.message))


def _cancelled(task: Task) -> Cancelled:
    return Cancelled(**_ended(task), status="cancelled")


def _ended(task: Task) -> dict[str, Any]:
    """The fields that a task has in each state that is final."""
    return {**_common(task), "complete": True, "finished_at": _time(task.finished_at)}


def _common(task: Task) -> dict[str, Any]:
    """The fields that a task has in every state; the models check them."""
    return {
        "id": task.id,
        "url": task.url,
        "expected_md5": task.expected_md5,
        "created_at": _time(task.created_at),
    }


def _time(epoch: float | None) -> datetime:
    if epoch is None:
        raise ValueError("a finished task has no finished_at")
    return datetime.fromtimestamp(int(epoch), UTC)  # whole seconds are precise enough for people
