"""Email through an SMTP server (RFC 5321), with STARTTLS (RFC 3207) or TLS from the first byte (RFC 8314)."""

from __future__ import annotations

import selectors
import smtplib
import ssl
import time
from contextlib import closing, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from urlsum.errors import (
    MailError,
    MailRefused,
    MailSystemDown,
    MailUnanswered,
    MailUnavailable,
    SettingsError,
)
from urlsum.mail import ANSWER_SECONDS, SEND_SECONDS, Letter, mime
from urlsum.text.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.settings import Settings

# RFC 8314, 7.3 assigns this port to submission over TLS: it has no cleartext phase for STARTTLS.
IMPLICIT_TLS_PORT = 465
# Per address of the server's name; SEND_SECONDS bounds the whole session.
CONNECT_SECONDS = 10.0
# The server has accepted the email by then, so a worker need not wait for a slow reply to QUIT.
QUIT_SECONDS = 2.0
# Nearly every server replies within seconds to a whole email. So long it needs no longer lease.
PROMPT_SECONDS = 10.0
# 5yz: "permanent negative completion" (RFC 5321, 4.2.1).
PERMANENT = 500
# "Service not available, closing transmission channel" (RFC 5321, 4.2.2), whatever command it replies to.
CLOSING = 421
# DATA has two replies: to the command, and to the email.
REPLIES_TO_DATA = 2
# "Authentication required" and related replies (RFC 4954, 6): they reject the email, but the operator must fix them.
AUTHENTICATION_REPLIES = frozenset({530, 534, 535, 538})


