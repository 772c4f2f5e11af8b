"""Every mailer behind one interface, for their common contract tests."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any, Protocol

import boto3
from moto.ses.models import ses_backends

from urlsum.mail import Letter
from urlsum.mail.outbox import OutboxMailer
from urlsum.mail.ses import SesMailer
from urlsum.mail.smtp import SmtpMailer
from urlsum.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.stores.smtp import Inbox
    from urlsum.mail import Mailer

SENDER = "urlsum@example.org"
# Lines that some mail systems change in transit.
LETTER = Letter("reader@abc.ru", "MD5 of reads.bam: f4afc4d7…", "one\n\n.\nFrom here on\n")
MOTO_ACCOUNT = "123456789012"


@dataclass(frozen=True, slots=True)
class Received:
    """A letter as its recipient receives it."""

    sender: str
    recipients: list[str]
    subject: str
    body: str


def parse(content: bytes) -> Received:
    """Read a message as a mail client does."""
    message: Any = message_from_bytes(content, policy=policy.default)
    assert not message.defects
    assert not message.is_multipart()
    return Received(
        sender=message["From"],
        recipients=[address.addr_spec for address in message["To"].addresses],
        subject=message["Subject"],
        body=message.get_content().replace("\r\n", "\n"),
    )


class MailRig(Protocol):
    """A mailer, and the emails that its mail system has received, in order."""

    mailer: Mailer

    def received(self) -> list[Received]: ...


class SesRig:
    """SES by moto."""

    def __init__(self) -> None:
        boto3.client("sesv2").create_email_identity(EmailIdentity=SENDER)
        self.mailer: Mailer = SesMailer(SENDER)

    def received(self) -> list[Received]:
        messages: list[Any] = ses_backends[MOTO_ACCOUNT]["eu-central-1"].sent_messages
        assert all(set(message.destinations) == {"ToAddresses"} for message in messages)
        return [
            Received(message.source, message.destinations["ToAddresses"], message.subject, message.body)
            for message in messages
        ]


class SmtpRig:
    """A real SMTP server."""

    def __init__(self, inbox: Inbox, **settings: Any) -> None:
        self.mailer: Mailer = smtp_mailer(inbox.port, **settings)
        self._inbox = inbox

    def received(self) -> list[Received]:
        received = []
        for envelope in self._inbox.envelopes:
            assert isinstance(envelope.content, bytes)
            letter = parse(envelope.content)
            # The server acts on the envelope; the headers are only displayed.
            assert (envelope.mail_from, envelope.rcpt_tos) == (letter.sender, letter.recipients)
            received.append(letter)
        return received


class OutboxRig:
    """An outbox directory."""

    def __init__(self, directory: Path) -> None:
        self.mailer: Mailer = OutboxMailer(directory, SENDER)
        self._directory = directory

    def received(self) -> list[Received]:
        return [parse(path.read_bytes()) for path in sorted(self._directory.glob("*.eml"))]


def smtp_mailer(
    port: int,
    *,
    send_seconds: float = 20.0,
    prompt_seconds: float = 0.2,
    answer_seconds: float = 20.0,
    monotonic: Callable[[], float] = time.monotonic,
    **settings: Any,
) -> SmtpMailer:
    """Return a mailer for the server at ``port`` of this machine, without TLS by default."""
    values = {"mail_server": "127.0.0.1", "mail_from": SENDER, "mail_use_tls": False, **settings}
    return SmtpMailer(
        Settings(mail_port=port, **values),
        send_seconds=send_seconds,
        prompt_seconds=prompt_seconds,
        answer_seconds=answer_seconds,
        monotonic=monotonic,
    )
