from __future__ import annotations

from dataclasses import replace

import pytest

from urlsum.task import Proof, Representation, Task
from urlsum.text import remarks

URL = "https://host.example/reads.bam?token=t"
KNOWN = Representation(name="reads.bam", final_url=URL, etag='"v1"', proof=Proof.ETAG)
TASK = Task(id="t", url=URL, created_at=0, updated_at=0, expires_at=0).done("0" * 32, 533, 1, representation=KNOWN)
LOGIN = "https://login.example/sign-in?X-Amz-Signature=s"


def known(**changes: object) -> Task:
    return replace(TASK, representation=replace(KNOWN, **changes))  # type: ignore[arg-type]


def messages(task: Task) -> dict[str, str]:
    return {note.code: note.message for note in remarks.notes(task)}


def test_a_file_as_it_should_be_needs_no_remark() -> None:
    assert remarks.notes(TASK) == ()
    assert remarks.proof(TASK) == "All bytes of the file came with the same ETag."


@pytest.mark.parametrize(
    ("size", "length"), [(0, "0 bytes"), (1, "1 byte"), (533, "533 bytes"), (1023, "1023 bytes"), (2048, "2.0 KiB")]
)
def test_a_web_page_is_named_with_its_type_and_length(size: int, length: str) -> None:
    task = replace(known(content_type="text/html", notes=("web-page",)), size=size)
    assert messages(task)["web-page"] == (
        f"The server sent a web page (text/html, {length}). Is this the file you meant?"
    )


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "text/html-pay.now", "dear/html.customer"])
def test_a_page_that_was_not_sent_as_one_is_named_html(content_type: str | None) -> None:
    task = known(content_type=content_type, notes=("web-page",))
    assert "a web page (HTML, 533 bytes)" in messages(task)["web-page"]


@pytest.mark.parametrize(
    ("code", "url", "found_at", "added"),
    [
        ("web-page", URL, LOGIN, " The URL redirects to it (https://login.example/sign-in?…)."),
        (
            "web-page",
            URL,
            "https://login.example/sign-in?…",
            " The URL redirects to it (https://login.example/sign-in?…).",
        ),
        ("web-page", URL, "https://h/\x1b[2J\n" + "x" * 5000, None),
        ("web-page", URL, URL, ""),
        ("web-page", URL + "#part", URL, ""),
        ("web-page", URL, None, ""),
        ("empty", URL, LOGIN, ""),
    ],
)
def test_a_terminal_shows_the_url_of_a_page_in_the_note(
    code: str, url: str, found_at: str | None, added: str | None
) -> None:
    message = remarks.with_redirect(code, "A page.", url, found_at)
    assert added is None or message == f"A page.{added}"
    assert message.isprintable()
    assert len(message) <= 400
    # A service of an earlier version has said it.
    assert remarks.with_redirect(code, message, url, found_at) == message


@pytest.mark.parametrize("found_at", [URL, "https://host.example/reads.bam?…"])
def test_a_signed_url_that_led_nowhere_else_is_no_redirect(found_at: str) -> None:
    assert remarks.with_redirect("web-page", "A page.", URL, found_at) == "A page."


def test_of_a_media_type_only_html_is_named_in_a_sentence() -> None:
    for content_type, shown in {
        "text/html": "text/html",
        "application/xhtml+xml": "application/xhtml+xml",
        "your-account-html/pay-at-evil.example": "HTML",
        None: "HTML",
    }.items():
        task = known(content_type=content_type, notes=("web-page",))
        assert messages(task)["web-page"].startswith(f"The server sent a web page ({shown}, ")


def test_the_message_of_a_note_leaves_the_final_url_to_its_own_field() -> None:
    task = known(content_type="text/html", notes=("web-page",), final_url=LOGIN)
    assert messages(task)["web-page"].endswith("Is this the file you meant?")


def test_an_empty_file_is_noted() -> None:
    assert messages(replace(TASK, size=0)) == {
        "empty": "The server sent an empty file (0 bytes). Is this the file you meant?"
    }


