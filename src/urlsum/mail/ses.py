"""Email through Amazon SES, API version 2.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html
"""

from __future__ import annotations

from email.utils import formataddr
from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from urlsum.errors import MailRefused, MailUnavailable
from urlsum.mail import SEND_SECONDS, Letter, mime

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

# These codes reject this email or its recipient; in the sandbox they include an unverified recipient. Of the others,
# throttling and 5xx pass by themselves, and an operator can fix the rest while the email waits: a suspended or paused
# account, missing permissions, a MAIL FROM domain whose MX record SES could not read.
PERMANENT = frozenset({"MessageRejected", "BadRequestException"})

CONNECT_SECONDS = 5.0


class SesMailer:
    """Sends as ``mail_from``, a verified identity in SES. Raises SettingsError if it is not an address."""

    def __init__(self, mail_from: str) -> None:
        self._from = mime.sender(mail_from)

    def send(self, letter: Letter) -> None:
        """Pass the email to SES, which queues and delivers it."""
        to, subject = mime.recipient(letter).addr_spec, mime.subject(letter)
        name, value = mime.AUTO_SUBMITTED
        try:
            self._client.send_email(
                FromEmailAddress=formataddr((self._from.display_name, self._from.addr_spec)),
                Destination={"ToAddresses": [to]},
                Content={
                    "Simple": {
                        "Subject": {"Data": subject, "Charset": "UTF-8"},
                        "Body": {"Text": {"Data": letter.body, "Charset": "UTF-8"}},
                        "Headers": [{"Name": name, "Value": value}],
                    }
                },
            )
        except ClientError as exc:
            kind = MailRefused if exc.response["Error"]["Code"] in PERMANENT else MailUnavailable
            raise kind(f"SES: {exc}") from exc
        except BotoCoreError as exc:
            raise MailUnavailable(f"SES: {exc}") from exc

    @cached_property
    def _client(self) -> SESV2Client:
        # One try: SendEmail has no idempotency token, so a retry after a lost response would send a second email. The
        # long read time-out makes lost responses rare, and the caller retries later anyway.
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=SEND_SECONDS - CONNECT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 1},
        )
        return boto3.Session().client("sesv2", config=config)
