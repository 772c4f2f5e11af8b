"""What mail servers do to a mailer, and what it makes of that."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.stores.every_mailer import LETTER, smtp_mailer
from tests.support.stores.smtp import (
    CLOSE,
    HANG,
    PASSWORD,
    USERNAME,
    Authority,
    authenticator,
    mail_server,
    scripted_server,
)
from urlsum.errors import (
    MailError,
    MailRefused,
    MailSystemDown,
    MailUnanswered,
    MailUnavailable,
    SettingsError,
)
from urlsum.mail import Letter, smtp

if TYPE_CHECKING:
    from pathlib import Path


def test_says_only_what_is_needed_and_names_itself_by_the_senders_domain() -> None:
    with scripted_server({}) as server:
        smtp_mailer(server.port).send(LETTER)
    # The case of commands differs between Pythons.
    assert [command.lower() for command in server.commands] == [
        "ehlo example.org",
        "mail from:<urlsum@example.org>",
        "rcpt to:<reader@abc.ru>",
        "data",
        "quit",
    ]


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # that is what is tested
def test_logs_in_without_tls_only_where_the_operator_turned_tls_off() -> None:
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
def test_tells_what_is_final_from_what_may_pass(replies: dict[str, str], expected: type[MailError]) -> None:
    with scripted_server(replies) as server, pytest.raises(expected) as caught:
        smtp_mailer(server.port).send(LETTER)
    assert caught.value.__cause__ is not None
    assert LETTER.to not in str(caught.value)


def test_says_in_one_line_what_the_server_said() -> None:
    reply = "550-5.1.1 no such user,\r\n550 go away"
    with scripted_server({"RCPT": reply}) as server, pytest.raises(MailRefused) as caught:
        smtp_mailer(server.port).send(LETTER)
    assert str(caught.value) == "the mail server refused the recipient: 550 5.1.1 no such user, go away"


def test_a_connection_cut_in_the_middle_of_a_large_letter_is_not_final() -> None:
    large = Letter(LETTER.to, LETTER.subject, "x" * 70 + "\n" * 200_000)
    with scripted_server({"content": CLOSE}) as server, pytest.raises(MailUnavailable):
        smtp_mailer(server.port).send(large)


@pytest.mark.parametrize("step", ["connect", "EHLO", "MAIL", "RCPT", "DATA", "."])
def test_a_silent_server_costs_no_more_than_the_time_for_one_letter(step: str) -> None:
    begin = time.monotonic()
    with scripted_server({step: HANG}) as server, pytest.raises(MailUnavailable):
        smtp_mailer(server.port, send_seconds=0.4).send(LETTER)
    assert 0.3 <= time.monotonic() - begin < 4


def test_a_server_that_is_slow_at_every_step_costs_no_more_than_that_either() -> None:
    begin = time.monotonic()
    with scripted_server({}, pause=0.3) as server, pytest.raises(MailUnavailable):
        smtp_mailer(server.port, send_seconds=1.0).send(LETTER)
    assert 0.9 <= time.monotonic() - begin < 4


class Hold:
    """The lease of a caller, which may be extended."""

    def __init__(self, *, allows: bool = True) -> None:
        self.allows = allows
        self.asked: list[float] = []

    def __call__(self, seconds: float) -> bool:
        self.asked.append(seconds)
        return self.allows


def test_the_reply_to_the_whole_email_may_take_longer_than_all_others() -> None:
    hold = Hold()
    with scripted_server({}, END=1.0) as server:
        smtp_mailer(server.port, send_seconds=0.7, prompt_seconds=0.1, answer_seconds=15.0).send(LETTER, hold=hold)
    assert hold.asked == [15.0]  # once, before the wait


def test_a_prompt_reply_needs_no_longer_lease() -> None:
    hold = Hold()
    with scripted_server({}) as server:
        smtp_mailer(server.port, prompt_seconds=5.0).send(LETTER, hold=hold)
    assert hold.asked == []


@pytest.mark.parametrize("hold", [None, Hold(allows=False)])
def test_without_a_longer_lease_the_wait_is_that_of_one_email(hold: Hold | None) -> None:
    with scripted_server({".": HANG}) as server, pytest.raises(MailUnanswered):
        smtp_mailer(server.port, send_seconds=0.5, prompt_seconds=0.1, answer_seconds=99.0).send(LETTER, hold=hold)


@pytest.mark.parametrize("reply", [HANG, CLOSE])
def test_a_whole_email_without_a_reply_may_have_arrived(reply: str) -> None:
    with scripted_server({".": reply}) as server, pytest.raises(MailUnanswered):
        smtp_mailer(server.port, prompt_seconds=0.1, answer_seconds=0.3).send(LETTER, hold=Hold())


@pytest.mark.parametrize(
    ("replies", "down"),
    [
        ({"connect": CLOSE}, True),
        ({"MAIL": "550 sender not allowed"}, True),
        ({"RCPT": "421 shutting down"}, True),
        ({"RCPT": "530 authentication required"}, True),
        ({".": "421 shutting down"}, True),
        ({"RCPT": "451 greylisted"}, False),
        ({".": "451 local error"}, False),
    ],
    ids=str,
)
def test_tells_a_system_that_is_down_from_an_email_that_must_wait(replies: dict[str, str], down: bool) -> None:
    with scripted_server(replies) as server, pytest.raises(MailUnavailable) as caught:
        smtp_mailer(server.port).send(LETTER)
    assert isinstance(caught.value, MailSystemDown) is down
    assert not isinstance(caught.value, MailUnanswered)


@pytest.mark.parametrize("replies_in_time", [0, 1, 2, 3, 4])
def test_the_time_is_up_between_two_replies_as_well_as_within_one(replies_in_time: int) -> None:
    # One look at the clock when the session begins, then one for each reply.
    looks = iter([0.0] * (1 + replies_in_time) + [20.0] * 9)
    with scripted_server({}) as server, pytest.raises(MailUnavailable, match="did not answer in time"):
        smtp_mailer(server.port, send_seconds=20.0, monotonic=lambda: next(looks)).send(LETTER)


@pytest.mark.parametrize("farewell", [CLOSE, HANG, "500 no", "what?"])
def test_a_letter_that_is_taken_is_taken_however_the_server_says_goodbye(
    farewell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "QUIT_SECONDS", 0.2)
    begin = time.monotonic()
    with scripted_server({"QUIT": farewell}) as server:
        smtp_mailer(server.port).send(LETTER)
    assert time.monotonic() - begin < 4


def test_is_unavailable_where_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(MailUnavailable, match=rf"^127\.0\.0\.1:{port}: "):
        smtp_mailer(port).send(LETTER)


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".example"])
def test_is_unavailable_when_the_server_has_no_address(name: str) -> None:
    with pytest.raises(MailUnavailable):
        smtp_mailer(25, mail_server=name).send(LETTER)


def test_never_goes_on_in_the_clear_where_tls_was_asked_for() -> None:
    with scripted_server({"EHLO": "250 AUTH PLAIN"}) as server, pytest.raises(MailUnavailable):
        smtp_mailer(server.port, mail_use_tls=True, mail_username=USERNAME, mail_password=PASSWORD).send(LETTER)
    assert server.commands == ["ehlo example.org"]


def test_does_not_log_in_when_the_server_takes_starttls_back() -> None:
    script = {"EHLO": "250-hello\r\n250-STARTTLS\r\n250 AUTH PLAIN", "STARTTLS": "454 not now"}
    with scripted_server(script) as server, pytest.raises(MailUnavailable):
        smtp_mailer(server.port, mail_use_tls=True, mail_username=USERNAME, mail_password=PASSWORD).send(LETTER)
    assert server.commands == ["ehlo example.org", "STARTTLS"]


@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "inside TLS"])
@pytest.mark.parametrize("bad", ["unknown authority", "wrong name"])
def test_says_nothing_to_a_server_that_cannot_prove_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str, implicit: bool
) -> None:
    ours, theirs = Authority(tmp_path), Authority(tmp_path, name="other")
    context = theirs.server_context("127.0.0.1") if bad == "unknown authority" else ours.server_context("mail.example")
    with mail_server(**{"ssl_context" if implicit else "tls_context": context}) as inbox:
        if implicit:
            monkeypatch.setattr(smtp, "IMPLICIT_TLS_PORT", inbox.port)
        mailer = smtp_mailer(inbox.port, mail_use_tls=True, ssl_cert_file=ours.path)
        with pytest.raises(MailUnavailable, match="certificate verify failed"):
            mailer.send(LETTER)
        assert inbox.envelopes == []


def test_a_refused_login_is_the_operators_to_mend_and_the_mail_waits(tmp_path: Path) -> None:
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


def test_a_server_that_knows_no_login_is_unavailable() -> None:
    with mail_server() as inbox, pytest.raises(MailUnavailable, match="AUTH"):
        smtp_mailer(inbox.port, mail_username=USERNAME, mail_password=PASSWORD).send(LETTER)


def test_a_login_that_cannot_be_sent_stops_the_process_without_showing_it() -> None:
    with pytest.raises(SettingsError, match=r"^MAIL_USERNAME, MAIL_PASSWORD: ") as caught:
        smtp_mailer(25, mail_username=USERNAME, mail_password="p\xe4ss")
    assert "p\xe4ss" not in str(caught.value)


@pytest.mark.parametrize("port", [587, smtp.IMPLICIT_TLS_PORT])
@pytest.mark.parametrize(("send_seconds", "expected"), [(30.0, smtp.CONNECT_SECONDS), (3.0, 3.0)])
def test_waits_so_long_for_a_server_that_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch, port: int, send_seconds: float, expected: float
) -> None:
    waits: list[object] = []

    def connect(_address: object, timeout: object = None, *_: object) -> None:
        waits.append(timeout)
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(MailSystemDown, match="timed out"):
        smtp_mailer(port, send_seconds=send_seconds).send(LETTER)
    assert waits == [expected]
