"""``--server``: let a urlsum service hash, and wait for what it says."""

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

    from urlsum.cli.outcome import Wanted
    from urlsum.cli.progress import Meter
    from urlsum.settings import Settings

OK, ACCEPTED, GONE, FAILED_DEPENDENCY = 200, 202, 410, 424
# The code of trouble with the service itself, which says nothing about the file.
SERVICE = "service"
PROBLEM_PREFIX = "urn:urlsum:problem:"
# Every unfinished answer has a Retry-After; a proxy may have dropped it.
POLL_SECONDS = 5.0
# As the service itself has it: one that says 0 is not asked in a busy loop.
LEAST_POLL_SECONDS = 1.0
# Twice as many as there are; a server must not flood the terminal.
MOST_NOTES = 12

T = TypeVar("T")


class Refused(Exception):
    """The service says no, or does not speak like a urlsum service."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RemoteHasher:
    """A client of the service at ``base``: submits everything first, so that it can work on many files at once."""

    def __init__(
        self, base: str, settings: Settings, *, meter: Meter, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._base = base
        self._settings = settings
        self._meter = meter
        self._sleep = sleep
        self._patience = settings.max_attempts
        self._waiting: list[str] = []
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"urlsum/{__version__}"
        self._session.headers["Accept"] = "application/json"
        self._trust = Trust(base, self._session, settings.ssl_cert_file)

    def digests(self, wanted: Sequence[Wanted]) -> Iterator[Outcome]:
        """One outcome for each, in order. Raises Interrupted."""
        submitted = [(each.url, self._try(each.url, lambda each=each: self._submit(each))) for each in wanted]  # type: ignore[misc] # mypy sees no default in a lambda
        for url, accepted in submitted:
            yield accepted if isinstance(accepted, Outcome) else self._waited(url, accepted)

    def how_to_go_on(self) -> str:
        """Where the interrupted work can be looked at."""
        if not self._waiting:
            return "nothing was submitted"
        more = f" (and {len(self._waiting) - 1} more)" if len(self._waiting) > 1 else ""
        return f"the service continues: {self._base}/check?id={self._waiting[0]}{more}"

    def _submit(self, wanted: Wanted) -> str:
        fields = {"url": wanted.url} | ({"md5": wanted.md5} if wanted.md5 else {})
        # One key for all tries: an answer that got lost does not become a second task.
        key = {"Idempotency-Key": str(uuid.uuid4())}
        answer = self._ask("POST", "/submit", json=fields, headers=key)
        if answer.status_code != ACCEPTED:
            raise self._refusal(answer)
        task_id = self._member(answer, self._json(answer), "id", str)
        self._waiting.append(task_id)
        return str(task_id)

    def _waited(self, url: str, task_id: str) -> Outcome:
        try:
            result = self._try(url, lambda: self._wait(url, task_id))
        finally:
            self._meter.end()
        self._waiting.remove(task_id)
        return result

    def _wait(self, url: str, task_id: str) -> Outcome:
        shown = False
        while (answer := self._ask("GET", f"/check?id={task_id}")).status_code == ACCEPTED:
            progress = self._member(answer, self._json(answer), "progress", dict)
            at, total = self._member(answer, progress, "bytes", int), progress.get("total")
            if not shown:
                self._meter.begin(url, at, total)
                shown = True
            self._meter.move(at, total)
            asked = _asked_wait(answer)
            self._sleep(POLL_SECONDS if asked is None else max(asked, LEAST_POLL_SECONDS))
        if answer.status_code == OK:
            body = self._json(answer)
            return Outcome(url, self._member(answer, body, "md5", str), notes=_notes(url, body))
        if answer.status_code == FAILED_DEPENDENCY:
            error = self._member(answer, self._json(answer), "error", dict)
            raise Refused(self._member(answer, error, "code", str), self._member(answer, error, "message", str))
        if answer.status_code == GONE:
            raise Refused(self._member(answer, self._json(answer), "status", str), "the task was cancelled")
        raise self._refusal(answer)

    def _try(self, url: str, act: Callable[[], T]) -> T | Outcome:
        try:
            return act()
        except Refused as exc:
            return Outcome(url, code=exc.code, message=str(exc))
        except OriginError as exc:
            # Whoever waited in vain for one file need not wait as long for each of the others.
            self._patience = 1
            advice = "" if isinstance(exc, TlsFailed) else "; check --server or try again later"
            return Outcome(url, code=SERVICE, message=f"{exc}{advice}")

    def _ask(self, method: str, path: str, **what: Any) -> requests.Response:  # noqa: ANN401 - as requests takes it
        """Ask until there is an answer that is one. Raises OriginError when patience is at its end."""
        attempts = 0
        while True:
            try:
                answer = self._once(method, path, **what)
            except OriginError as error:
                attempts += 1
                base = self._settings.retry_base_seconds
                wait = retry.delay(error, attempts=attempts, max_attempts=self._patience, base_seconds=base)
                if wait is None:
                    raise
                console.tell(f"{error}; trying again in {wait:.0f} s")
                self._sleep(wait)
            else:
                self._patience = self._settings.max_attempts
                return answer

    def _once(self, method: str, path: str, **what: Any) -> requests.Response:  # noqa: ANN401 - as above
        patience = (self._settings.connect_timeout, self._settings.read_timeout)
        try:
            # A redirected POST would become a GET; where the service really is, the user can say.
            answer = self._session.request(
                method,
                self._base + path,
                timeout=patience,
                allow_redirects=False,
                verify=self._trust.verify,
                **what,
            )
        except requests.exceptions.SSLError as exc:
            raise self._trust.failure(exc) from exc
        except requests.exceptions.ProxyError as exc:
            raise ConnectFailed(f"{self._base} cannot be reached through the proxy: {root_cause(exc)}") from exc
        except requests.Timeout as exc:
            raise TimedOut(f"{self._base} did not answer in time") from exc
        except requests.ConnectionError as exc:
            raise ConnectFailed(f"{self._base} cannot be reached") from exc
        except OSError as exc:  # any RequestException, and what requests raises when a bundle has been removed
            raise ProtocolViolated(f"{self._base}: {exc}") from exc
        if answer.status_code in retry.PASSING_STATUSES:
            detail = f"{self._base} answered with status {answer.status_code}"
            raise HttpFailed(answer.status_code, detail, retry_after=_asked_wait(answer))
        return answer

    def _refusal(self, answer: requests.Response) -> Refused:
        if answer.is_redirect:
            return Refused(SERVICE, f"{self._base} redirects to {answer.headers['Location']}; use that with --server")
        problem = self._json(answer)
        kind = self._member(answer, problem, "type", str).removeprefix(PROBLEM_PREFIX)
        return Refused(kind, self._member(answer, problem, "detail", str))

    def _json(self, answer: requests.Response) -> Any:  # noqa: ANN401 - whatever it is, _member judges it
        try:
            return answer.json()
        except requests.JSONDecodeError:
            raise self._no_urlsum(answer) from None

    def _member(self, answer: requests.Response, value: Any, name: str, kind: type[Any]) -> Any:  # noqa: ANN401 - as above
        member = value.get(name) if isinstance(value, dict) else None
        if not isinstance(member, kind):
            raise self._no_urlsum(answer)
        return member

    def _no_urlsum(self, answer: requests.Response) -> Refused:
        media_type = answer.headers.get("Content-Type", "no type")
        return Refused(
            SERVICE,
            f"{self._base} is not a urlsum service (status {answer.status_code}, {media_type}); check --server",
        )


def _notes(url: str, body: Mapping[str, Any]) -> tuple[str, ...]:
    """The sentences of the response's notes; a service of an earlier version has none."""
    notes, final_url = body.get("notes"), body.get("final_url")
    found_at = final_url if isinstance(final_url, str) else None
    members = [note for note in notes if isinstance(note, dict)] if isinstance(notes, list) else []
    return tuple(
        with_redirect(note.get("code", ""), note["message"], url, found_at)
        for note in members
        if isinstance(note.get("message"), str)
    )[:MOST_NOTES]


def _asked_wait(answer: requests.Response) -> float | None:
    return retry_after(answer.headers.get("Retry-After"), date=answer.headers.get("Date"), now=time.time())
