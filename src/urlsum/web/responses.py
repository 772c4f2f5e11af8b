"""Tasks → the responses to GET /, POST /submit, GET and DELETE /check.

Users see what concerns their file. Email address, leases, attempts and resolved addresses stay private.
"""

import math
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response

from urlsum import __version__
from urlsum.errors import InvalidRequest, UnknownLink
from urlsum.task import Status, Task
from urlsum.text import remarks
from urlsum.text.redact import public_failure
from urlsum.text.signed_url import public_url
from urlsum.web import rate_limit, render
from urlsum.web.models import About, Accepted, Subscription
from urlsum.worker.retry import most_attempts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from urlsum.limits.quota import Allowance
    from urlsum.settings import Settings
    from urlsum.task import Representation
    from urlsum.web.task_models import Activity, Cancelled, Done, Failed, Progress, Retry, TaskModel, Version, Waiting

# When to poll again: after a tenth of the task's age, so that a poller notices the end of a short task at once and that
# of a long one at most a tenth late. Half a minute at most, because people watch the page.
POLL_SHARE = 10
POLL_LEAST_SECONDS = 1
POLL_MOST_SECONDS = 30


def about(request: Request, settings: "Settings") -> Response:
    """The response to GET /."""
    base = _base(request, settings)
    request.state.needs_key = settings.require_api_key
    model = About(
        name="urlsum",
        version=__version__,
        description="The MD5 of a file on the internet, of any size, without downloading it yourself",
        submit=f"curl --data-urlencode url=https://example.org/file.bin {base}/submit",
        check=f"curl '{base}/check?id=…'",
        docs=f"{base}/docs",
    )
    return render.respond(model, request, home=render.home(request, settings))


def accepted(task_id: str, request: Request, settings: "Settings", allowances: "Sequence[Allowance]" = ()) -> Response:
    """The response to POST /submit: the id, and what is left of the client's limits; a browser is redirected.

    It goes to the page of the task, without the limits: a client could take them for those of that page.
    """
    location = f"{render.home(request, settings)}check?id={task_id}"
    fields = rate_limit.fields(allowances)
    model = Accepted(id=task_id, check_url=f"{_base(request, settings)}/check?id={task_id}")
    return render.respond_or_redirect(model, request, HTTPStatus.ACCEPTED, location, fields)


def _base(request: Request, settings: "Settings") -> str:
    """The URL of the service, without a trailing slash: as configured, else as the client sees it."""
    return (settings.public_url or str(request.base_url)).rstrip("/")


async def token(request: Request) -> str:
    """The one ``token`` of the query string. A FastAPI dependency. Raises UnknownLink.

    Other parameters are ignored, as those of /check are.
    """
    match request.query_params.getlist("token"):
        case [only]:
            return only
    raise UnknownLink


def subscription(request: Request, settings: "Settings", *, suppressed: bool) -> Response:
    """The response to GET and POST /unsubscribe."""
    return render.respond(Subscription(suppressed=suppressed), request, home=render.home(request, settings))


async def task_id(request: Request) -> str:
    """The one ``id`` of the query string. A FastAPI dependency. Raises InvalidRequest.

    Other parameters are ignored: emails contain the link to /check, and mail programs add parameters to links.
    """
    match request.query_params.getlist("id"):
        case [only] if only:
            return only
        case [] | [""]:
            raise InvalidRequest("id", "The id is missing. Use /check?id=… with the id that POST /submit returned.")
    raise InvalidRequest("id", "The id was sent more than once. Check one task per request.")


def checked(
    task: Task,
    now: float,
    request: Request,
    settings: "Settings",
    applied: "Mapping[str, str] | None" = None,
    *,
    reader: Task | None = None,
    ahead: int | None = None,
) -> Response:
    """The response to GET /check, with the header of a preference that was ``applied``. Raises InvalidRequest.

    An unknown format is invalid. ``reader`` is the task whose reading ``task`` waits for, ``ahead`` the number of those
    that wait longer for a worker, if these are known.
    """
    headers = dict(applied or {})
    model: TaskModel
    match task.status:
        case Status.DONE:
            status, model = HTTPStatus.OK, _done(task)
        case Status.FAILED:
            status, model = HTTPStatus.FAILED_DEPENDENCY, _failed(task)
        case Status.CANCELLED:
            status, model = HTTPStatus.GONE, _cancelled(task)
        case Status.QUEUED | Status.RUNNING:
            status, model = HTTPStatus.ACCEPTED, _waiting(task, now, settings, reader=reader, ahead=ahead)
            headers["Retry-After"] = str(poll_after(task, now, model.reader or model.progress))
    return render.respond_or_plain(model, request, status, headers, home=render.home(request, settings))


def see_task(task_id: str, request: Request, settings: "Settings") -> Response:
    """Lead a browser from a form to the page of the task."""
    return render.see_other(f"{render.home(request, settings)}check?id={task_id}")


async def means_to_cancel(request: Request) -> None:
    """Raise InvalidRequest unless the query string has ``cancel=yes``. A FastAPI dependency.

    A POST to the wrong path must not end a task that took hours.
    """
    if request.query_params.getlist("cancel") != ["yes"]:
        raise InvalidRequest(
            "cancel", "POST /check cancels a task: add cancel=yes to the query string. To submit a URL, POST /submit."
        )


