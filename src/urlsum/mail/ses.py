"""Mail through Amazon SES, API version 2.

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

# The codes that judge this letter or its recipient; in the sandbox an unverified recipient is among them. Of the
# others, throttling and 5xx pass by themselves, and an operator can mend the rest while the mail waits: a suspended or
# paused account, missing permissions, a MAIL FROM domain whose MX record SES could not read just now.
PERMANENT = frozenset({"MessageRejected", "BadRequestException"})

CONNECT_SECONDS = 5.0


class SesMailer:
    """Sends as ``mail_from``, an identity that is verified in SES. Raises SettingsError when it is no address."""

    def __init__(self, mail_from: str) -> None:
        self._from = mime.sender(mail_from)

    def send(self, letter: Letter) -> None:
        """Hand the letter to SES, which queues it and takes over the delivery."""
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
        # One try: SendEmail has no idempotency token, so a retry after a lost answer would be a second mail. The long
        # read time-out makes lost answers rare, and who sends comes again later anyhow.
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=SEND_SECONDS - CONNECT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 1},
        )
        return boto3.Session().client("sesv2", config=config)
