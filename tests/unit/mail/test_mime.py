from __future__ import annotations

from email import message_from_bytes, policy
from email.headerregistry import Address

import pytest
from msgspec.structs import replace

from urlsum.errors import MailRefused, SettingsError
from urlsum.mail import Letter, mime

SENDER = Address("urlsum", "urlsum", "example.org")
NOON = 1_800_000_000.0
LETTER = Letter("reader@abc.ru", "the subject", "one\ntwo\n")


def wire(letter: Letter) -> bytes:
    return mime.build(letter, SENDER, now=NOON).as_bytes()


def test_one_click_unsubscribes_over_https() -> None:
    url = "https://sums.example.org/unsubscribe?token=" + "a-_1" * 16
    sent = wire(replace(LETTER, unsubscribe=url))
    assert f"\r\nList-Unsubscribe: <{url}>\r\n".encode() in sent
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in sent


def test_a_longer_url_is_not_folded() -> None:
    url = f"https://sums.example.org/{'p' * 800}/unsubscribe?token=a"
    assert f"\r\nList-Unsubscribe: <{url}>\r\n".encode() in wire(replace(LETTER, unsubscribe=url))


def test_over_http_the_link_is_a_page_to_open() -> None:
    sent = wire(replace(LETTER, unsubscribe="http://localhost:5000/unsubscribe?token=a"))
    assert b"\r\nList-Unsubscribe: <http://localhost:5000/unsubscribe?token=a>\r\n" in sent
    assert b"One-Click" not in sent


@pytest.mark.parametrize(
    "url",
    [
        "https://h/u>,<mailto:victim@abc.ru",
        "https://h/u\r\nBcc: victim@abc.ru",
        "https://h/u v",
        "https://b\xfccher.example/u",
        "mailto:victim@abc.ru",
        "",
    ],
)
def test_what_is_no_url_becomes_no_header(url: str) -> None:
    with pytest.raises(MailRefused, match="unsubscribe"):
        wire(replace(LETTER, unsubscribe=url))


def test_the_message_has_these_headers_and_no_others() -> None:
    message = message_from_bytes(wire(LETTER), policy=policy.SMTP)
    headers = dict(message.items())
    assert headers.pop("Message-ID").endswith("@example.org>")
    assert headers == {
        "From": "urlsum <urlsum@example.org>",
        "To": "reader@abc.ru",
        "Subject": "the subject",
        "Date": "Fri, 15 Jan 2027 08:00:00 +0000",
        "Auto-Submitted": "auto-generated",
        "MIME-Version": "1.0",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "7bit",
    }
    assert message.get_content() == "one\r\ntwo\r\n"


@pytest.mark.parametrize(
    "to",
    [
        "reader@abc.ru\r\nBcc: victim@abc.ru",
        "reader@abc.ru\nBcc: victim@abc.ru",
        "reader@abc.ru\rBcc: victim@abc.ru",
        "reader@abc.ru\r\n\r\nbody",
        "reader@abc.ru\x00",
        "reader\x00@abc.ru",
        "reader@abc.ru\x0b",
        "reader@abc.ru\x85Bcc: victim@abc.ru",
        "reader@abc.ru\u2028Bcc: victim@abc.ru",
        "reader@abc.ru, victim@abc.ru",
        "reader@abc.ru; victim@abc.ru",
        "reader@abc.ru victim@abc.ru",
        "Reader <reader@abc.ru>",
        "readers: reader@abc.ru, victim@abc.ru;",
        "reader@abc.ru (and others)",
        " reader@abc.ru",
        "reader",
        "reader@",
        "@abc.ru",
        "",
        "r\xe9ader@abc.ru",
        "reader@abc.ru> ORCPT=rfc822;victim@abc.ru",
    ],
)
def test_a_recipient_that_is_not_exactly_one_address_is_refused(to: str) -> None:
    letter = Letter(to, LETTER.subject, LETTER.body)
    with pytest.raises(MailRefused, match=r"^the recipient is not exactly one email address$"):
        mime.build(letter, SENDER, now=NOON)
    with pytest.raises(MailRefused, match=r"^the recipient is not exactly one email address$"):
        mime.recipient(letter)