class SmtpMailer:
    """Sends through MAIL_SERVER, one session per email: results come minutes apart, and servers drop idle clients.

    With MAIL_USE_TLS the session sends no email and no login before TLS is up and the server's certificate is verified,
    against SSL_CERT_FILE if set. A server without TLS is an error; there is no fallback to cleartext. Raises
    SettingsError if MAIL_FROM is not an address, or the login is not ASCII.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        send_seconds: float = SEND_SECONDS,
        prompt_seconds: float = PROMPT_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._settings = settings
        self._from = mime.sender(settings.mail_from)
        self._password = settings.mail_password or ""
        if not (self._password + (settings.mail_username or "")).isascii():
            # smtplib would raise UnicodeEncodeError, at the first email and with the password in it.
            raise SettingsError("MAIL_USERNAME, MAIL_PASSWORD: only ASCII characters can be sent to a mail server")
        self._clock = clock
        self._monotonic = monotonic
        self._send_seconds = send_seconds
        self._prompt_seconds = prompt_seconds
        self._answer_seconds = answer_seconds

    def send(self, letter: Letter, *, hold: Callable[[float], bool] | None = None) -> None:
        """Return when the server has replied 250 to the whole email.

        Raises MailRefused on a 5xx to the recipient or to the content. Raises MailUnavailable on a 4xx to them, and
        MailSystemDown on everything else: no connection, TLS, and also a refused login or sender, because those are the
        operator's mistake. Raises MailUnanswered if the connection ends, or the time, after the whole email.
        """
        message = mime.build(letter, self._from, now=self._clock())
        session: _Session | None = None
        try:
            session = self._open()
            with closing(session):
                session.wait_for_answer = partial(self._wait_for_answer, session, hold)
                session.sendmail(self._from.addr_spec, [letter.to], message.as_bytes())
                session.farewell()
        except smtplib.SMTPRecipientsRefused as exc:
            # The exception's own text would put the address into the log.
            raise _judged("the recipient", *exc.recipients[letter.to]) from exc
        except smtplib.SMTPDataError as exc:
            raise _judged("the email", exc.smtp_code, exc.smtp_error) from exc
        # All errors of smtplib and ssl are OSErrors; a host name that cannot be encoded for DNS is a UnicodeError.
        except (OSError, UnicodeError) as exc:
            down = MailUnanswered if session is not None and session.whole else MailSystemDown
            raise down(f"{self._settings.mail_server}:{self._settings.mail_port}: {exc}") from exc

    def _wait_for_answer(self, session: _Session, hold: Callable[[float], bool] | None) -> None:
        """Wait for the reply to the whole email as long as RFC 5321 asks, if ``hold`` allows that."""
        if hold is None or session.readable_within(self._prompt_seconds):
            return
        if hold(self._answer_seconds):
            session.deadline = self._monotonic() + self._answer_seconds

    def _open(self) -> _Session:
        settings = self._settings
        session = self._connect()
        try:
            if settings.mail_use_tls and not isinstance(session, _TlsSession):
                session.starttls(context=self._context)
            if settings.mail_username is not None:
                session.login(settings.mail_username, self._password)
        except BaseException:
            session.close()
            raise
        return session

    def _connect(self) -> _Session:
        server, port = self._settings.mail_server, self._settings.mail_port
        # The name in EHLO. By default smtplib would look it up in the DNS, without a time limit.
        name = self._from.domain
        deadline = self._monotonic() + self._send_seconds
        connect = min(CONNECT_SECONDS, self._send_seconds)
        if port == IMPLICIT_TLS_PORT:
            tls = {"context": self._context}
            return _TlsSession(server, port, name, timeout=connect, deadline=deadline, monotonic=self._monotonic, **tls)
        return _Session(server, port, name, timeout=connect, deadline=deadline, monotonic=self._monotonic)

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._settings.ssl_cert_file)


class _Session(smtplib.SMTP):
    """A session with one deadline for all replies together."""

    # The other arguments are those of smtplib.SMTP and SMTP_SSL.
    def __init__(self, *args: Any, deadline: float, monotonic: Callable[[], float], **kwargs: Any) -> None:  # noqa: ANN401
        self.deadline = deadline
        self.wait_for_answer: Callable[[], None] = lambda: None
        """Called between the whole email and its reply."""
        self.whole = False
        """Whether the whole email was sent, and the server has not refused it."""
        self._monotonic = monotonic
        self._replies_to_data: int | None = None
        super().__init__(*args, **kwargs)

    def data(self, msg: Any) -> tuple[int, bytes]:  # noqa: ANN401 - as in smtplib
        """DATA; smtplib reads its second reply after the final dot."""
        self._replies_to_data = 0
        try:
            return super().data(msg)
        finally:
            self._replies_to_data = None

    def getreply(self) -> tuple[int, bytes]:
        if self._replies_to_data is None:
            return self._reply()
        self._replies_to_data += 1
        if self._replies_to_data < REPLIES_TO_DATA:
            return self._reply()
        self.whole = True
        self.wait_for_answer()
        reply = self._reply()
        self.whole = False
        return reply

    def readable_within(self, seconds: float) -> bool:
        """Whether the server sends something, or closes, within so many seconds."""
        if self.sock is None:
            return True
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            return bool(selector.select(seconds))

    def _reply(self) -> tuple[int, bytes]:
        if self.sock is not None:
            left = self.deadline - self._monotonic()
            if left <= 0:
                self.close()
                raise TimeoutError("the mail server did not answer in time")
            self.sock.settimeout(left)
        return super().getreply()

    def farewell(self) -> None:
        """Send QUIT and ignore errors: the server has accepted the email, so it must not be sent again."""
        self.deadline = self._monotonic() + QUIT_SECONDS
        with suppress(OSError):
            self.quit()


class _TlsSession(_Session, smtplib.SMTP_SSL):
    """The same session over TLS from the first byte."""


def _judged(what: str, code: int, reply: bytes | str) -> MailError:
    text = one_line(reply.decode(errors="replace") if isinstance(reply, bytes) else reply)
    kind: type[MailError] = MailRefused if code >= PERMANENT else MailUnavailable
    if code == CLOSING or code in AUTHENTICATION_REPLIES:
        kind = MailSystemDown
    return kind(f"the mail server refused {what}: {code} {text}")