@pytest.mark.parametrize(
    ("proof", "etag", "code", "words"),
    [
        (Proof.ETAG, '"v1"', None, "All bytes of the file came with the same ETag."),
        (Proof.LAST_MODIFIED, 'W/"v1"', None, "came with the same Last-Modified date and length."),
        (Proof.LENGTH, None, "no-validator", "This server gives no way to tell whether the file changed while it was"),
        (Proof.LENGTH, 'W/"v1"', "weak-validator", "The server sends only a weak ETag (W/)."),
        (Proof.LENGTH, '"v1"', "unconfirmed-validator", "The server did not confirm its ETag when asked again"),
    ],
)
def test_the_proof_is_said_in_words_and_its_absence_is_a_note(
    proof: Proof, etag: str | None, code: str | None, words: str
) -> None:
    task = known(proof=proof, etag=etag)
    assert words in (remarks.proof(task) or "")
    assert [note.code for note in remarks.notes(task)] == ([code] if code else [])
    assert code is None or messages(task)[code] == remarks.proof(task)


@pytest.mark.parametrize(
    ("etag", "modified", "code", "words"),
    [
        ('"v1"', None, "unconfirmed-validator", "did not confirm its ETag when asked again, so a change"),
        (None, 0.0, "unconfirmed-validator", "did not confirm its Last-Modified date when asked again"),
        ('"v1"', 1.0, "unconfirmed-validator", "did not confirm its ETag and Last-Modified date when"),
        ('W/"v1"', 1.0, "unconfirmed-validator", "did not confirm its Last-Modified date when asked again"),
        ('W/"v1"', None, "weak-validator", "sends only a weak ETag"),
        (None, None, "no-validator", "gives no way to tell"),
    ],
)
@pytest.mark.parametrize("kept", [(), ("no-validator",), ("weak-validator", "unconfirmed-validator")])
def test_what_proves_no_version_is_said_as_the_validators_that_are_shown_have_it(
    etag: str | None, modified: float | None, code: str, words: str, kept: tuple[str, ...]
) -> None:
    task = known(proof=Proof.LENGTH, etag=etag, last_modified=modified, notes=kept)
    [(found, message)] = messages(task).items()
    assert (found, message) == (code, remarks.proof(task))
    assert words in message
    for proof in (Proof.ETAG, Proof.LAST_MODIFIED):
        assert messages(known(proof=proof, etag=etag, last_modified=modified, notes=kept)) == {}


@pytest.mark.parametrize("etag", ['"v1"', 'W/"v1"', None])
def test_a_file_that_nobody_confirmed_says_just_that(etag: str | None) -> None:
    task = known(etag=etag, proof=Proof.LENGTH, notes=("unconfirmed",))
    assert [*messages(task)] == ["unconfirmed"]
    assert remarks.proof(task) == messages(task)["unconfirmed"]
    assert "refused to confirm" in messages(task)["unconfirmed"]


def test_every_note_has_its_sentences_and_what_matters_most_comes_first() -> None:
    everything = known(
        notes=("content-encoding", "no-validator", "transformed", "of-a-newer-version", "web-page", "web-page"),
        proof=Proof.LENGTH,
    )
    notes = remarks.notes(replace(everything, size=0))
    assert [note.code for note in notes] == [
        "web-page",
        "empty",
        "transformed",
        "content-encoding",
        "unconfirmed-validator",
    ]
    assert all(note.message[0].isupper() and note.message[-1] in ".?" and len(note.message) <= 400 for note in notes)


@pytest.mark.parametrize(
    ("final", "shown", "redirected"),
    [
        (URL, "https://host.example/reads.bam?…", False),
        (LOGIN, "https://login.example/sign-in?…", True),
        ("https://cdn.example/reads.bam", "https://cdn.example/reads.bam", True),
        ("https://host.example/reads.bam?token=other", "https://host.example/reads.bam?…", True),
        ("https://cdn.example/?", "https://cdn.example/?…", True),
    ],
)
def test_the_query_of_a_redirect_stays_secret(final: str, shown: str, redirected: bool) -> None:
    task = known(final_url=final)
    assert (remarks.final_url(task), remarks.redirected(task)) == (shown, redirected)


def test_a_fragment_makes_no_redirect() -> None:
    assert not remarks.redirected(replace(TASK, url=URL + "#part"))


def test_a_task_of_an_older_version_has_the_name_of_its_url_and_no_remark() -> None:
    task = replace(TASK, representation=None, size=0)
    assert (remarks.name(task), remarks.final_url(task), remarks.proof(task)) == ("reads.bam", None, None)
    assert (remarks.notes(task), remarks.redirected(task)) == ((), False)


def test_a_hostile_type_and_url_cannot_leave_their_line() -> None:
    task = known(content_type="a\nb\x1b", notes=("web-page",), final_url="https://h/\u202e\n" + "x" * 5000)
    message = messages(task)["web-page"]
    assert message.isprintable()
    assert len(message) <= 400
