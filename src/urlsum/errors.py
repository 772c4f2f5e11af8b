"""Everything that urlsum raises on purpose.

UrlsumError
├── SettingsError            a setting has a wrong value: the process must not start
├── InvalidRequest           what was asked for is wrong; names the field
│   └── InvalidUrl           the URL breaks the grammar that urlsum accepts
├── TaskNotFound             no such id, or it has expired
├── Unavailable              try again later; nothing was changed
│   ├── TableUnavailable
│   └── QueueUnavailable
├── Conflict                 somebody else was faster, or it is not time yet
│   ├── TaskExists           an insert met the same id
│   ├── LeaseHeld            another worker holds the lease
│   ├── LeaseLost            this worker's fence is no longer the stored one
│   ├── NotDue               the task waits for a later time (back-off)
│   ├── NothingToDo          the task is final and its mail is settled
│   └── TaskFinished         the task has ended, so it cannot be cancelled any more
├── DeadlineReached          the slice's time is over: not a failure, the next one goes on
├── StateError               a saved MD5 state is corrupt or foreign
├── MailError
│   ├── MailRefused          permanent: this recipient or message will never be taken
│   └── MailUnavailable      transient: try again later
└── OriginError              the file cannot be hashed; carries a FailureCode
    ├── Blocked              the address must not be contacted
    ├── DnsFailed            the name does not resolve
    ├── ConnectFailed        nothing answers there
    ├── TlsFailed            handshake or certificate
    │   └── TlsUnsupported   the server offers no TLS that urlsum can use: final
    ├── HttpFailed           a final status other than success
    ├── ProtocolViolated     the answer is not valid HTTP
    ├── Incomplete           the body ended before its declared end
    │   └── RangesFailed     what range requests could not bring, a whole response may
    ├── Changed              the file is not the one that was begun
    │   ├── Unsteady         each response says another version
    │   └── AnotherKind      an error page, perhaps, in its place
    ├── TimedOut             too slow, or silent
    ├── TooLarge             longer than MAX_BYTES
    ├── BadRedirect          too many, or to nowhere
    └── Unverifiable         the end of the body cannot be proven
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
    """What the caller sent is wrong: ``field`` says where, the text says what and what to do."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class InvalidUrl(InvalidRequest):
    """The URL breaks the grammar that urlsum accepts.

    ``reason`` says what is wrong with it; ``advice``, for the person who typed it, follows in the text.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__("url", f"{reason}; {advice}" if advice else reason)
        self.reason = reason


class TaskNotFound(UrlsumError):
    """No task has this id, or it has expired."""


class Unavailable(UrlsumError):
    """A backing service does not answer; nothing was changed and a later try may succeed."""


class TableUnavailable(Unavailable):
    """The task table does not answer."""


class QueueUnavailable(Unavailable):
    """The task queue does not take or give messages."""


class Conflict(UrlsumError):
    """A conditional write found something else than it expected."""


class TaskExists(Conflict):
    """An insert met a task of the same id."""


class LeaseHeld(Conflict):
    """Another worker holds the lease of the task."""


class LeaseLost(Conflict):
    """The stored fence is not this worker's any more: stop at once, write nothing."""


class NotDue(Conflict):
    """The task waits until ``due_at`` (epoch seconds)."""

    def __init__(self, due_at: float) -> None:
        super().__init__(f"not due before {due_at:.0f}")
        self.due_at = due_at


class NothingToDo(Conflict):
    """The task is final and no mail is owed."""


class TaskFinished(Conflict):
    """The task has its result, or has failed: there is nothing left to cancel."""


class DeadlineReached(UrlsumError):
    """The deadline of the slice came before the end of the file; the next slice goes on from here."""


class StateError(UrlsumError):
    """A saved MD5 state is corrupt or was written by something else."""


class MailError(UrlsumError):
    """The mail was not taken."""


class MailRefused(MailError):
    """Permanently refused: trying again cannot help."""


class MailUnavailable(MailError):
    """Refused for now, or the server does not answer."""


class OriginError(UrlsumError):
    """The origin, or the way to it, does not let the file be hashed.

    The text says what happened, where, and where possible what to do; it may name resolved
    addresses and is for operators. ``retry_after`` is what the origin asked for, in seconds.
    """

    code: ClassVar[FailureCode] = FailureCode.INTERNAL

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.redirected = False
        """Whether it befell another URL than the submitted one."""


class Blocked(OriginError):
    """The guard refuses the address, the port or the host."""

    code = FailureCode.BLOCKED


class DnsFailed(OriginError):
    """The host name does not resolve."""

    code = FailureCode.DNS


class ConnectFailed(OriginError):
    """No connection to any judged address."""

    code = FailureCode.CONNECT


class TlsFailed(OriginError):
    """The TLS handshake or the certificate check failed."""

    code = FailureCode.TLS


class TlsUnsupported(TlsFailed):
    """The server offers no safe TLS, or demands a client certificate; every later try would fail alike."""


class HttpFailed(OriginError):
    """The final answer's status is not a success; ``status`` is that status."""

    code = FailureCode.HTTP

    def __init__(self, status: int, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.status = status


class ProtocolViolated(OriginError):
    """The answer breaks HTTP (RFC 9110, RFC 9112) in a way that leaves its length or meaning open."""

    code = FailureCode.PROTOCOL


class Incomplete(OriginError):
    """The body ended before the end that the origin declared."""

    code = FailureCode.INCOMPLETE


class RangesFailed(Incomplete):
    """Range requests did not bring the rest, which says nothing about the file: one whole response may bring it."""


class Changed(OriginError):
    """The validator says that the file is another version than the one that was begun."""

    code = FailureCode.CHANGED


class Unsteady(Changed):
    """Each response says another version of a file that has one length and one date: its validators say nothing."""


class AnotherKind(Changed):
    """What comes now is no file of this kind, but perhaps an error or a login page: a later try may find the file."""


class TimedOut(OriginError):
    """The origin was silent, or slower than the minimum rate."""

    code = FailureCode.TIMEOUT


class TooLarge(OriginError):
    """The file is longer than ``MAX_BYTES``."""

    code = FailureCode.TOO_LARGE


class BadRedirect(OriginError):
    """More redirects than ``MAX_REDIRECTS``, a loop, or a Location that leads nowhere."""

    code = FailureCode.REDIRECTS


class Unverifiable(OriginError):
    """The body has no length and no framing, so its end cannot be told from a cut."""

    code = FailureCode.UNVERIFIABLE
