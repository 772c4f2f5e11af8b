from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import time
from dataclasses import replace
from email import message_from_bytes, policy
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from urlsum.errors import FailureCode
from urlsum.mail.message import compose
from urlsum.mail.mime import build, sender
from urlsum.task import Failure, Mail, Proof, Representation, Task
from urlsum.text.format import shown_url
from urlsum.text.redact import CAUSES, PUBLIC_CODES

if TYPE_CHECKING:
    from pathlib import Path

MD5 = "f4afc4d7bd3d9fc8fd3bd4be0e0e5dd0"
NOON = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC

QUEUED = Task(
    id="0e4fac17-f367-4807-8c28-8a059a2f82ac",
    url="http://site.com/data/file.txt",
    created_at=NOON - 60,
    updated_at=NOON - 60,
    expires_at=int(NOON) + 86400,
    email="example@abc.ru",
    mail=Mail.PENDING,
    network="192.0.2.0/24",
)
DONE = QUEUED.done(MD5, 3_221_225_472, NOON)
KNOWN = Representation(name="file.txt", final_url=QUEUED.url, etag='"v1"', proof=Proof.ETAG)
FAILED = QUEUED.failed(Failure(FailureCode.HTTP, "http://site.com/data/file.txt: the host answered 404"), NOON)

UNSUBSCRIBE = "https://urlsum.example.org/unsubscribe?token=" + "x" * 64
CLOSING = """\
-- \

Someone requested this result on 2027-01-15 07:59:00 UTC from the network 192.0.2.0/24 and gave your address.
There is no subscription. To get no more emails from this service, no matter who requests them, """


def test_a_digest_is_told_with_everything_that_is_needed_to_use_it() -> None:
    letter = compose(DONE, public_url="https://urlsum.example.org", unsubscribe=UNSUBSCRIBE)
    assert (letter.to, letter.unsubscribe) == ("example@abc.ru", UNSUBSCRIBE)
    assert letter.subject == "MD5 of file.txt: f4afc4d7…"
    assert letter.body == (
        f"""\
urlsum has read the whole file and computed its MD5.

MD5:       {MD5}
File:      file.txt
Host:      site.com
Size:      3221225472 bytes (3.0 GiB)
Finished:  2027-01-15 08:00:00 UTC
Task:      0e4fac17-f367-4807-8c28-8a059a2f82ac
Link:      https://urlsum.example.org/check?id=0e4fac17-f367-4807-8c28-8a059a2f82ac

To check your own copy, save the next line as check.md5 in the same folder and run md5sum -c check.md5:

{MD5}  file.txt

{CLOSING}open this link:
{UNSUBSCRIBE}
"""
    )


def test_times_are_in_utc_on_a_machine_that_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        body = compose(DONE, public_url=None).body
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "Finished:  2027-01-15 08:00:00 UTC" in body
    assert "on 2027-01-15 07:59:00 UTC from" in body


def test_a_failure_is_told_with_its_cause_and_what_to_do() -> None:
    letter = compose(FAILED, public_url=None)
    assert letter.subject == "No MD5 for file.txt (http)"
    assert letter.body == (
        f"""\
urlsum could not compute the MD5 of this file and has stopped trying.

File:      file.txt
Host:      site.com

What happened:
the host answered 404

Why:
The server responds, but does not deliver the file: the file may have moved, require a login, or still be in \
preparation, or the server may be overloaded.

What to do:
Open the URL in a private window of your browser. If it works there, submit it again later.

Code:      http
Finished:  2027-01-15 08:00:00 UTC
Task:      0e4fac17-f367-4807-8c28-8a059a2f82ac

{CLOSING}ask
its operators: they can suppress your address.
"""
    )


def test_without_a_link_the_reader_learns_whom_to_ask() -> None:
    body = compose(DONE, public_url=None, contact="ops@example.org").body
    assert body.endswith("ask\nits operators (ops@example.org): they can suppress your address.\n")


def test_a_match_is_said_in_words() -> None:
    letter = compose(replace(DONE, expected_md5=MD5), public_url=None)
    assert letter.subject == "MD5 of file.txt matches: f4afc4d7…"
    assert "Verdict:   MATCH. This is the MD5 that you expected.\n" in letter.body
    assert f"{MD5}  file.txt\n" in letter.body


