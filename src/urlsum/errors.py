"""All exceptions that urlsum raises on purpose.

UrlsumError
├── SettingsError            a setting has a wrong value: the process must not start
│   └── ClockSkewed          so is this machine's clock
├── InvalidRequest           the request is wrong; names the field
│   └── InvalidUrl           the URL breaks the grammar that urlsum accepts
├── KeyRefused               the request needs an API key, or has an unknown one
├── LimitReached             the client has used up what it may; says when to come back
├── TaskNotFound             no such id, or it has expired
├── UnknownLink              no email of this service contains this link
├── Unavailable              try again later; nothing was changed unless a write is in doubt
│   ├── Overloaded           all clients together have too many unfinished tasks
│   ├── TableUnavailable
│   └── QueueUnavailable
├── Conflict                 another caller was faster, or the task is not due yet
│   ├── TaskExists           an insert met the same id
│   ├── RecordChanged        another writer changed the record since it was read
│   ├── LeaseHeld            another worker holds the lease
│   ├── LeaseLost            this worker's fence is no longer the stored one
│   ├── NotDue               the task waits for a later time (back-off)
│   ├── NothingToDo          the task is final and its email is settled
│   └── TaskFinished         the task has ended, so it can no longer be cancelled
├── DeadlineReached          the slice's time is over: not a failure, the next slice resumes
│   └── OriginBusy           a limit of the origin is met: the task waits for its turn
├── StateError               a saved MD5 state is corrupt or foreign
├── MailError
│   ├── MailRefused          permanent: this recipient or email will never be accepted
│   │   ├── MailLimited      the recipient has had as many emails as one may get in a day
│   │   └── MailSuppressed   the recipient gets no more email
│   └── MailUnavailable      transient: try again later
│       └── MailSystemDown   the mail system fails: the next email would fail as well
│           └── MailUnanswered   the whole email was sent and no reply came, so it may arrive
└── OriginError              the file cannot be hashed; carries a FailureCode
    ├── Blocked              the address must not be contacted (SSRF)
    ├── DnsFailed            the name does not resolve
    │   └── AddressRefused   it resolves to an address that must not be contacted (SSRF)
    ├── ConnectFailed        no connection can be established
    ├── TlsFailed            handshake or certificate
    │   └── TlsUnsupported   the server offers no TLS that urlsum can use: final
    ├── HttpFailed           a final status other than success
    ├── ProtocolViolated     the response is not valid HTTP
    │   └── TooCostly        the body comes in tiny pieces: final
    ├── Incomplete           the body ended before its declared end
    │   └── RangesFailed     range requests failed; one whole response may succeed
    ├── Changed              the file is another version than at the start
    │   ├── Unsteady         each response has another validator
    │   └── AnotherKind      another kind of content, perhaps an error page
    ├── TimedOut             too slow, or silent
    │   └── TooSlow          cannot end within the time that a task has: final
    ├── TooLarge             longer than MAX_BYTES
    ├── BadRedirect          too many redirects, a loop, or an unusable Location
    └── Unverifiable         nothing proves the end of the body
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

# A sentence or two. The longest of urlsum's own messages quotes a host name (at most 253 characters) once.
MESSAGE_LIMIT = 400
# Of what an origin sent, as much as a line of a log can bear; a status line has up to 64 KiB.
RAW_LIMIT = 300


def one_line(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """``text`` as one line of printable characters, at most ``limit`` of them.

    Line breaks, control and bidirectional characters could forge a second line in a log or an email; lone surrogates
    cannot be encoded.
    """
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    shown = " ".join(text.split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def escaped(raw: bytes | str, limit: int = RAW_LIMIT) -> str:
    r"""``raw``, foreign text, with each character that a terminal or a log could interpret as a backslash escape.

    At most ``limit`` characters.

    >>> escaped(b"HTTP/1.1 \x1b[31mred\r\n")
    'HTTP/1.1 \\x1b[31mred\\r\\n'
    """
    text = raw if isinstance(raw, str) else raw[: 4 * limit].decode("utf-8", "backslashreplace")
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text[: limit + 1]
    )
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


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


class ClockSkewed(SettingsError):
    """The clock of this machine is ``offset`` seconds behind the database's; ahead of it, if that is negative."""

    def __init__(self, offset: float) -> None:
        side = "behind" if offset > 0 else "ahead of"
        super().__init__(f"the clock of this machine is {abs(offset):.0f} s {side} the database's; set both by NTP")
        self.offset = offset


