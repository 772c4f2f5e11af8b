"""``--server``: submits URLs to a urlsum service and waits for the results."""

from __future__ import annotations

import logging
import time
import uuid
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from urlsum import __version__
from urlsum.cli import console
from urlsum.cli.outcome import Outcome, Version
from urlsum.cli.server_tls import Trust, root_cause
from urlsum.client import Bearer
from urlsum.client.reply import PROBLEM_PREFIX, Accepted, Cancelled, Done, Failed, Kind, Problem, Reply, Waiting
from urlsum.errors import ConnectFailed, HttpFailed, OriginError, ProtocolViolated, TimedOut, TlsFailed
from urlsum.origin.guard.url import MAX_URL_CHARACTERS
from urlsum.text.redact import one_line
from urlsum.text.remarks import Note, with_redirect
from urlsum.worker import retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from urlsum.cli.outcome import HashRequest
    from urlsum.cli.progress import FileMeter, Meter
    from urlsum.client.reply import ProvenVersion
    from urlsum.settings import Settings

OK, ACCEPTED = 200, 202
# The failure code for a fault of the service itself, not of the file.
SERVICE = "service"
# For a response without Retry-After: the service always sends it, but a proxy may drop it.
POLL_SECONDS = 5.0
# The minimum that the service itself sends; a Retry-After of 0 must not cause a busy loop.
LEAST_POLL_SECONDS = 1.0
# Twice as many as exist; a server must not flood the terminal.
MOST_NOTES = 12
# Of a Content-Type that is no urlsum service's.
MOST_TYPE_CHARACTERS = 40

T = TypeVar("T")


