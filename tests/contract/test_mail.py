"""What every mailer promises, and then what each promises of its own."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import time
from email import message_from_bytes
from typing import TYPE_CHECKING

import pytest
from moto import mock_aws

from tests.support.aws_endpoint import HANG_UP, Answer, AwsEndpoint, aws_endpoint, error
from tests.support.mail import SENDER, MailRig, OutboxRig, Received, SesRig, SmtpRig, smtp_mailer
from tests.support.smtp import (
    CLOSE,
    HANG,
    PASSWORD,
    USERNAME,
    Authority,
    authenticator,
    mail_server,
    scripted_server,
)
from urlsum.errors import MailError, MailRefused, MailUnavailable, SettingsError
from urlsum.mail import Letter, ses, smtp
from urlsum.mail.outbox import OutboxMailer
from urlsum.mail.ses import SesMailer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LETTER = Letter("reader@abc.ru", "urlsum: the MD5 is ready", "one\n\n.\nFrom here on\n")


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


class TestEveryMailer:
    def test_hands_over_the_letter_to_its_one_recipient(self, rig: MailRig) -> None:
        rig.mailer.send(LETTER)
        assert rig.received() == [received(LETTER)]

    def test_sends_letter_after_letter(self, rig: MailRig) -> None:
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
    def test_brings_every_text_over_whole(self, rig: MailRig, body: str) -> None:
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
    def test_refuses_what_would_become_another_header_or_recipient(self, rig: MailRig, letter: Letter) -> None:
        with pytest.raises(MailRefused):
            rig.mailer.send(letter)
        assert rig.received() == []


class TestSmtp:
    def test_says_only_what_is_needed_and_names_itself_by_the_senders_domain(self) -> None:
        with scripted_server({}) as server:
            smtp_mailer(server.port).send(LETTER)
        assert server.commands == [
            "ehlo example.org",
            "mail FROM:<urlsum@example.org>",
            "rcpt TO:<reader@abc.ru>",
            "data",
            "quit",
        ]

    @pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # that is what is tested
    def test_logs_in_without_tls_only_where_the_operator_turned_tls_off(self) -> None:
        with mail_server(auth_required=True, auth_require_tls=False, authenticator=authenticator) as inbox:
            smtp_mailer(inbox.port, mail_username=USERNAME, mail_password=PASSWORD).send(LETTER)
            assert [session.authenticated for session in inbox.sessions] == [True]

    @pytest.mark.parametrize(
        ("replies", "expected"),
        [
            ({"RCPT": "550 5.1.1 no such user"}, MailRefused),
            ({"RCPT": "553 mailbox name not allowed"}, MailRefused),
            ({"RCPT": "451 4.7.1 greylisted"}, MailUnavailable),
            ({"RCPT": "452 mailbox full"}, MailUnavailable),
            ({"RCPT": "421 shutting down"}, MailUnavailable),
            ({"RCPT": "530 5.7.0 authentication required"}, MailUnavailable),
            ({"RCPT": "what?"}, MailUnavailable),
            ({"DATA": "554 no valid recipients"}, MailRefused),
            ({"DATA": "451 later"}, MailUnavailable),
            ({".": "554 5.7.1 looks like spam"}, MailRefused),
            ({".": "550 policy"}, MailRefused),
            ({".": "451 local error"}, MailUnavailable),
            ({".": "421 shutting down"}, MailUnavailable),
            ({"MAIL": "550 sender not allowed"}, MailUnavailable),
            ({"MAIL": "530 5.7.0 must issue STARTTLS first"}, MailUnavailable),
            ({"MAIL": "452 too busy"}, MailUnavailable),
            ({"connect": "554 no service here"}, MailUnavailable),
            ({"connect": "421 too many connections"}, MailUnavailable),
            ({"connect": "HTTP/1.1 400 Bad Request"}, MailUnavailable),
            ({"EHLO": "502 no", "HELO": "502 no"}, MailUnavailable),
            ({"connect": CLOSE}, MailUnavailable),
            ({"EHLO": CLOSE}, MailUnavailable),
            ({"RCPT": CLOSE}, MailUnavailable),
            ({"content": CLOSE}, MailUnavailable),
            ({".": CLOSE}, MailUnavailable),
        ],
        ids=str,
    )
    def test_tells_what_is_final_from_what_may_pass(self, replies: dict[str, str], expected: type[MailError]) -> None:
        with scripted_server(replies) as server, pytest.raises(expected) as caught:
            smtp_mailer(server.port).send(LETTER)
        assert caught.value.__cause__ is not None
        assert LETTER.to not in str(caught.value)

    def test_says_what_the_server_said(self) -> None:
        with scripted_server({"RCPT": "550 5.1.1 no such user"}) as server, pytest.raises(MailRefused) as caught:
            smtp_mailer(server.port).send(LETTER)
        assert str(caught.value) == "the mail server said to the recipient: 550 5.1.1 no such user"

    def test_a_connection_cut_in_the_middle_of_a_large_letter_is_not_final(self) -> None:
        large = Letter(LETTER.to, LETTER.subject, "x" * 70 + "\n" * 200_000)
        with scripted_server({"content": CLOSE}) as server, pytest.raises(MailUnavailable):
            smtp_mailer(server.port).send(large)

    @pytest.mark.parametrize("step", ["connect", "EHLO", "MAIL", "RCPT", "DATA", "."])
    def test_a_silent_server_costs_no_more_than_the_time_for_one_letter(self, step: str) -> None:
        begin = time.monotonic()
        with scripted_server({step: HANG}) as server, pytest.raises(MailUnavailable):
            smtp_mailer(server.port, send_seconds=0.4).send(LETTER)
        assert 0.3 <= time.monotonic() - begin < 4

    def test_a_server_that_is_slow_at_every_step_costs_no_more_than_that_either(self) -> None:
        begin = time.monotonic()
        with scripted_server({}, pause=0.3) as server, pytest.raises(MailUnavailable):
            smtp_mailer(server.port, send_seconds=1.0).send(LETTER)
        assert 0.9 <= time.monotonic() - begin < 4

    @pytest.mark.parametrize("farewell", [CLOSE, HANG, "500 no", "what?"])
    def test_a_letter_that_is_taken_is_taken_however_the_server_says_goodbye(
        self, farewell: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(smtp, "QUIT_SECONDS", 0.2)
        begin = time.monotonic()
        with scripted_server({"QUIT": farewell}) as server:
            smtp_mailer(server.port).send(LETTER)
        assert time.monotonic() - begin < 4

    def test_is_unavailable_where_nothing_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        with pytest.raises(MailUnavailable, match=rf"^127\.0\.0\.1:{port}: "):
            smtp_mailer(port).send(LETTER)

    @pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".example"])
    def test_is_unavailable_when_the_server_has_no_address(self, name: str) -> None:
        with pytest.raises(MailUnavailable):
            smtp_mailer(25, mail_server=name).send(LETTER)

    def test_never_goes_on_in_the_clear_where_tls_was_asked_for(self) -> None:
        with scripted_server({"EHLO": "250 AUTH PLAIN"}) as server, pytest.raises(MailUnavailable):
            smtp_mailer(server.port, mail_use_tls=True, mail_username=USERNAME, mail_password=PASSWORD).send(LETTER)
        assert server.commands == ["ehlo example.org"]

    def test_does_not_log_in_when_the_server_takes_starttls_back(self) -> None:
        script = {"EHLO": "250-hello\r\n250-STARTTLS\r\n250 AUTH PLAIN", "STARTTLS": "454 not now"}
        with scripted_server(script) as server, pytest.raises(MailUnavailable):
            smtp_mailer(server.port, mail_use_tls=True, mail_username=USERNAME, mail_password=PASSWORD).send(LETTER)
        assert server.commands == ["ehlo example.org", "STARTTLS"]

    @pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "inside TLS"])
    @pytest.mark.parametrize("bad", ["unknown authority", "wrong name"])
    def test_says_nothing_to_a_server_that_cannot_prove_itself(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str, implicit: bool
    ) -> None:
        ours, theirs = Authority(tmp_path), Authority(tmp_path, name="other")
        context = (
            theirs.server_context("127.0.0.1") if bad == "unknown authority" else ours.server_context("mail.example")
        )
        with mail_server(**{"ssl_context" if implicit else "tls_context": context}) as inbox:
            if implicit:
                monkeypatch.setattr(smtp, "IMPLICIT_TLS_PORT", inbox.port)
            mailer = smtp_mailer(inbox.port, mail_use_tls=True, ssl_cert_file=ours.path)
            with pytest.raises(MailUnavailable, match="certificate verify failed"):
                mailer.send(LETTER)
            assert inbox.envelopes == []

    def test_a_refused_login_is_the_operators_to_mend_and_the_mail_waits(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        context = authority.server_context("127.0.0.1")
        with mail_server(tls_context=context, auth_required=True, authenticator=authenticator) as inbox:
            mailer = smtp_mailer(
                inbox.port,
                mail_use_tls=True,
                mail_username=USERNAME,
                mail_password="wrong-" + PASSWORD,
                ssl_cert_file=authority.path,
            )
            with pytest.raises(MailUnavailable, match="535") as caught:
                mailer.send(LETTER)
            assert PASSWORD not in str(caught.value)
            assert inbox.envelopes == []

    def test_a_server_that_knows_no_login_is_unavailable(self) -> None:
        with mail_server() as inbox, pytest.raises(MailUnavailable, match="AUTH"):
            smtp_mailer(inbox.port, mail_username=USERNAME, mail_password=PASSWORD).send(LETTER)

    def test_a_login_that_cannot_be_sent_stops_the_process_without_showing_it(self) -> None:
        with pytest.raises(SettingsError, match=r"^MAIL_USERNAME, MAIL_PASSWORD: ") as caught:
            smtp_mailer(25, mail_username=USERNAME, mail_password="p\xe4ss")
        assert "p\xe4ss" not in str(caught.value)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsEndpoint]:
    with aws_endpoint() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        yield running


class TestSes:
    def test_sends_plain_text_only_to_one_recipient_and_says_that_a_machine_wrote_it(
        self, endpoint: AwsEndpoint
    ) -> None:
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
        self, endpoint: AwsEndpoint, monkeypatch: pytest.MonkeyPatch, fault: Answer, expected: type[MailError]
    ) -> None:
        monkeypatch.setattr(ses, "SEND_SECONDS", ses.CONNECT_SECONDS + 0.5)
        endpoint.script(fault)
        with pytest.raises(expected, match=r"^SES: ") as caught:
            SesMailer(SENDER).send(LETTER)
        assert caught.value.__cause__ is not None
        assert len(endpoint.requests) == 1

    def test_a_sender_that_is_not_verified_is_refused(self) -> None:
        with mock_aws(), pytest.raises(MailRefused, match="not verified"):
            SesMailer(SENDER).send(LETTER)

    def test_is_unavailable_without_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        with pytest.raises(MailUnavailable):
            SesMailer(SENDER).send(LETTER)


class TestOutbox:
    def test_touches_nothing_before_the_first_letter(self, tmp_path: Path) -> None:
        OutboxMailer(tmp_path / "outbox", SENDER)
        assert list(tmp_path.iterdir()) == []

    def test_names_sort_by_time_and_never_collide(self, tmp_path: Path) -> None:
        times = [1_800_000_000.0, 1_800_000_000.0, 1_800_000_000.000001, 1_800_000_009.0, 1_800_000_010.0]
        clock = iter(times)
        mailer = OutboxMailer(tmp_path, SENDER, clock=lambda: next(clock))
        for _ in times:
            mailer.send(LETTER)
        names = sorted(path.name for path in tmp_path.iterdir())
        assert len(names) == 5
        assert all(re.fullmatch(r"20270115T0800\d\d\.\d{6}Z-[0-9a-f]{8}\.eml", name) for name in names)
        assert [name[:22] for name in names] == [
            "20270115T080000.000000",
            "20270115T080000.000000",
            "20270115T080000.000001",
            "20270115T080009.000000",
            "20270115T080010.000000",
        ]

    def test_files_are_complete_messages_with_the_line_ends_of_files_for_their_owner_only(self, tmp_path: Path) -> None:
        OutboxMailer(tmp_path, SENDER).send(LETTER)
        [path] = tmp_path.iterdir()
        content = path.read_bytes()
        assert b"\r" not in content
        assert content.endswith(b"\n\none\n\n.\nFrom here on\n")
        assert {"From", "To", "Subject", "Date", "Message-ID"} <= set(message_from_bytes(content).keys())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_a_file_has_its_name_only_when_it_is_whole_and_on_the_disk(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[list[str]] = []
        real = os.fsync

        def fsync(descriptor: int) -> None:
            seen.append([path.suffix for path in tmp_path.iterdir()])
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        OutboxMailer(tmp_path, SENDER).send(LETTER)
        assert seen == [[".tmp"], [".eml"]]

    def test_a_full_disk_is_unavailable_and_leaves_nothing_behind(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(MailUnavailable, match="No space left"):
            OutboxMailer(tmp_path, SENDER).send(LETTER)
        assert list(tmp_path.iterdir()) == []

    def test_a_path_that_is_no_directory_is_unavailable_and_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(MailUnavailable, match=re.escape(str(tmp_path / "file"))):
            OutboxMailer(tmp_path / "file", SENDER).send(LETTER)