def cancelled(task: Task, request: Request, settings: "Settings") -> Response:
    """The response to DELETE /check."""
    return render.respond(_cancelled(task), request, home=render.home(request, settings))


def poll_after(task: Task, now: float, reading: "Progress") -> int:
    """Whole seconds until the next poll of an unfinished task is worthwhile: its Retry-After.

    It grows with the age of the task and does not exceed the expected time left of the ``reading``.
    """
    seconds = min(max((now - task.created_at) / POLL_SHARE, POLL_LEAST_SECONDS), POLL_MOST_SECONDS)
    eta = reading.eta_seconds
    if eta is not None:
        seconds = max(min(seconds, eta), POLL_LEAST_SECONDS)
    return math.ceil(seconds)


def progress(task: Task, now: float) -> "Progress":
    """How far an unfinished task is."""
    from urlsum.web import task_models as models

    # While no worker reads the file, a rate and a time left would be wrong.
    rate = task.rate if activity(task, now) == "hashing" else None
    left = None if task.size is None else max(task.size - task.offset, 0)
    return models.Progress(
        bytes=task.offset,
        total=task.size,
        # Rounded down, so that rounding never shows 100 % before the end.
        percent=min(1000 * task.offset // task.size, 1000) / 10 if task.size else None,
        bytes_per_second=None if rate is None else round(rate),
        eta_seconds=math.ceil(left / rate) if left is not None and rate else None,
        resumed_from=task.resumed_from if task.status is Status.RUNNING else None,
        restarts=task.restarts,
    )


def activity(task: Task, now: float) -> "Activity":
    """What an unfinished task is doing."""
    if task.status is Status.QUEUED:
        return "waiting" if task.error is None else "retrying"
    # Between two slices, or after a worker died.
    return "hashing" if task.lease_until >= now else "waiting"


def _retry(task: Task, now: float, max_attempts: int) -> "Retry | None":
    from urlsum.web import task_models as models

    if task.error is None or task.status is not Status.QUEUED:
        return None
    failure = public_failure(task.error, task.url)
    most = most_attempts(failure.code, max_attempts)
    return models.Retry(
        code=failure.code,
        message=failure.message,
        in_seconds=max(0, math.ceil(task.not_before - now)),
        # A worker that died took an attempt without ending it.
        attempt=min(task.attempts + 1, most),
        most_attempts=most,
    )


def _waiting(task: Task, now: float, settings: "Settings", *, reader: Task | None, ahead: int | None) -> "Waiting":
    from urlsum.web import task_models as models

    return models.Waiting(
        **_common(task),
        status="running" if task.status is Status.RUNNING else "queued",
        complete=False,
        activity=activity(task, now),
        retry=_retry(task, now, settings.max_attempts),
        progress=progress(task, now),
        reader=None if reader is None else progress(reader, now),
        ahead=ahead,
    )


def _done(task: Task) -> "Done":
    from urlsum.web import task_models as models

    if task.md5 is None or task.size is None:
        raise ValueError(f"task {task.id} is done without a digest or size")
    known = task.representation
    version = _version(known) if known else None
    return models.Done(
        **_ended(task),
        status="done",
        md5=task.md5,
        size=task.size,
        name=remarks.name(task),
        final_url=remarks.final_url(task),
        content_type=known.content_type if known else None,
        etag=version.etag if version else None,
        last_modified=version.last_modified if version else None,
        version=version,
        notes=[models.Note(code=note.code, message=note.message) for note in remarks.notes(task)],
        match=task.match,
        reused=None if task.reused_at is None else models.Reused(computed_at=_time(task.reused_at)),
        seconds=round(max(0.0, (task.finished_at or 0.0) - task.created_at), 1),
    )


def _version(known: "Representation") -> "Version":
    from urlsum.web import task_models as models

    modified = known.last_modified
    return models.Version(
        etag=known.etag, last_modified=None if modified is None else _time(modified), proof=known.proof.value
    )


def _failed(task: Task) -> "Failed":
    from urlsum.web import task_models as models

    if task.error is None:
        raise ValueError(f"task {task.id} failed without a reason")
    failure = public_failure(task.error, task.url)
    return models.Failed(
        **_ended(task), status="failed", error=models.Reason(code=failure.code, message=failure.message)
    )


def _cancelled(task: Task) -> "Cancelled":
    from urlsum.web import task_models as models

    return models.Cancelled(**_ended(task), status="cancelled")


def _ended(task: Task) -> dict[str, Any]:
    """The fields that a task has in each state that is final."""
    return {**_common(task), "complete": True, "finished_at": _time(task.finished_at)}


def _common(task: Task) -> dict[str, Any]:
    """The fields that a task has in every state; the models check them."""
    return {
        "id": task.id,
        "url": public_url(task.url),
        "expected_md5": task.expected_md5,
        "created_at": _time(task.created_at),
    }


def _time(epoch: float | None) -> datetime:
    if epoch is None:
        raise ValueError("a finished task has no finished_at")
    return datetime.fromtimestamp(int(epoch), UTC)  # whole seconds are precise enough for people
