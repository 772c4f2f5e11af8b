"""``urlsum.Client``: a small client of a urlsum service, for Python programs. Safe for one thread."""

from __future__ import annotations

import os
import time
import uuid
from typing import TYPE_CHECKING, Annotated, Any, Self

import requests
from msgspec import Meta, Struct

from urlsum import __version__
from urlsum.client.reply import PROBLEM_PREFIX, Accepted, Digest, Problem, Progress, Reason, Reply, Size, TaskId
from urlsum.text.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from urlsum.client.reply import Kind

# What `make run` listens on.
DEFAULT_BASE = "http://127.0.0.1:5000"
# The service waits at most 25 s for a task to end, and a busy table takes some seconds more.
TIMEOUT_SECONDS = 60.0
LONGEST_WAIT = 25
# Of a service that does not answer or is too busy: with pauses of 1, 2, 4 and 8 s it has a quarter of a minute.
TRIES = 5
# 429: a limit of the client, 502 to 504: a restart behind a proxy, a table that does not answer.
PASSING = frozenset({429, 502, 503, 504})
# A longer Retry-After is that of a daily limit, which is for the caller to wait for.
LONGEST_PAUSE = 60.0
# For a 202 without Retry-After, which a proxy may drop.
POLL_SECONDS = 5.0
ACCEPTED = 202
TASK_STATUSES = frozenset({200, 202, 410, 424})


class Task(Struct, frozen=True, kw_only=True):
    """A task as the service describes it; ``size`` and ``progress`` are in bytes.

    ``match`` says whether ``md5`` is the one that was expected. Metadata of the file, in a done task: ``name``,
    ``final_url``, ``content_type``, ``etag`` and ``last_modified`` (a time as in RFC 3339). ``seconds`` passed from the
    submission to the result. ``notes`` and further fields: see docs/openapi.json.
    """

    id: TaskId
    status: Annotated[str, Meta(max_length=40)]
    complete: bool
    url: str
    md5: Digest | None = None
    size: Size | None = None
    name: str | None = None
    final_url: str | None = None
    content_type: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    seconds: float | None = None
    match: bool | None = None
    error: Reason | None = None
    progress: Progress | None = None


class ClientError(Exception):
    """The service refused a request or could not be asked; ``code`` is stable, the text is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(one_line(message))
        self.code = code


class NoDigest(ClientError):
    """The task failed or was cancelled; ``code`` is that of its error."""


class Unfinished(ClientError):
    """The task has not ended yet; ``task_id`` is for ``Client.wait``."""

    def __init__(self, task_id: str) -> None:
        super().__init__("unfinished", f"the task {task_id} has not ended yet")
        self.task_id = task_id


class Client:
    """A client of the service at ``base``: a URL without a trailing slash, URLSUM_SERVER by default.

    ``api_key`` is URLSUM_API_KEY by default. Every method raises ClientError. A context manager.
    """

    def __init__(
        self, base: str | None = None, *, api_key: str | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.base = (base or os.environ.get("URLSUM_SERVER") or DEFAULT_BASE).rstrip("/")
        self._sleep = sleep
        self._session = requests.Session()
        self._session.headers.update(
            {
                "User-Agent": f"urlsum-client/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # a compressed response could be decompressed into any size
            }
        )
        key = api_key or os.environ.get("URLSUM_API_KEY")
        # As `auth`, because a password for this host in .netrc would take the place of a header.
        self._session.auth = Bearer(key) if key else None

    def md5(self, url: str, *, wait: bool = True, timeout: float | None = None, **fields: str | bool) -> str:
        """The MD5 of the file at ``url``: submit it, and wait until it is read, at most ``timeout`` seconds.

        ``fields`` are those of ``submit``. Raises NoDigest, and Unfinished if the digest is not there in time, or at
        once with ``wait=False``.
        """
        task_id = self.submit(url, **fields)
        task = self.wait(task_id, timeout=timeout) if wait else self.check(task_id)
        if task.md5 is not None:
            return task.md5
        if not task.complete:
            raise Unfinished(task_id)
        reason = task.error or Reason(code=task.status, message=f"the task was {task.status}")
        raise NoDigest(reason.code, f"{url}: {reason.message}")

    def submit(self, url: str, **fields: str | bool) -> str:
        """Submit ``url`` and return the id of its task. ``fields``: ``email``, ``md5`` and ``fresh``, as in the API."""
        texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in fields.items()}
        # One key for all tries: one after a lost response creates no second task.
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        reply = self._request("POST", "/submit", json={"url": url, **texts}, headers=headers)
        if reply.status != ACCEPTED:
            raise self._refusal(reply)
        return self._read(reply, Accepted).id

    def check(self, task_id: str, *, wait: int = 0) -> Task:
        """The task now, or once it has ended, at most ``wait`` seconds later."""
        return self._task(self._check(task_id, wait))

    def wait(self, task_id: str, *, timeout: float | None = None) -> Task:
        """The task once it has ended, or after ``timeout`` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            left = LONGEST_WAIT if until is None else max(until - time.monotonic(), 0.0)
            reply = self._check(task_id, int(left))
            task = self._task(reply)
            if task.complete or left <= 0:
                return task
            # A service that does not wait says when to ask again.
            if not reply.preference_applied:
                self._sleep(min(reply.retry_after or POLL_SECONDS, left))

    def cancel(self, task_id: str) -> Task:
        """Cancel the task and return it."""
        return self._task(self._request("DELETE", "/check", params={"id": task_id}))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()

    def _request(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **arguments: Any) -> Reply:  # noqa: ANN401 - as requests takes it
        """Send until a response comes that is not a passing failure; the last one counts as well."""
        for attempt in range(TRIES):
            pause = 2.0**attempt
            try:
                response = self._session.request(
                    method,
                    self.base + path,
                    headers=headers,
                    timeout=TIMEOUT_SECONDS,
                    allow_redirects=False,  # a redirected POST would become a GET
                    stream=True,
                    **arguments,
                )
                reply = Reply(response)
            except (requests.RequestException, ValueError) as exc:
                if attempt == TRIES - 1 or not isinstance(exc, (requests.ConnectionError, requests.Timeout)):
                    raise ClientError("service", f"{self.base} cannot be asked: {exc}") from exc
            else:
                pause = reply.retry_after or pause
                if reply.status not in PASSING or attempt == TRIES - 1 or pause > LONGEST_PAUSE:
                    return reply
            self._sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _check(self, task_id: str, wait: int) -> Reply:
        headers = {"Prefer": f"wait={min(wait, LONGEST_WAIT)}"} if wait else {}
        return self._request("GET", "/check", params={"id": task_id}, headers=headers)

    def _task(self, reply: Reply) -> Task:
        if reply.status not in TASK_STATUSES:
            raise self._refusal(reply)
        return self._read(reply, Task)

    def _refusal(self, reply: Reply) -> ClientError:
        problem = self._read(reply, Problem)
        return ClientError(problem.type.removeprefix(PROBLEM_PREFIX), problem.detail)

    def _read(self, reply: Reply, kind: type[Kind]) -> Kind:
        found = reply.read(kind)
        if found is None:
            raise ClientError("service", f"{self.base} is not a urlsum service (status {reply.status})")
        return found


class Bearer(requests.auth.AuthBase):
    """Sends an API key (RFC 6750, 2.1)."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request