class InvalidRequest(UrlsumError):
    """The request is wrong: ``field`` names the place, the text gives the fault and the remedy."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class InvalidUrl(InvalidRequest):
    """The URL breaks the grammar that urlsum accepts.

    ``reason`` names the fault; the text adds ``advice`` for the person who typed the URL, and the URL that was
    probably meant, a ``suggestion``, if there is one.
    """

    def __init__(self, reason: str, advice: str = "", suggestion: str | None = None) -> None:
        offer = f"did you mean {suggestion}?" if suggestion else ""
        super().__init__("url", "; ".join(filter(None, (reason, advice, offer))))
        self.reason = reason
        self.suggestion = suggestion


class KeyRefused(UrlsumError):
    """The request has no API key although it needs one, or one that is ``unknown``."""

    def __init__(self, reason: str, *, unknown: bool) -> None:
        super().__init__(reason)
        self.unknown = unknown


class LimitReached(UrlsumError):
    """The client has used up ``quota``, the value of ``limit``; it may come back in ``seconds``."""

    def __init__(self, limit: str, reason: str, *, quota: int, seconds: int) -> None:
        super().__init__(reason)
        self.limit = limit
        self.quota = quota
        self.seconds = seconds


class TaskNotFound(UrlsumError):
    """No task has this id, or it has expired."""


class UnknownLink(UrlsumError):
    """No email of this service contains a link with this token."""


class Unavailable(UrlsumError):
    """A backing service does not respond; a later try may succeed.

    Nothing was changed, unless the error is ``in_doubt``: then a write was sent and its outcome is unknown.
    """

    def __init__(self, message: str, *, in_doubt: bool = False) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt
        self._reported = False

    @property
    def reported(self) -> bool:
        """Whether the log has a line about this outage already (``urlsum.outage``)."""
        cause = self.__cause__
        return self._reported or (isinstance(cause, Unavailable) and cause.reported)

    @reported.setter
    def reported(self, reported: bool) -> None:
        self._reported = reported


class Overloaded(Unavailable):
    """All clients together have as many unfinished tasks as the deployment keeps."""


class TableUnavailable(Unavailable):
    """The task table does not respond."""


class QueueUnavailable(Unavailable):
    """The task queue does not accept or deliver messages."""


class Conflict(UrlsumError):
    """The condition of a conditional write does not hold."""


class TaskExists(Conflict):
    """An insert met a task with the same id."""


class RecordChanged(Conflict):
    """The stored version of a record is no longer the one that was read."""


class LeaseHeld(Conflict):
    """Another worker holds the lease of the task."""


class LeaseLost(Conflict):
    """The stored fence is no longer this worker's: stop at once, write nothing."""


class NotDue(Conflict):
    """The task waits until ``due_at`` (epoch seconds), with the continuations if it is ``continued``."""

    def __init__(self, due_at: float, *, continued: bool = False) -> None:
        super().__init__(f"not due before {due_at:.0f}")
        self.due_at = due_at
        self.continued = continued


class NothingToDo(Conflict):
    """The task is final and no email is owed."""


class TaskFinished(Conflict):
    """The task has its result or has failed, so it cannot be cancelled."""


class DeadlineReached(UrlsumError):
    """The slice reached its deadline before the end of the file; the next slice resumes from here."""


