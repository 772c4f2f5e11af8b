"""What SES answers, and what the mailer makes of that."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from moto import mock_aws
from msgspec.structs import replace

from tests.support.aws.aws_endpoint import HANG_UP, Answer, AwsEndpoint, aws_endpoint, error
from tests.support.stores.every_mailer import LETTER, SENDER
from urlsum.errors import MailError, MailRefused, MailUnavailable
from urlsum.mail import ses
from urlsum.mail.ses import SesMailer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsEndpoint]:
    with aws_endpoint() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        yield running


def test_sends_plain_text_only_to_one_recipient_and_says_that_a_machine_wrote_it(endpoint: AwsEndpoint) -> None:
    endpoint.script(Answer(body={"MessageId": "1"}))
    SesMailer('"Sums, \xdcnlimited" <urlsum@example.org>').send(LETTER)
    assert endpoint.requests == [
        {
            "FromEmailAddress": "=?utf-8?q?Sums=2C_=C3=9Cnlimited?= <urlsum@example.org>",
            "Destination": {"ToAddresses": ["reader@abc.ru"]},
            "Content": {
                "Simple": {
                    "Subject": {"Data": LETTER.subject, "Charset": "UTF-8"},
                    "Body": {"Text": {"Data": LETTER.body, "Charset": "UTF-8"}},
                    "Headers": [{"Name": "Auto-Submitted", "Value": "auto-generated"}],
                }
            },
        }
    ]


def test_names_the_configuration_set_instead_of_the_default_one_of_the_identity(endpoint: AwsEndpoint) -> None:
    endpoint.script(Answer(body={"MessageId": "1"}))
    SesMailer(SENDER, "urlsum-prod").send(LETTER)
    [request] = endpoint.requests
    assert request["ConfigurationSetName"] == "urlsum-prod"


# What a role without permission on a default configuration set gets.
DENIED = {
    "__type": "com.amazonaws#AccessDeniedException",
    "message": "User `arn:aws:sts::123456789012:assumed-role/urlsum/worker' is not authorized to perform"
    " `ses:SendEmail' on resource `arn:aws:ses:eu-central-1:123456789012:configuration-set/default'",
}


def test_waits_while_the_operator_mends_a_permission(endpoint: AwsEndpoint) -> None:
    endpoint.script(Answer(403, DENIED))
    with pytest.raises(MailUnavailable, match="configuration-set/default"):
        SesMailer(SENDER).send(LETTER)


def test_tells_mail_programs_how_to_unsubscribe_with_one_click(endpoint: AwsEndpoint) -> None:
    endpoint.script(Answer(body={"MessageId": "1"}))
    SesMailer(SENDER).send(replace(LETTER, unsubscribe="https://sums.example.org/unsubscribe?token=a-_1"))
    [request] = endpoint.requests
    assert request["Content"]["Simple"]["Headers"] == [
        {"Name": "Auto-Submitted", "Value": "auto-generated"},
        {"Name": "List-Unsubscribe", "Value": "<https://sums.example.org/unsubscribe?token=a-_1>"},
        {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"},
    ]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (error(400, "MessageRejected"), MailRefused),
        (error(400, "BadRequestException"), MailRefused),
        (error(400, "MailFromDomainNotVerifiedException"), MailUnavailable),
        (error(400, "AccountSuspendedException"), MailUnavailable),
        (error(400, "SendingPausedException"), MailUnavailable),
        (error(400, "LimitExceededException"), MailUnavailable),
        (error(429, "TooManyRequestsException"), MailUnavailable),
        (error(404, "NotFoundException"), MailUnavailable),
        (error(403, "AccessDeniedException"), MailUnavailable),
        (error(400, "SomethingNew"), MailUnavailable),
        (error(500, "InternalFailure"), MailUnavailable),
        (error(503, "ServiceUnavailable"), MailUnavailable),
        (Answer(200, pause=1.0), MailUnavailable),
        (HANG_UP, MailUnavailable),
    ],
    ids=str,
)
def test_tells_what_is_final_from_what_may_pass_and_never_sends_twice(
    endpoint: AwsEndpoint, monkeypatch: pytest.MonkeyPatch, fault: Answer, expected: type[MailError]
) -> None:
    monkeypatch.setattr(ses, "SEND_SECONDS", ses.CONNECT_SECONDS + 0.5)
    endpoint.script(fault)
    with pytest.raises(expected, match=r"^SES: ") as caught:
        SesMailer(SENDER).send(LETTER)
    assert caught.value.__cause__ is not None
    assert len(endpoint.requests) == 1


def not_verified(*identities: str) -> Answer:
    """The response of SES when nobody has verified these identities."""
    text = "Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: "
    body = {"__type": "com.amazonaws#MessageRejected", "message": text + ", ".join(identities)}
    return Answer(400, body)


@pytest.mark.parametrize(
    ("sender", "identities", "expected"),
    [
        ("urlsum@example.org", ["urlsum@example.org"], MailUnavailable),
        ("urlsum@Example.org", ["URLSUM@EXAMPLE.ORG"], MailUnavailable),
        ("Sums <urlsum@example.org>", ["Sums <urlsum@example.org>"], MailUnavailable),
        ("urlsum@example.org", ["example.org"], MailUnavailable),
        ("urlsum@example.org", ["urlsum@example.org", LETTER.to], MailUnavailable),
        ("urlsum@example.org", [LETTER.to, "urlsum@example.org"], MailUnavailable),
        ("urlsum@example.org", ["arn:aws:ses:eu-central-1:123456789012:identity/example.org"], MailUnavailable),
        ("urlsum@example.org", [LETTER.to], MailRefused),
        ("urlsum@example.org", [LETTER.to.upper()], MailRefused),
        (f"urlsum@{LETTER.to.partition('@')[2]}", [LETTER.to], MailRefused),
        (LETTER.to[1:], [LETTER.to], MailRefused),
        (LETTER.to, [LETTER.to], MailUnavailable),
    ],
)
def test_an_email_waits_for_the_sender_to_be_verified_and_not_for_the_recipient(
    endpoint: AwsEndpoint, sender: str, identities: list[str], expected: type[MailError]
) -> None:
    endpoint.script(not_verified(*identities))
    with pytest.raises(expected, match="not verified"):
        SesMailer(sender).send(LETTER)


def test_a_sender_that_is_not_verified_is_waited_for() -> None:
    with mock_aws(), pytest.raises(MailUnavailable, match="not verified"):
        SesMailer(SENDER).send(LETTER)


def test_is_unavailable_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(MailUnavailable):
        SesMailer(SENDER).send(LETTER)