def test_a_mismatch_is_said_in_words_and_offers_no_line_that_would_call_the_wrong_file_ok() -> None:
    expected = "0" * 32
    letter = compose(replace(DONE, expected_md5=expected), public_url=None)
    assert letter.subject == "MD5 MISMATCH for file.txt: f4afc4d7…"
    assert f"MD5:       {MD5}\n" in letter.body
    assert f"Expected:  {expected}\nVerdict:   MISMATCH. This is not the MD5 that you expected. " in letter.body
    assert "md5sum" not in letter.body


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes (0 B)\n"),
        (1023, "1023 bytes (1023 B)\n"),
        (1024, "1024 bytes (1.0 KiB)\n"),
        (1_572_864, "1572864 bytes (1.5 MiB)\n"),
        (5 * 2**40, "5497558138880 bytes (5.0 TiB)\n"),
    ],
)
def test_the_size_is_exact_and_readable(size: int, shown: str) -> None:
    assert f"Size:      {shown}" in compose(replace(DONE, size=size), public_url=None).body


@pytest.mark.parametrize("base", ["https://host/urlsum", "https://host/urlsum/"])
def test_the_link_keeps_the_path_of_the_public_url(base: str) -> None:
    assert f"Link:      https://host/urlsum/check?id={DONE.id}\n" in compose(DONE, public_url=base).body


def test_without_a_public_url_there_is_no_link() -> None:
    assert "Link:" not in compose(DONE, public_url=None).body


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://site.com/reads_1.fastq.gz?token=a/b#top", "reads_1.fastq.gz"),
        ("http://site.com/a/v1.2+build~3,x=y@z-.bam", "v1.2+build~3,x=y@z-.bam"),
        ("http://site.com/" + "n" * 255, "n" * 255),
    ],
)
def test_the_md5sum_line_takes_a_name_that_every_client_saves_alike(url: str, name: str) -> None:
    assert f"\n{MD5}  {name}\n" in compose(replace(DONE, url=url), public_url=None).body


@pytest.mark.parametrize(
    "url",
    [
        "http://site.com",
        "http://site.com/",
        "http://site.com/?file=a.txt",
        "http://site.com/..",
        "http://site.com/-rf",
        "http://site.com/a%20b.txt",
        "http://site.com/Dear%20customer%2C%20call%20me",
        "http://site.com/a%0Ab",
        "http://site.com/a\\b",
        "http://site.com/\u202etxt.exe",
        "http://site.com/" + "n" * 256,
    ],
)
def test_no_md5sum_line_is_made_of_a_name_that_is_not_one_plain_word(url: str) -> None:
    assert "md5sum" not in compose(replace(DONE, url=url), public_url=None).body