class OriginBusy(DeadlineReached):
    """A limit that protects the origin is met, for ``wait`` more seconds if that is known: the slice ends early."""

    def __init__(self, message: str, *, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class StateError(UrlsumError):
    """A saved MD5 state is corrupt or foreign."""


class MailError(UrlsumError):
    """The mail system did not accept the email."""


class MailRefused(MailError):
    """The email is refused permanently: a retry cannot help."""


class MailLimited(MailRefused):
    """The recipient has had as many emails as one may get in a day."""


class MailSuppressed(MailRefused):
    """The recipient gets no more email, because of a request, bounces or complaints."""


class MailUnavailable(MailError):
    """The email is refused for now, or the server does not respond."""


class MailSystemDown(MailUnavailable):
    """The mail system does not work, whatever the email: no connection, no TLS, no login, no reply."""


class MailUnanswered(MailSystemDown):
    """The mail system has the whole email and did not reply: whether it arrives is unknown."""


class OriginError(UrlsumError):
    """The origin, or the path to it, prevents the hashing of the file.

    The text gives the event, the place and, where possible, the remedy. Strangers read it in responses, on pages and in
    emails, so it has urlsum's words, numbers and the submitted URL only, and nothing that the origin sent: that is
    ``raw``, for the log. Only the texts of Blocked, DnsFailed and ConnectFailed name other hosts and resolved
    addresses; the public never sees them. ``retry_after`` is the origin's Retry-After in seconds.
    """

    code: ClassVar[FailureCode] = FailureCode.INTERNAL

    def __init__(self, message: str, *, retry_after: float | None = None, raw: bytes | str = "") -> None:
        super().__init__(one_line(message))
        self.retry_after = retry_after
        self.raw = escaped(raw)
        """What the origin sent to cause this: escaped, at most RAW_LIMIT characters."""
        self.at = ""
        """The URL at the end of the redirects without its query, where it is not the submitted one."""
        self.redirected = False
        """Whether the error occurred at another URL than the submitted one."""

    @property
    def detail(self) -> str:
        """What the log and a terminal may show besides the text: where, and what the origin sent; empty if unknown.

        One line of at most twice RAW_LIMIT characters and some words. Not for strangers.
        """
        causes: list[OriginError] = []
        error: BaseException | None = self
        while error is not None:
            if isinstance(error, OriginError):
                causes.append(error)
            error = error.__cause__
        at = next((each.at for each in causes if each.at), "")
        raw = next((each.raw for each in causes if each.raw), "")
        where = [f"at {escaped(at)}"] if at else []
        return ", ".join([*where, *([f"the server sent: {raw}"] if raw else [])])


class Blocked(OriginError):
    """The guard refuses the address, the port or the host."""

    code = FailureCode.BLOCKED


class DnsFailed(OriginError):
    """The host name does not resolve."""

    code = FailureCode.DNS


class AddressRefused(DnsFailed):
    """The guard refuses an address after a look-up.

    To strangers it is a name that does not resolve: retried as often, in the same words. Otherwise they could tell
    which names exist inside. Its code is for the operator.
    """

    code = FailureCode.BLOCKED


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

    def __init__(self, status: int, message: str, *, retry_after: float | None = None, raw: bytes | str = "") -> None:
        super().__init__(message, retry_after=retry_after, raw=raw)
        self.status = status


class ProtocolViolated(OriginError):
    """The response violates HTTP (RFC 9110, RFC 9112), so that its length or meaning is ambiguous."""

    code = FailureCode.PROTOCOL


class TooCostly(ProtocolViolated):
    """The body comes in pieces so small that receiving them takes a CPU; every try would cost as much."""


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


class TooSlow(TimedOut):
    """At the measured rate the file cannot end within MAX_TASK_HOURS or TASK_TTL_DAYS."""


class TooLarge(OriginError):
    """The file is longer than ``MAX_BYTES``."""

    code = FailureCode.TOO_LARGE


class BadRedirect(OriginError):
    """More redirects than ``MAX_REDIRECTS``, a loop, or an unusable Location."""

    code = FailureCode.REDIRECTS


class Unverifiable(OriginError):
    """The body has no length and no framing, so its end looks the same as a cut connection."""

    code = FailureCode.UNVERIFIABLE