@pytest.mark.parametrize("break_", ["\r\n", "\n", "\r", "\x00", "\x0b", "\x0c", "\x1b", "\x85", "\u2028", "\u202e"])
def test_a_subject_with_a_control_character_is_refused(break_: str) -> None:
    with pytest.raises(MailRefused, match=r"^the subject contains a control character$"):
        mime.build(Letter(LETTER.to, f"subject{break_}Bcc: victim@abc.ru", LETTER.body), SENDER, now=NOON)


def test_a_body_that_looks_like_headers_stays_the_body() -> None:
    message = message_from_bytes(
        wire(Letter(LETTER.to, LETTER.subject, "Bcc: victim@abc.ru\n\n.\nMAIL FROM:<x@y.z>\n"))
    )
    assert "Bcc" not in message
    assert message.get_payload() == "Bcc: victim@abc.ru\r\n\r\n.\r\nMAIL FROM:<x@y.z>\r\n"


@pytest.mark.parametrize(
    "body",
    ["\xfcml\xe4ut \u043f\u0443\u0442\u044c\n", "http://site.com/" + "x" * 8192 + "\n"],
    ids=["not ASCII", "long line"],
)
def test_what_seven_bits_or_998_characters_cannot_hold_is_encoded_and_comes_back_whole(body: str) -> None:
    sent = wire(Letter(LETTER.to, LETTER.subject, body))
    assert sent.isascii()
    assert max(map(len, sent.split(b"\r\n"))) <= 998
    assert message_from_bytes(sent, policy=policy.default).get_content().replace("\r\n", "\n") == body


def test_a_long_url_stays_readable_in_the_source_of_the_message() -> None:
    url = "http://site.com/" + "x" * 900
    assert f"\r\n{url}\r\n".encode() in wire(Letter(LETTER.to, LETTER.subject, f"URL:\n{url}\n"))


def test_the_same_letter_has_the_same_message_id_whenever_it_is_sent() -> None:
    first, again = (mime.build(LETTER, SENDER, now=now)["Message-ID"] for now in (NOON, NOON + 5))
    assert first == again


@pytest.mark.parametrize(
    "other",
    [
        Letter("b@abc.ru", "the subject", "one\ntwo\n"),
        Letter(LETTER.to, "x", LETTER.body),
        Letter(LETTER.to, LETTER.subject, "x"),
    ],
)
def test_another_letter_has_another_message_id(other: Letter) -> None:
    assert mime.build(other, SENDER, now=NOON)["Message-ID"] != mime.build(LETTER, SENDER, now=NOON)["Message-ID"]


@pytest.mark.parametrize(
    ("mail_from", "name", "address"),
    [
        ("urlsum@localhost", "", "urlsum@localhost"),
        ("urlsum <urlsum@example.org>", "urlsum", "urlsum@example.org"),
        ('"Sums, Ltd." <urlsum@example.org>', "Sums, Ltd.", "urlsum@example.org"),
        ("\xdcrlsum <urlsum@example.org>", "\xdcrlsum", "urlsum@example.org"),
    ],
)
def test_the_sender_may_have_a_name(mail_from: str, name: str, address: str) -> None:
    sender = mime.sender(mail_from)
    assert (sender.display_name, sender.addr_spec) == (name, address)
    sent = mime.build(LETTER, sender, now=NOON).as_bytes()
    assert message_from_bytes(sent, policy=policy.default)["From"].addresses == (sender,)


@pytest.mark.parametrize(
    "mail_from",
    ["", "urlsum", "not an address", "a@b.c, d@e.f", "a@b.c\r\nBcc: x@y.z", "a@b\x00.c", "\xe9@b.de", "a@\xe9.de"],
)
def test_a_sender_that_is_not_one_address_stops_the_process_with_the_name_of_the_setting(mail_from: str) -> None:
    with pytest.raises(SettingsError, match=r"^MAIL_FROM: .*"):
        mime.sender(mail_from)
