"""``--server``: submits URLs to a urlsum service and waits for the results."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from urlsum import __version__
from urlsum.cli import console
from urlsum.cli.outcome import Outcome
from urlsum.cli.server_tls import Trust, root_cause
from urlsum.errors import ConnectFailed, HttpFailed, OriginError, ProtocolViolated, TimedOut, TlsFailed
from urlsum.origin.http11.response import retry_after
from urlsum.text.remarks import with_redirect
from urlsum.worker import retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from urlsum.cli.outcome import HashRequest
    from urlsum.cli.progress import Meter
    from urlsum.settings import Settings

OK, ACCEPTED, GONE, FAILED_DEPENDENCY = 200, 202, 410, 424
# The failure code for a fault of the service itself, not of the file.
SERVICE = "service"
PROBLEM_PREFIX = "urn:urlsum:problem:"
# For a response without Retry-After: the service always sends it, but a proxy may drop it.
POLL_SECONDS = 5.0
# The minimum that the service itself sends; a Retry-After of 0 must not cause a busy loop.
LEAST_POLL_SECONDS = 1.0
# Twice as many as exist; a server must not flood the terminal.
MOST_NOTES = 12

T = TypeVar("T")


class Refused(Exception):
    """The service refused the request, or its response is not that of a urlsum service."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RemoteHasher:
    """A client of the service at ``base``. Submits all URLs first, so that the service can hash them in parallel."""

    def __init__(
        self, base: str, settings: Settings, *, meter: Meter, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._base = base
        self._settings = settings
        self._meter = meter
        self._sleep = sleep
        self._max_attempts = settings.max_attempts
        self._waiting: list[str] = []
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"urlsum/{__version__}"
        self._session.headers["Accept"] = "application/json"
        self._trust = Trust(base, self._session, settings.ssl_cert_file)

    def digests(self, hash_requests: Sequence[HashRequest]) -> Iterator[Outcome]:
        """One outcome for each request, in order. Raises Interrupted."""
        submitted = [(each.url, self._try(each.url, lambda each=each: self._submit(each))) for each in hash_requests]  # type: ignore[misc] # mypy sees no default in a lambda
        for url, task_id in submitted:
            yield task_id if isinstance(task_id, Outcome) else self._result(url, task_id)

    def resume_hint(self) -> str:
        """The URL that shows the progress of the interrupted work."""
        if not self._waiting:
            return "nothing was submitted"
        more = f" (and {len(self._waiting) - 1} more)" if len(self._waiting) > 1 else ""
        return f"the service continues: {self._base}/check?id={self._waiting[0]}{more}"

    def _submit(self, hash_request: HashRequest) -> str:
        fields = {"url": hash_request.url} | ({"md5": hash_request.md5} if hash_request.md5 else {})
        # One key for all attempts: a retry after a lost response creates no second task.
        key = {"Idempotency-Key": str(uuid.uuid4())}
        response = self._request("POST", "/submit", json=fields, headers=key)
        if response.status_code != ACCEPTED:
            raise self._refusal(response)
        task_id = self._member(response, self._json(response), "id", str)
        self._waiting.append(task_id)
        return str(task_id)

    def _result(self, url: str, task_id: str) -> Outcome:
        try:
            result = self._try(url, lambda: self._poll(url, task_id))
        finally:
            self._meter.end()
        self._waiting.remove(task_id)
        return result

    def _poll(self, url: str, task_id: str) -> Outcome:
        shown = False
        while (response := self._request("GET", f"/check?id={task_id}")).status_code == ACCEPTED:
            progress = self._member(response, self._json(response), "progress", dict)
            at, total = self._member(response, progress, "bytes", int), progress.get("total")
            if not shown:
                self._meter.begin(url, at, total)
                shown = True
            self._meter.move(at, total)
            wait = _retry_after(response)
            self._sleep(POLL_SECONDS if wait is None else max(wait, LEAST_POLL_SECONDS))
        if response.status_code == OK:
            body = self._json(response)
            return Outcome(url, self._member(response, body, "md5", str), notes=_notes(url, body))
        if response.status_code == FAILED_DEPENDENCY:
            error = self._member(response, self._json(response), "error", dict)
            raise Refused(self._member(response, error, "code", str), self._member(response, error, "message", str))
        if response.status_code == GONE:
            raise Refused(self._member(response, self._json(response), "status", str), "the task was cancelled")
        raise self._refusal(response)

    def _try(self, url: str, action: Callable[[], T]) -> T | Outcome:
        try:
            return action()
        except Refused as exc:
            return Outcome(url, code=exc.code, message=str(exc))
        except OriginError as exc:
            # The service is unavailable, so each of the other files gets a single attempt.
            self._max_attempts = 1
            advice = "" if isinstance(exc, TlsFailed) else "; check --server or try again later"
            return Outcome(url, code=SERVICE, message=f"{exc}{advice}")

    def _request(self, method: str, path: str, **arguments: Any) -> requests.Response:  # noqa: ANN401 - as requests takes it
        """Send until a response comes that is not a passing failure. Raises OriginError after the last attempt."""
        attempts = 0
        while True:
            try:
                response = self._send(method, path, **arguments)
            except OriginError as error:
                attempts += 1
                base = self._settings.retry_base_seconds
                wait = retry.delay(error, attempts=attempts, max_attempts=self._max_attempts, base_seconds=base)
                if wait is None:
                    raise
                console.tell(f"{error}; trying again in {wait:.0f} s")
                self._sleep(wait)
            else:
                self._max_attempts = self._settings.max_attempts
                return response

    def _send(self, method: str, path: str, **arguments: Any) -> requests.Response:  # noqa: ANN401 - as above
        timeouts = (self._settings.connect_timeout, self._settings.read_timeout)
        try:
            # A redirected POST would become a GET, so the user has to give the final URL of the service.
            response = self._session.request(
                method,
                self._base + path,
                timeout=timeouts,
                allow_redirects=False,
                verify=self._trust.verify,
                **arguments,
            )
        except requests.exceptions.SSLError as exc:
            raise self._trust.failure(exc) from exc
        except requests.exceptions.ProxyError as exc:
            raise ConnectFailed(f"{self._base} cannot be reached through the proxy: {root_cause(exc)}") from exc
        except requests.Timeout as exc:
            raise TimedOut(f"{self._base} did not answer in time") from exc
        except requests.ConnectionError as exc:
            raise ConnectFailed(f"{self._base} cannot be reached") from exc
        except OSError as exc:  # any RequestException, and the error for a bundle that has been removed
            raise ProtocolViolated(f"{self._base}: {exc}") from exc
        if response.status_code in retry.PASSING_STATUSES:
            detail = f"{self._base} answered with status {response.status_code}"
            raise HttpFailed(response.status_code, detail, retry_after=_retry_after(response))
        return response

    def _refusal(self, response: requests.Response) -> Refused:
        if response.is_redirect:
            return Refused(SERVICE, f"{self._base} redirects to {response.headers['Location']}; use that with --server")
        problem = self._json(response)
        kind = self._member(response, problem, "type", str).removeprefix(PROBLEM_PREFIX)
        return Refused(kind, self._member(response, problem, "detail", str))

    def _json(self, response: requests.Response) -> Any:  # noqa: ANN401 - _member checks the type
        try:
            return response.json()
        except requests.JSONDecodeError:
            raise self._not_urlsum(response) from None

    def _member(self, response: requests.Response, value: Any, name: str, kind: type[Any]) -> Any:  # noqa: ANN401 - as above
        member = value.get(name) if isinstance(value, dict) else None
        if not isinstance(member, kind):
            raise self._not_urlsum(response)
        return member

    def _not_urlsum(self, response: requests.Response) -> Refused:
        media_type = response.headers.get("Content-Type", "no type")
        return Refused(
            SERVICE,
            f"{self._base} is not a urlsum service (status {response.status_code}, {media_type}); check --server",
        )


def _notes(url: str, body: Mapping[str, Any]) -> tuple[str, ...]:
    """The sentences of the response's notes. An earlier version of the service sends none."""
    notes, final_url = body.get("notes"), body.get("final_url")
    found_at = final_url if isinstance(final_url, str) else None
    members = [note for note in notes if isinstance(note, dict)] if isinstance(notes, list) else []
    return tuple(
        with_redirect(note.get("code", ""), note["message"], url, found_at)
        for note in members
        if isinstance(note.get("message"), str)
    )[:MOST_NOTES]


def _retry_after(response: requests.Response) -> float | None:
    return retry_after(response.headers.get("Retry-After"), date=response.headers.get("Date"), now=time.time())
