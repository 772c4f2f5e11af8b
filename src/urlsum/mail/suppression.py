"""Mailboxes that get no more email, and the links with which their owners ask for that.

A suppression is a record beside the tasks and never expires. Its key has a digest of the mailbox, so that the list
names nobody, and no secret, so that a new secret does not forget who unsubscribed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from contextlib import suppress as ignore
from enum import StrEnum
from typing import TYPE_CHECKING

from urlsum import tables
from urlsum.errors import MailSuppressed
from urlsum.mail.address import mailbox
from urlsum.secret import authenticate
from urlsum.tables import NEVER, Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.mail import Letter, Mailer
    from urlsum.secret import Secret
    from urlsum.tables import Records

PREFIX = "suppressed:"
PATH = "unsubscribe"
DIGEST_BYTES = hashlib.sha256().digest_size
# Half of an HMAC-SHA-256 (RFC 2104, 5 allows no less): nobody guesses 128 bits, and the link stays short.
TAG_BYTES = 16


class Reason(StrEnum):
    """Why a mailbox is suppressed."""

    UNSUBSCRIBED = "unsubscribed"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    OPERATOR = "operator"


def recipient(address: str) -> bytes:
    """The digest of the mailbox that ``address`` reaches."""
    return hashlib.sha256(mailbox(address).encode()).digest()


def suppress(records: Records, address: str, reason: Reason, now: float) -> None:
    """Send no more email to the mailbox of ``address``. Idempotent. Raises TableUnavailable.

    For hard bounces and complaints, and for operators; those who unsubscribe show a link instead of an address.
    """
    suppress_recipient(records, recipient(address), reason, now)


def suppress_recipient(records: Records, digest: bytes, reason: Reason, now: float) -> None:
    """The same for the ``recipient`` of an address. A later reason replaces an earlier one."""

    def decide(stored: str | None) -> tuple[Change | None, None]:
        if _reason(stored) is reason:
            return None, None
        return Change(json.dumps({"reason": reason.value, "since": int(now)}), NEVER), None

    # Durable: who was told that no more email comes must not get one after a power failure.
    tables.change(records, _key(digest), decide, now=now, durable=True)


def lift(records: Records, address: str, now: float) -> Reason | None:
    """Send email to the mailbox of ``address`` again; return why it was suppressed. Raises TableUnavailable."""

    def decide(stored: str | None) -> tuple[Change | None, Reason | None]:
        reason = _reason(stored)
        # Records are deleted by their expiry only.
        return (None if reason is None else Change("", now)), reason

    return tables.change(records, _key(recipient(address)), decide, now=now, durable=True)


def reason_for(records: Records, digest: bytes, now: float) -> Reason | None:
    """Why this ``recipient`` gets no email; None if it gets some. Raises TableUnavailable."""
    stored = records.read(_key(digest))
    return None if stored is None or stored.expires_at <= now else _reason(stored.value)


class SuppressingMailer:
    """A ``Mailer`` that sends nothing to suppressed mailboxes.

    Only here is that looked up, just before each try: a submission that depended on it would tell strangers who has
    unsubscribed.
    """

    def __init__(self, mailer: Mailer, records: Records, *, clock: Callable[[], float]) -> None:
        self._mailer = mailer
        self._records = records
        self._clock = clock

    def send(self, letter: Letter, *, hold: Callable[[float], bool] | None = None) -> None:
        """Send ``letter``. Raises MailSuppressed, MailRefused, MailUnavailable, and TableUnavailable."""
        reason = reason_for(self._records, recipient(letter.to), self._clock())
        if reason is not None:
            raise MailSuppressed(reason)
        self._mailer.send(letter, hold=hold)


def link(secret: Secret, address: str, public_url: str) -> str:
    """The URL with which the owner of ``address`` unsubscribes. Raises TableUnavailable.

    It contains a digest and no address. Only this deployment can make it, and only its email shows it.
    """
    digest = recipient(address)
    token = base64.urlsafe_b64encode(digest + _tag(secret, digest)).decode()
    return f"{public_url.rstrip('/')}/{PATH}?token={token}"


def recipient_of(secret: Secret, token: str) -> bytes | None:
    """The ``recipient`` to whom a ``link`` with this token was sent; None if none was. Raises TableUnavailable."""
    with ignore(binascii.Error, ValueError):
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
        digest, tag = raw[:DIGEST_BYTES], raw[DIGEST_BYTES:]
        if len(tag) == TAG_BYTES and hmac.compare_digest(tag, _tag(secret, digest)):
            return digest
    return None


def _tag(secret: Secret, digest: bytes) -> bytes:
    return authenticate(secret, "unsubscribe", digest.hex())[:TAG_BYTES]


def _key(digest: bytes) -> str:
    return PREFIX + digest.hex()


def _reason(stored: str | None) -> Reason | None:
    if not stored:
        return None
    try:
        return Reason(json.loads(stored)["reason"])
    except ValueError:
        # A newer version has a reason that this one does not know; the mailbox is suppressed all the same.
        return Reason.OPERATOR