class Refused(Exception):
    """The service refused the request, or its response is not that of a urlsum service."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(one_line(message))
        self.code = code


class RemoteHasher:
    """A client of the service at ``base``. Submits all URLs first, so that the service can hash them in parallel.

    The service is not trusted: what it says is checked (``urlsum.client.reply``), and shown as one line.
    """

    def __init__(
        self,
        base: str,
        settings: Settings,
        *,
        meter: Meter,
        email: str | None = None,
        wait: bool = True,
        use_netrc: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._base = base
        self._email = email
        self._wait = wait
        self._settings = settings
        self._meter = meter
        self._sleep = sleep
        self._max_attempts = settings.max_attempts
        self._waiting: list[str] = []
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"urlsum/{__version__}"
        self._session.headers["Accept"] = "application/json"
        # Responses are short. A compressed one could be decompressed into any size.
        self._session.headers["Accept-Encoding"] = "identity"
        # It would print malformed headers, as the service sent them, to the terminal.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        # As `auth`, because requests would send a password for this host in .netrc, in place of a header too.
        if settings.urlsum_api_key is not None:
            self._session.auth = Bearer(settings.urlsum_api_key)
        elif not use_netrc:
            self._session.auth = _NoPassword()
        self._trust = Trust(base, self._session, settings.ssl_cert_file)

    def digests(self, hash_requests: Sequence[HashRequest]) -> Iterator[Outcome]:
        """One outcome for each request, in order. Raises Interrupted."""
        submitted = [(each.url, self._try(each.url, lambda each=each: self._submit(each))) for each in hash_requests]  # type: ignore[misc] # mypy sees no default in a lambda
        meters = [self._meter.file(each.url, each.size) for each in hash_requests]
        try:
            for (url, task_id), meter in zip(submitted, meters, strict=True):
                if isinstance(task_id, Outcome):
                    yield task_id
                elif self._wait:
                    yield self._result(url, task_id, meter)
                else:
                    yield Outcome(url, link=self._link(task_id))
        finally:
            self._meter.close()

    def resume_hint(self) -> str:
        """The URL that shows the progress of the interrupted work."""
        if not self._waiting:
            return "nothing was submitted"
        more = f" (and {len(self._waiting) - 1} more)" if len(self._waiting) > 1 else ""
        link = self._link(self._waiting[0])
        return f"the service continues: {link}{more}; to cancel it: urlsum --cancel '{link}'"

    def cancel(self, task_id: str) -> Outcome:
        """Cancel a task; an Outcome without a code if it is cancelled now."""
        link = self._link(task_id)
        return self._try(link, lambda: self._cancel(task_id)) or Outcome(link, link=link)

    def _submit(self, hash_request: HashRequest) -> str:
        fields = {"url": hash_request.url, "md5": hash_request.md5, "email": self._email}
        # One key for all attempts: a retry after a lost response creates no second task.
        key = {"Idempotency-Key": str(uuid.uuid4())}
        reply = self._request(
            "POST", "/submit", json={name: text for name, text in fields.items() if text}, headers=key
        )
        if reply.status != ACCEPTED:
            raise self._refusal(reply)
        task_id = self._read(reply, Accepted).id
        self._waiting.append(task_id)
        return task_id

    def finish(self) -> None:
        """Nothing is kept here."""

    def _result(self, url: str, task_id: str, meter: FileMeter) -> Outcome:
        try:
            result = self._try(url, lambda: self._poll(url, task_id, meter))
        finally:
            meter.end()
            meter.finish()
        self._waiting.remove(task_id)
        return result

    def _poll(self, url: str, task_id: str, meter: FileMeter) -> Outcome:
        shown = False
        while (reply := self._request("GET", f"/check?id={task_id}")).status == ACCEPTED:
            progress = self._read(reply, Waiting).progress
            if not shown:
                meter.begin(progress.bytes, progress.total)
                shown = True
            meter.move(progress.bytes, progress.total)
            wait = reply.retry_after
            self._sleep(POLL_SECONDS if wait is None else max(wait, LEAST_POLL_SECONDS))
        match reply.status:
            case 200:
                done = self._read(reply, Done)
                return _outcome(url, done)
            case 424:
                reason = self._read(reply, Failed).error
                raise Refused(reason.code, reason.message)
            case 410:
                raise Refused(self._read(reply, Cancelled).status, "the task was cancelled")
        raise self._refusal(reply)

    def _cancel(self, task_id: str) -> None:
        reply = self._request("DELETE", f"/check?id={task_id}")
        if reply.status != OK:
            raise self._refusal(reply)
        self._read(reply, Cancelled)

    def _link(self, task_id: str) -> str:
        return f"{self._base}/check?id={task_id}"

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

    def _request(self, method: str, path: str, **arguments: Any) -> Reply:  # noqa: ANN401 - as requests takes it
        """Send until a response comes that is not a passing failure. Raises OriginError after the last attempt."""
        attempts = 0
        while True:
            try:
                reply = self._send(method, path, **arguments)
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
                return reply

    def _send(self, method: str, path: str, **arguments: Any) -> Reply:  # noqa: ANN401 - as above
        timeouts = (self._settings.connect_timeout, self._settings.read_timeout)
        try:
            # A redirected POST would become a GET, so the user has to give the final URL of the service.
            response = self._session.request(
                method,
                self._base + path,
                timeout=timeouts,
                allow_redirects=False,
                stream=True,
                verify=self._trust.verify,
                **arguments,
            )
            reply = Reply(response)
        except requests.exceptions.SSLError as exc:
            raise self._trust.failure(exc) from exc
        except requests.exceptions.ProxyError as exc:
            raise ConnectFailed(f"{self._base} cannot be reached through the proxy: {root_cause(exc)}") from exc
        except requests.Timeout as exc:
            raise TimedOut(f"{self._base} did not answer in time") from exc
        except requests.ConnectionError as exc:
            raise ConnectFailed(f"{self._base} cannot be reached") from exc
        except (OSError, ValueError) as exc:  # any RequestException, a bundle that has been removed, or Reply's
            raise ProtocolViolated(f"{self._base}: {exc}") from exc
        if reply.status in retry.PASSING_STATUSES:
            detail = f"{self._base} answered with status {reply.status}"
            raise HttpFailed(reply.status, detail, retry_after=reply.retry_after)
        return reply

    def _refusal(self, reply: Reply) -> Refused:
        if reply.location is not None:
            return Refused(SERVICE, f"{self._base} redirects to {reply.location}; use that with --server")
        problem = self._read(reply, Problem)
        return Refused(problem.type.removeprefix(PROBLEM_PREFIX), problem.detail)

    def _read(self, reply: Reply, kind: type[Kind]) -> Kind:
        """The body as ``kind``. Raises Refused."""
        found = reply.read(kind)
        if found is None:
            what = f"status {reply.status}, {one_line(reply.content_type, MOST_TYPE_CHARACTERS)}"
            raise Refused(SERVICE, f"{self._base} is not a urlsum service ({what}); check --server")
        return found


class _NoPassword(requests.auth.AuthBase):
    """Sends nothing, and keeps requests from reading .netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def _outcome(url: str, done: Done) -> Outcome:
    """The outcome of a done task; facts beside the digest that are of another type are left out."""
    final_url = _text(done.final_url)
    notes = tuple(
        Note(note.code, with_redirect(note.code, note.message, url, final_url)) for note in done.remarks(MOST_NOTES)
    )
    return Outcome(
        url,
        done.md5.lower(),
        notes=notes,
        final_url=final_url,
        name=_text(done.name),
        content_type=_text(done.content_type),
        size=done.size if isinstance(done.size, int) and done.size >= 0 else None,
        version=_version(done.proven),
    )


def _version(found: ProvenVersion | None) -> Version | None:
    if found is None:
        return None
    modified = found.last_modified
    return Version(_text(found.etag), None if modified is None else modified.timestamp(), _text(found.proof))


def _text(value: object) -> str | None:
    return one_line(value, MAX_URL_CHARACTERS) if isinstance(value, str) else None