@pytest.mark.skipif(shutil.which("md5sum") is None, reason="md5sum is not installed")
def test_md5sum_takes_the_line(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_bytes(b"content")
    done = replace(DONE, md5=hashlib.md5(b"content").hexdigest())
    [line] = re.findall(r"(?m)^[0-9a-f]{32} .*$", compose(done, public_url=None).body)
    (tmp_path / "file.md5").write_text(line + "\n")
    ran = subprocess.run(
        ["md5sum", "--strict", "-c", "file.md5"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        text=True,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin:/usr/local/bin"},
    )
    assert ran.stdout == "file.txt: OK\n"


HOSTILE_URLS = [
    "http://site.com/a\r\nBcc: victim@abc.ru\r\n\r\nMD5: 0",
    "http://site.com/a\x00\x1b[2J\x7f\x85",
    "http://site.com/\u202e\u2066\u200b\ufeff\u2028\u2029",
    'http://site.com/<a href="http://evil.example">click</a>',
    "http://site.com/a b\tc",
    "http://site.com/\ud800",
    "http://b\xfccher.example/\u043f\u0443\u0442\u044c",
]


SUBJECTS = [
    (DONE, "MD5 of {}: f4afc4d7…"),
    (replace(DONE, expected_md5=MD5), "MD5 of {} matches: f4afc4d7…"),
    (replace(DONE, expected_md5="0" * 32), "MD5 MISMATCH for {}: f4afc4d7…"),
    (FAILED, "No MD5 for {} (http)"),
]
OF_EACH_OUTCOME = pytest.mark.parametrize(("task", "subject"), SUBJECTS, ids=["done", "match", "mismatch", "failed"])


SUBMITTED_LINES = ("File:", "Host:")


@pytest.mark.parametrize(
    "url", [*HOSTILE_URLS, "http://\u202eevil.example/", "http://" + "h" * 5000 + "/" + "n" * 5000]
)
@OF_EACH_OUTCOME
def test_of_a_url_there_is_one_word_for_the_file_and_one_for_the_host(task: Task, subject: str, url: str) -> None:
    plain = compose(replace(task, url="http://site.com/"), public_url=None).body.split("\n")
    lines = compose(replace(task, url=url), public_url=None).body.split("\n")
    submitted = [line for line in lines if line.startswith(SUBMITTED_LINES)]
    assert len(submitted) <= 2
    assert all(line.isprintable() and len(line.split()) == 2 and len(line) < 280 for line in submitted)
    assert [line for line in lines if line not in submitted] == [line for line in plain if "Host:" not in line]


@pytest.mark.parametrize(
    "url",
    [
        "https://u.example:8443/a%2Fb;p/~x.bam?q[]=1&r=%C3%A9#f",
        "https://u.example/~x.bam?X-Amz-Signature=secret",
        "https://u.example/account-suspended/pay-at-evil.example/~x.bam#token=secret",
    ],
)
def test_no_url_stands_in_an_email_but_the_links_of_the_service(url: str) -> None:
    task = replace(DONE, url=url, representation=replace(KNOWN, name="~x.bam", final_url=f"{url}&redirected"))
    for each in (task, replace(FAILED, url=url, error=Failure(FailureCode.HTTP, f"{shown_url(url)}: no"))):
        letter = compose(each, public_url="https://urlsum.example.org", unsubscribe=UNSUBSCRIBE)
        assert re.findall(r"\w+://\S*", letter.body) == [
            f"https://urlsum.example.org/check?id={each.id}",
            UNSUBSCRIBE,
        ]
        assert "Host:      u.example\n" in letter.body
        assert not re.search("secret|suspended|evil", letter.body)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://b\xfccher.example/", "xn--bcher-kva.example"),
        ("http://\u0440\u0430ypal.com/", "xn--ypal-43d9g.com"),
        ("http://[2001:db8::1]:8080/", "2001:db8::1"),
        ("http://192.0.2.1/", "192.0.2.1"),
        ("http://" + "a." * 40 + "example/", "a." * 40 + "example"),
    ],
)
def test_the_host_is_shown_so_that_it_cannot_look_like_another(url: str, shown: str) -> None:
    assert f"\nHost:      {shown}\n" in compose(replace(DONE, url=url), public_url=None).body


def test_an_email_says_when_and_from_where_it_was_requested() -> None:
    task = replace(DONE, created_at=0.0, network="2001:db8::/48")
    body = compose(task, public_url=None).body
    assert "Someone requested this result on 1970-01-01 00:00:00 UTC from the network 2001:db8::/48 and gave" in body
    unknown = compose(replace(task, network=None), public_url=None).body
    assert "Someone requested this result on 1970-01-01 00:00:00 UTC and gave your address.\n" in unknown


@OF_EACH_OUTCOME
@pytest.mark.parametrize(
    "url",
    [
        *HOSTILE_URLS,
        "http://site.com",
        "http://site.com/?subject",
        "http://site.com/-rf",
        "http://site.com/Dear%20customer%2C%20call%20me",
        "http://site.com/a%0D%0ABcc:%20victim@abc.ru",
        "http://site.com/" + "n" * 256,
    ],
)
def test_nothing_of_a_url_without_a_plain_name_stands_in_the_subject(task: Task, subject: str, url: str) -> None:
    assert compose(replace(task, url=url), public_url=None).subject == subject.format("a file")


@OF_EACH_OUTCOME
@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://site.com/subject?token=secret#top", "subject"),
        ("http://u:p@site.com:8443/secret/v1.2+build~3,x=y@z-.bam", "v1.2+build~3,x=y@z-.bam"),
        ("http://site.com/" + "n" * 60, "n" * 60),
        ("http://site.com/" + "n" * 61, "n" * 57 + "..."),
        ("http://site.com/" + "n" * 255, "n" * 57 + "..."),
    ],
)
def test_of_the_url_the_subject_has_the_plain_name_within_a_bound(
    task: Task, subject: str, url: str, shown: str
) -> None:
    assert compose(replace(task, url=url), public_url=None).subject == subject.format(shown)


