"""An email as an Internet message (RFC 5322, RFC 2045): to one recipient, safe from header injection."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import TYPE_CHECKING

from urlsum.errors import MailRefused, SettingsError

if TYPE_CHECKING:
    from urlsum.mail import Letter

# This header keeps autoresponders from replying (RFC 3834, 5).
AUTO_SUBMITTED = ("Auto-Submitted", "auto-generated")
# The body of the POST with which a mail program unsubscribes its user (RFC 8058, 3.2).
ONE_CLICK = ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
# RFC 5322, 2.1.1 allows lines of at most 998 characters. They keep a long URL in one piece for people who read the
# source of a message. Longer lines are encoded, and so is text that is not ASCII: not every server accepts 8 bits.
POLICY = SMTP.clone(max_line_length=998, cte_type="7bit")

_URL = re.compile(r"https?://[!-;=?-~]+")


def sender(mail_from: str) -> Address:
    """The one address in ``mail_from``, with or without a display name. Raises SettingsError."""
    message = EmailMessage(policy=POLICY)
    try:
        message["From"] = mail_from
    except (MessageError, ValueError):  # a line break
        addresses: tuple[Address, ...] = ()
    else:
        addresses = () if message["From"].defects else message["From"].addresses
    if len(addresses) != 1 or not addresses[0].domain or not addresses[0].addr_spec.isascii():
        raise SettingsError(f"MAIL_FROM: expected one email address, with or without a name (it is {mail_from!r})")
    return addresses[0]


def recipient(letter: Letter) -> Address:
    """The one address of the recipient. Raises MailRefused unless ``letter.to`` is exactly that."""
    try:
        address = Address(addr_spec=letter.to)
    # CPython's parser raises IndexError for an empty address; defects are MessageErrors.
    except (MessageError, ValueError, IndexError) as exc:
        raise MailRefused("the recipient is not exactly one email address") from exc
    if address.addr_spec != letter.to:  # the parser drops comments and white space
        raise MailRefused("the recipient is not exactly one email address")
    return address


def subject(letter: Letter) -> str:
    """The subject. Raises MailRefused unless it is a single line of printable characters."""
    if not letter.subject.isprintable():
        raise MailRefused("the subject contains a control character")
    return letter.subject


def headers(letter: Letter) -> list[tuple[str, str]]:
    """The headers of the message besides those of every message. Raises MailRefused.

    One click (RFC 8058) is for https only; a link of http is a page to open (RFC 2369, 3.2).
    """
    found = [AUTO_SUBMITTED]
    if letter.unsubscribe is not None:
        if not _URL.fullmatch(letter.unsubscribe):
            raise MailRefused("the link to unsubscribe is not a URL")
        found.append(("List-Unsubscribe", f"<{letter.unsubscribe}>"))
        if letter.unsubscribe.startswith("https:"):
            found.append(ONE_CLICK)
    return found


def build(letter: Letter, sent_by: Address, *, now: float) -> EmailMessage:
    """The message from ``sent_by``, dated ``now`` (epoch seconds). Raises MailRefused.

    The Message-ID is a hash of the email, not random. Delivery is at-least-once: after a crash between sending and
    recording it the same email is sent again, and mail systems that compare Message-IDs recognise the duplicate.
    """
    message = EmailMessage(policy=POLICY)
    message["From"] = sent_by
    message["To"] = recipient(letter)
    message["Subject"] = subject(letter)
    message["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    identity = hashlib.sha256(repr(letter).encode()).hexdigest()[:32]
    message["Message-ID"] = f"<{identity}@{sent_by.domain}>"
    for name, value in headers(letter):
        message[name] = value
    message.set_content(letter.body)
    return message
