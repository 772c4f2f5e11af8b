"""Email through an SMTP server (RFC 5321), with STARTTLS (RFC 3207) or TLS from the first byte (RFC 8314)."""

from __future__ import annotations

import smtplib
import ssl
import time
from contextlib import closing, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from urlsum.errors import MailError, MailRefused, MailUnavailable, SettingsError
from urlsum.mail import SEND_SECONDS, Letter, mime
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
# 5yz: "permanent negative completion" (RFC 5321, 4.2.1).
PERMANENT = 500
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

    def send(self, letter: Letter) -> None:
        """Return when the server has replied 250 to the whole email.

        Raises MailRefused on a 5xx to the recipient or to the content. Raises MailUnavailable on everything else: 4xx,
        no connection, TLS, and also a refused login or sender, because those are the operator's mistake.
        """
        message = mime.build(letter, self._from, now=self._clock())
        try:
            with closing(self._open()) as session:
                session.sendmail(self._from.addr_spec, [letter.to], message.as_bytes())
                session.farewell()
        except smtplib.SMTPRecipientsRefused as exc:
            # The exception's own text would put the address into the log.
            raise _judged("the recipient", *exc.recipients[letter.to]) from exc
        except smtplib.SMTPDataError as exc:
            raise _judged("the email", exc.smtp_code, exc.smtp_error) from exc
        # All errors of smtplib and ssl are OSErrors; a host name that cannot be encoded for DNS is a UnicodeError.
        except (OSError, UnicodeError) as exc:
            raise MailUnavailable(f"{self._settings.mail_server}:{self._settings.mail_port}: {exc}") from exc

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
        self._deadline = deadline
        self._monotonic = monotonic
        super().__init__(*args, **kwargs)

    def getreply(self) -> tuple[int, bytes]:
        if self.sock is not None:
            left = self._deadline - self._monotonic()
            if left <= 0:
                self.close()
                raise TimeoutError("the mail server did not answer in time")
            self.sock.settimeout(left)
        return super().getreply()

    def farewell(self) -> None:
        """Send QUIT and ignore errors: the server has accepted the email, so it must not be sent again."""
        self._deadline = self._monotonic() + QUIT_SECONDS
        with suppress(OSError):
            self.quit()


class _TlsSession(_Session, smtplib.SMTP_SSL):
    """The same session over TLS from the first byte."""


def _judged(what: str, code: int, reply: bytes | str) -> MailError:
    text = one_line(reply.decode(errors="replace") if isinstance(reply, bytes) else reply)
    permanent = code >= PERMANENT and code not in AUTHENTICATION_REPLIES
    return (MailRefused if permanent else MailUnavailable)(f"the mail server refused {what}: {code} {text}")