@OF_EACH_OUTCOME
def test_nothing_that_an_origin_sent_stands_in_the_subject(task: Task, subject: str) -> None:
    known = Representation(
        name="sent.bam",
        final_url="https://sent.example/sent.bam",
        content_type="sent/sent",
        etag='"sent"',
        notes=("web-page",),
    )
    sent = replace(task, representation=known)
    if sent.error is not None:
        sent = replace(sent, error=Failure(sent.error.code, "sent"))
    assert compose(sent, public_url=None).subject == subject.format("a file")


@OF_EACH_OUTCOME
def test_a_subject_goes_out_as_one_header_in_ascii_and_comes_back_whole(task: Task, subject: str) -> None:
    letter = compose(replace(task, url="http://site.com/" + "n" * 255), public_url=None)
    sent = build(letter, sender("urlsum@example.org"), now=NOON).as_bytes()
    head, _, _ = sent.partition(b"\r\n\r\n")
    assert head.isascii()
    assert max(map(len, head.split(b"\r\n"))) <= 998
    assert all(len(word) <= 75 for word in re.findall(rb"=\?.*?\?=", head))
    assert message_from_bytes(sent, policy=policy.default).get_all("Subject") == [subject.format("n" * 57 + "...")]


def test_the_message_of_a_failure_cannot_leave_its_line() -> None:
    forged = Failure(FailureCode.HTTP, "404\r\n\r\nWhat to do:\r\nPay \x1b[1mme\u202e\u2028now" + "!" * 5000)
    lines = compose(replace(FAILED, error=forged), public_url=None).body.split("\n")
    said = lines[lines.index("What happened:") + 1]
    assert said.startswith("404 What to do: Pay [1mme now!")
    assert len(said) <= 400
    assert lines.count("What to do:") == 1


@pytest.mark.parametrize("code", [FailureCode.BLOCKED, FailureCode.DNS, FailureCode.CONNECT])
def test_a_failure_tells_no_port_scanner_what_it_found(code: FailureCode) -> None:
    other = compose(replace(FAILED, error=Failure(FailureCode.CONNECT, "10.0.0.7:22 refused")), public_url=None)
    letter = compose(replace(FAILED, error=Failure(code, "intern.example is 10.0.0.7")), public_url=None)
    assert letter == other
    assert "10.0.0.7" not in letter.body


def test_every_failure_that_is_shown_has_a_cause_and_advice_and_no_other() -> None:
    assert set(CAUSES) == set(PUBLIC_CODES)
    for code in FailureCode:
        body = compose(replace(FAILED, error=Failure(code, "words")), public_url=None).body
        assert re.search(r"\n\nWhy:\n\w.*\n\nWhat to do:\n\w.*\n\n", body)


def test_the_same_task_always_gives_the_same_letter() -> None:
    later = DONE.claimed(NOON + 1000, 90).released(NOON + 2000)
    assert compose(later, public_url="https://host") == compose(DONE, public_url="https://host")


@pytest.mark.parametrize(
    "task",
    [
        QUEUED,
        QUEUED.claimed(NOON, 90),
        QUEUED.claimed(NOON, 90).retried(Failure(FailureCode.DNS, "words"), NOON, delay=1),
        replace(DONE, email=None),
    ],
    ids=["queued", "running", "waiting after an error", "nobody to write to"],
)
def test_there_is_no_letter_before_the_end_or_for_nobody(task: Task) -> None:
    with pytest.raises(ValueError, match=task.id):
        compose(task, public_url=None)


def described(**facts: object) -> list[str]:
    task = replace(DONE, representation=replace(KNOWN, **facts))  # type: ignore[arg-type]
    return compose(task, public_url=None).body.split("\n")


def test_a_mail_says_what_the_version_rests_on() -> None:
    plain = compose(DONE, public_url=None).body.split("\n")
    lines = described()
    at = next(number for number, line in enumerate(lines) if line.startswith("Size:")) + 1
    assert lines[at] == "Version:   All bytes of the file came with the same ETag."
    assert lines[:at] + lines[at + 1 :] == plain


def test_a_mail_has_the_notes_and_only_the_host_of_a_redirect() -> None:
    """A path can be a sentence: /Dear-customer,-pay-at-evil.example."""
    lines = described(
        final_url="https://login.example:8443/sign-in?X-Amz-Signature=s", content_type="text/html", notes=("web-page",)
    )
    at = lines.index("Note:")
    assert lines[at + 1] == "The server sent a web page (text/html, 3.0 GiB). Is this the file you meant?"
    assert lines[lines.index("Host:      site.com") + 1] == "Sent by:   login.example"
    assert not any(line.startswith("Sent by:") for line in described(final_url="http://site.com/other"))


