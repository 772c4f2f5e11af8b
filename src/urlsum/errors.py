"""All exceptions that urlsum raises on purpose.

UrlsumError
├── SettingsError            a setting has a wrong value: the process must not start
├── InvalidRequest           the request is wrong; names the field
│   └── InvalidUrl           the URL breaks the grammar that urlsum accepts
├── TaskNotFound             no such id, or it has expired
├── Unavailable              try again later; nothing was changed
│   ├── TableUnavailable
│   └── QueueUnavailable
├── Conflict                 another caller was faster, or the task is not due yet
│   ├── TaskExists           an insert met the same id
│   ├── LeaseHeld            another worker holds the lease
│   ├── LeaseLost            this worker's fence is no longer the stored one
│   ├── NotDue               the task waits for a later time (back-off)
│   ├── NothingToDo          the task is final and its email is settled
│   └── TaskFinished         the task has ended, so it can no longer be cancelled
├── DeadlineReached          the slice's time is over: not a failure, the next slice resumes
├── StateError               a saved MD5 state is corrupt or foreign
├── MailError
│   ├── MailRefused          permanent: this recipient or email will never be accepted
│   └── MailUnavailable      transient: try again later
└── OriginError              the file cannot be hashed; carries a FailureCode
    ├── Blocked              the address must not be contacted (SSRF)
    ├── DnsFailed            the name does not resolve
    ├── ConnectFailed        no connection can be established
    ├── TlsFailed            handshake or certificate
    │   └── TlsUnsupported   the server offers no TLS that urlsum can use: final
    ├── HttpFailed           a final status other than success
    ├── ProtocolViolated     the response is not valid HTTP
    ├── Incomplete           the body ended before its declared end
    │   └── RangesFailed     range requests failed; one whole response may succeed
    ├── Changed              the file is another version than at the start
    │   ├── Unsteady         each response has another validator
    │   └── AnotherKind      another kind of content, perhaps an error page
    ├── TimedOut             too slow, or silent
    ├── TooLarge             longer than MAX_BYTES
    ├── BadRedirect          too many redirects, a loop, or an unusable Location
    └── Unverifiable         nothing proves the end of the body
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class FailureCode(StrEnum):
    """Why a task failed: the stable, public vocabulary of ``error.code``."""

    BLOCKED = "blocked"
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    HTTP = "http"
    PROTOCOL = "protocol"
    INCOMPLETE = "incomplete"
    CHANGED = "changed"
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"
    REDIRECTS = "redirects"
    UNVERIFIABLE = "unverifiable"
    INTERNAL = "internal"


class UrlsumError(Exception):
    """The root of the tree."""


class SettingsError(UrlsumError):
    """A setting has a wrong value; the text is one line that names it."""


class InvalidRequest(UrlsumError):
    """The request is wrong: ``field`` names the place, the text gives the fault and the remedy."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class InvalidUrl(InvalidRequest):
    """The URL breaks the grammar that urlsum accepts.

    ``reason`` names the fault; the text adds ``advice`` for the person who typed the URL.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__("url", f"{reason}; {advice}" if advice else reason)
        self.reason = reason


class TaskNotFound(UrlsumError):
    """No task has this id, or it has expired."""


class Unavailable(UrlsumError):
    """A backing service does not respond; nothing was changed and a later try may succeed."""


class TableUnavailable(Unavailable):
    """The task table does not respond."""


class QueueUnavailable(Unavailable):
    """The task queue does not accept or deliver messages."""


class Conflict(UrlsumError):
    """The condition of a conditional write does not hold."""


class TaskExists(Conflict):
    """An insert met a task with the same id."""


class LeaseHeld(Conflict):
    """Another worker holds the lease of the task."""


class LeaseLost(Conflict):
    """The stored fence is no longer this worker's: stop at once, write nothing."""


class NotDue(Conflict):
    """The task waits until ``due_at`` (epoch seconds)."""

    def __init__(self, due_at: float) -> None:
        super().__init__(f"not due before {due_at:.0f}")
        self.due_at = due_at


class NothingToDo(Conflict):
    """The task is final and no email is owed."""


class TaskFinished(Conflict):
    """The task has its result or has failed, so it cannot be cancelled."""


class DeadlineReached(UrlsumError):
    """The slice reached its deadline before the end of the file; the next slice resumes from here."""


class StateError(UrlsumError):
    """A saved MD5 state is corrupt or foreign."""


class MailError(UrlsumError):
    """The mail system did not accept the email."""


class MailRefused(MailError):
    """The email is refused permanently: a retry cannot help."""


class MailUnavailable(MailError):
    """The email is refused for now, or the server does not respond."""


class OriginError(UrlsumError):
    """The origin, or the path to it, prevents the hashing of the file.

    The text is for operators: it gives the event, the place and, where possible, the remedy, and may name resolved
    addresses. ``retry_after`` is the origin's Retry-After in seconds.
    """

    code: ClassVar[FailureCode] = FailureCode.INTERNAL

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.redirected = False
        """Whether the error occurred at another URL than the submitted one."""


class Blocked(OriginError):
    """The guard refuses the address, the port or the host."""

    code = FailureCode.BLOCKED


class DnsFailed(OriginError):
    """The host name does not resolve."""

    code = FailureCode.DNS


class ConnectFailed(OriginError):
    """No address that the guard allows accepts a connection."""

    code = FailureCode.CONNECT


class TlsFailed(OriginError):
    """The TLS handshake or the certificate check failed."""

    code = FailureCode.TLS


class TlsUnsupported(TlsFailed):
    """The server offers no safe TLS, or demands a client certificate; every retry would fail alike."""


class HttpFailed(OriginError):
    """The final response has ``status``, which is not a success."""

    code = FailureCode.HTTP

    def __init__(self, status: int, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.status = status


class ProtocolViolated(OriginError):
    """The response violates HTTP (RFC 9110, RFC 9112), so that its length or meaning is ambiguous."""

    code = FailureCode.PROTOCOL


class Incomplete(OriginError):
    """The body ended before its declared end."""

    code = FailureCode.INCOMPLETE


class RangesFailed(Incomplete):
    """Range requests failed, which proves nothing about the file: one whole response may succeed."""


class Changed(OriginError):
    """The validator shows another version of the file than at the start."""

    code = FailureCode.CHANGED


class Unsteady(Changed):
    """Each response has another validator, although length and date stay the same: the validators prove nothing."""


class AnotherKind(Changed):
    """The response has another kind of content, perhaps an error or a login page: a later try may find the file."""


class TimedOut(OriginError):
    """The origin was silent, or slower than the minimum rate."""

    code = FailureCode.TIMEOUT


class TooLarge(OriginError):
    """The file is longer than ``MAX_BYTES``."""

    code = FailureCode.TOO_LARGE


class BadRedirect(OriginError):
    """More redirects than ``MAX_REDIRECTS``, a loop, or an unusable Location."""

    code = FailureCode.REDIRECTS


class Unverifiable(OriginError):
    """The body has no length and no framing, so its end looks the same as a cut connection."""

    code = FailureCode.UNVERIFIABLE
