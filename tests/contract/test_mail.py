"""What every mailer promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from moto import mock_aws

from tests.support.stores.every_mailer import LETTER, SENDER, MailRig, OutboxRig, Received, SesRig, SmtpRig
from tests.support.stores.smtp import (
    PASSWORD,
    USERNAME,
    Authority,
    authenticator,
    mail_server,
)
from urlsum.errors import MailRefused
from urlsum.mail import Letter, smtp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def received(letter: Letter) -> Received:
    return Received(SENDER, [letter.to], letter.subject, letter.body)


@pytest.fixture(params=["ses", "smtp", "smtp with STARTTLS and login", "smtp inside TLS", "outbox"])
def rig(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailRig]:
    match request.param:
        case "ses":
            with mock_aws():
                yield SesRig()
        case "smtp":
            with mail_server() as inbox:
                yield SmtpRig(inbox)
        case "smtp with STARTTLS and login":
            authority = Authority(tmp_path)
            with mail_server(
                tls_context=authority.server_context("127.0.0.1"),
                require_starttls=True,
                auth_required=True,
                authenticator=authenticator,
            ) as inbox:
                login = {"mail_username": USERNAME, "mail_password": PASSWORD}
                yield SmtpRig(inbox, mail_use_tls=True, ssl_cert_file=authority.path, **login)
        case "smtp inside TLS":
            authority = Authority(tmp_path)
            with mail_server(ssl_context=authority.server_context("127.0.0.1")) as inbox:
                monkeypatch.setattr(smtp, "IMPLICIT_TLS_PORT", inbox.port)
                yield SmtpRig(inbox, ssl_cert_file=authority.path)
        case _:
            yield OutboxRig(tmp_path / "out" / "box")


def test_hands_over_the_letter_to_its_one_recipient(rig: MailRig) -> None:
    rig.mailer.send(LETTER)
    assert rig.received() == [received(LETTER)]


def test_sends_letter_after_letter(rig: MailRig) -> None:
    letters = [Letter(f"reader{n}@abc.ru", f"number {n}", f"{n}\n") for n in range(3)]
    for letter in letters:
        rig.mailer.send(letter)
    assert rig.received() == [received(letter) for letter in letters]


@pytest.mark.parametrize(
    "body",
    [
        "\xfcml\xe4ut \u043f\u0443\u0442\u044c \U0001f600\n",
        "URL:\nhttp://site.com/" + "x" * 8192 + "\n",
        "<b>no markup</b>\n",
    ],
    ids=["not ASCII", "long line", "markup"],
)
def test_brings_every_text_over_whole(rig: MailRig, body: str) -> None:
    letter = Letter(LETTER.to, LETTER.subject, body)
    rig.mailer.send(letter)
    assert rig.received() == [received(letter)]


@pytest.mark.parametrize(
    "letter",
    [
        Letter("reader@abc.ru\r\nBcc: victim@abc.ru", "subject", "body\n"),
        Letter("reader@abc.ru\r\nDATA", "subject", "body\n"),
        Letter("reader@abc.ru, victim@abc.ru", "subject", "body\n"),
        Letter("reader@abc.ru\x00", "subject", "body\n"),
        Letter("reader@abc.ru", "subject\r\nBcc: victim@abc.ru", "body\n"),
        Letter("reader@abc.ru", "subject\nBcc: victim@abc.ru", "body\n"),
        Letter("reader@abc.ru", "subject\x00", "body\n"),
        Letter("", "subject", "body\n"),
    ],
)
def test_refuses_what_would_become_another_header_or_recipient(rig: MailRig, letter: Letter) -> None:
    with pytest.raises(MailRefused):
        rig.mailer.send(letter)
    assert rig.received() == []