@pytest.mark.parametrize("name", ["reads.bam", "n" * 255])
def test_a_mail_names_the_file_if_its_name_is_one_plain_word(name: str) -> None:
    lines = described(name=name)
    assert lines[lines.index(f"MD5:       {MD5}") + 1] == f"File:      {name}"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ré.bam", "ré.bam"),
        ("世界.bam", "世界.bam"),
        ("-rf", "-rf"),
        ("a b.bam", "a%20b.bam"),
        ("Account suspended. Pay at evil.example", "Account%20suspended.%20Pay%20at%20evil.example"),
        ("50%.bam", "50%25.bam"),
    ],
)
def test_a_mail_has_another_name_only_if_the_url_has_it_and_in_one_word(name: str, shown: str) -> None:
    """The origin writes Content-Disposition, but the submitter wrote the URL."""
    assert not any(line.startswith("File:") or name in line for line in described(name=name))
    same = replace(DONE, url=f"http://site.com/{quote(name)}", representation=Representation(name=name, final_url=""))
    assert f"\nFile:      {shown}\n" in compose(same, public_url=None).body


@pytest.mark.parametrize("text", ["Pay now", "text/html; pay=now", "text/pay now", "text", "a/b/c", "a/" + "b" * 99])
def test_a_mail_has_a_type_only_if_it_is_two_tokens(text: str) -> None:
    assert not any(line.startswith("Type:") for line in described(content_type=text))


def test_a_mail_names_the_file_of_a_task_of_an_earlier_version() -> None:
    body = compose(replace(DONE, url="http://site.com/a%20b.bam"), public_url=None).body
    assert "\nFile:      a%20b.bam\n" in body


def test_a_host_is_not_named_as_a_file() -> None:
    assert "File:" not in compose(replace(DONE, url="http://site.com/"), public_url=None).body


def test_a_mail_has_the_type_where_the_server_gave_one() -> None:
    assert "Type:      application/gzip" in described(content_type="application/gzip")
    assert not any(line.startswith("Type:") for line in described(content_type=None))


def test_a_mail_says_honestly_that_nothing_proves_the_version() -> None:
    lines = described(etag=None, proof=Proof.LENGTH)
    at = lines.index("Note:")
    assert lines[at + 1] == "This server gives no way to tell whether the file changed while it was read."
    assert not any(line.startswith("Version:") for line in lines)


@pytest.mark.parametrize(
    ("name", "url", "quoted"),
    [
        ("reads.bam", "http://site.com/files/reads.bam/content", True),
        ("reads 1.bam", "http://site.com/x", False),
        ("Dear customer, call me", "http://site.com/x", False),
        ("-rf", "http://site.com/x", False),
        ("site.com", "http://site.com/", False),  # a host is no file
        ("ré.bam", "http://site.com/r%C3%A9.bam", False),
        ("other.com", "http://site.com/other.com", True),
    ],
)
def test_the_line_of_md5sum_has_the_name_of_the_response_where_it_is_one_plain_word(
    name: str, url: str, quoted: bool
) -> None:
    task = replace(DONE, url=url, representation=replace(KNOWN, name=name, final_url=url))
    body = compose(task, public_url=None).body
    assert (f"\n{MD5}  {name}\n" in body) is quoted
    assert ("md5sum" in body) is quoted


def test_what_an_origin_says_cannot_leave_its_line_in_a_mail() -> None:
    hostile = "x\r\n\r\nMD5:       " + "0" * 32 + "\u202e\x1b[2J"
    plain = described(final_url="https://h/y", notes=("web-page",), name="x y")
    lines = described(final_url=f"https://h/{hostile}", content_type=hostile, notes=("web-page",), name=hostile)
    assert len(lines) == len(plain)
    assert all(line.isprintable() for line in lines)
    assert [line for line in lines if line.startswith("MD5:")] == [f"MD5:       {MD5}"]


def test_a_digest_that_was_computed_for_another_task_says_when() -> None:
    body = compose(replace(DONE, reused_at=1_795_000_000.0), public_url=None).body
    assert body.startswith("urlsum had read the whole file for another task, and the server still has that version.\n")
    assert "\nComputed:  2026-11-18 11:06:40 UTC, for another task\n" in body
    assert "another task" not in compose(DONE, public_url=None).body
