"""Email through Amazon SES, API version 2.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
"""

from __future__ import annotations

from email.utils import formataddr
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError, ReadTimeoutError

from urlsum import aws
from urlsum.errors import MailRefused, MailSystemDown, MailUnanswered, MailUnavailable
from urlsum.mail import SEND_SECONDS, Letter, mime

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_sesv2 import SESV2Client

# These codes reject this email or its recipient. Of the others, throttling and 5xx pass by themselves, and an operator
# can fix the rest while the email waits: a suspended or paused account, missing permissions, a MAIL FROM domain whose
# MX record SES could not read.
PERMANENT = frozenset({"MessageRejected", "BadRequestException"})
# In the text of a MessageRejected: identities that nobody has verified, and that SES then lists.
# https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-error-messages.html
NOT_VERIFIED = "not verified"

CONNECT_SECONDS = 5.0


class SesMailer:
    """Sends as ``mail_from``, a verified identity in SES. Raises SettingsError if it is not an address.

    With the ``configuration_set`` of this name instead of the identity's default one, which a role may not use.
    """

    def __init__(self, mail_from: str, configuration_set: str | None = None) -> None:
        self._from = mime.sender(mail_from)
        self._options: dict[str, Any] = {} if configuration_set is None else {"ConfigurationSetName": configuration_set}

    def send(self, letter: Letter, *, hold: Callable[[float], bool] | None = None) -> None:  # noqa: ARG002 - SES is quick
        """Pass the email to SES, which queues and delivers it."""
        to, subject = mime.recipient(letter).addr_spec, mime.subject(letter)
        headers = mime.headers(letter)
        try:
            self._client.send_email(
                FromEmailAddress=formataddr((self._from.display_name, self._from.addr_spec)),
                Destination={"ToAddresses": [to]},
                Content={
                    "Simple": {
                        "Subject": {"Data": subject, "Charset": "UTF-8"},
                        "Body": {"Text": {"Data": letter.body, "Charset": "UTF-8"}},
                        "Headers": [{"Name": name, "Value": value} for name, value in headers],
                    }
                },
                **self._options,
            )
        except ClientError as exc:
            permanent = exc.response["Error"]["Code"] in PERMANENT and not self._awaits_verification(exc, to)
            raise (MailRefused if permanent else MailUnavailable)(f"SES: {exc}") from exc
        except (ReadTimeoutError, ConnectionClosedError) as exc:
            raise MailUnanswered(f"SES: {exc}") from exc
        except BotoCoreError as exc:
            raise MailSystemDown(f"SES: {exc}") from exc

    def prepare(self) -> None:
        """Make the client now, and not at the first email."""
        _ = self._client

    def _awaits_verification(self, error: ClientError, to: str) -> bool:
        """Whether SES waits for somebody to open the link that it sent to the sender.

        A new deployment works before that, and its emails can wait. In the sandbox SES lists an unverified recipient as
        well, or alone; that one nobody here can verify.
        """
        text = error.response["Error"].get("Message", "").lower()
        if NOT_VERIFIED not in text:
            return False
        listed = text.replace(to.lower(), "") if to.lower() != self._from.addr_spec.lower() else text
        domain = self._from.domain.lower()
        return any(name in listed for name in (self._from.addr_spec.lower(), f" {domain}", f"identity/{domain}"))

    @cached_property
    def _client(self) -> SESV2Client:
        # One try: SendEmail has no idempotency token, so a retry after a lost response would send a second email. The
        # long read time-out makes lost responses rare, and the caller retries later anyway.
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=SEND_SECONDS - CONNECT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 1},
        )
        ses: SESV2Client = aws.client("sesv2", config)
        return ses
