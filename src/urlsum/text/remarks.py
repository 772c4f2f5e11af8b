"""Facts shown with a digest: the file's name, its final URL, the proof of its version, and notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from urlsum.task import Proof
from urlsum.text import md5sum
from urlsum.text.format import human_bytes, shown_url
from urlsum.text.redact import one_line
from urlsum.text.signed_url import public_url

if TYPE_CHECKING:
    from urlsum.task import Representation, Task

# urlsum.origin.representation.metadata finds these codes in a response, and a task keeps them.
WEB_PAGE = "web-page"
TRANSFORMED = "transformed"
CONTENT_ENCODING = "content-encoding"
UNCONFIRMED = "unconfirmed"
READ_TWICE = "read-twice"
# urlsum.worker.notify finds this one.
EMAIL_LIMIT = "email-limit"
# These codes follow from the fields of a task.
EMPTY = "empty"
NO_VALIDATOR = "no-validator"
UNCONFIRMED_VALIDATOR = "unconfirmed-validator"
WEAK_VALIDATOR = "weak-validator"
# The basis of the version without a validator, and the codes for no proof.
INSTEAD_OF_PROOF = (READ_TWICE, UNCONFIRMED)
UNPROVEN = (NO_VALIDATOR, UNCONFIRMED_VALIDATOR, WEAK_VALIDATOR)
CODES = (WEB_PAGE, EMPTY, TRANSFORMED, CONTENT_ENCODING, UNCONFIRMED, READ_TWICE, *UNPROVEN, EMAIL_LIMIT)

HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})

PROOFS = {
    # True of a short file too: it comes in one response, and urlsum does not request it again.
    Proof.ETAG: "All bytes of the file came with the same ETag.",
    Proof.LAST_MODIFIED: "All bytes of the file came with the same Last-Modified date and length.",
    Proof.LENGTH: "This server gives no way to tell whether the file changed while it was read.",
}
MESSAGES = {
    EMPTY: "The server sent an empty file (0 bytes). Is this the file you meant?",
    TRANSFORMED: (
        "The server altered the stored file before sending it, for example by decompressing it. This is the MD5 of the"
        " bytes as sent. An MD5 published for the stored file will not match this one."
    ),
    CONTENT_ENCODING: (
        "The server sent the file compressed (Content-Encoding), although urlsum asked for it uncompressed. This is the"
        " MD5 of the compressed bytes as sent. A browser may save it decompressed."
    ),
    UNCONFIRMED: (
        "All bytes arrived, but the server refused to confirm them afterwards. If the file changed while it was read,"
        " this may have gone unnoticed."
    ),
    READ_TWICE: (
        "The server's ETag, date or length differed between two readings of the file, but both readings gave this MD5."
    ),
    EMAIL_LIMIT: (
        "The result was not emailed: urlsum has sent this address as many emails as anybody may get from it in a day."
    ),
    NO_VALIDATOR: PROOFS[Proof.LENGTH],
    WEAK_VALIDATOR: (
        "The server sends only a weak ETag (W/). If the file changed while it was read, this may have gone unnoticed."
    ),
}


class Note(Struct, frozen=True):
    """A remark about a digest: a stable code, and a sentence or two."""

    code: str
    message: str


def name(task: Task) -> str:
    """The file's name; a line break, which md5sum can escape, is not sanitised for a terminal."""
    return md5sum.name_of(task.url) if task.representation is None else task.representation.name


def redirected(task: Task) -> bool:
    """Whether redirects led to another URL than the submitted one."""
    known = task.representation
    return known is not None and known.final_url != task.url.partition("#")[0]


def final_url(task: Task) -> str | None:
    """The URL at the end of the redirects, as others may see it; None if unknown.

    The query of a redirect's URL is hidden: it may be a signature that the origin issued to urlsum only.
    """
    known = task.representation
    if known is None:
        return None
    return public_url(known.final_url, query_is_secret=redirected(task))


def proof(task: Task) -> str | None:
    """The proof of the file's version, in a sentence; None if unknown."""
    known = task.representation
    if known is None:
        return None
    code = next((code for code in INSTEAD_OF_PROOF if code in known.notes), _unproven(known))
    return PROOFS[known.proof] if code is None else _messages(task, known)[code]


def notes(task: Task) -> tuple[Note, ...]:
    """The remarks about the digest of a done task, each code once, the most important first.

    A code that this version does not know has no sentence, and is omitted.
    """
    known = task.representation
    if known is None:
        return ()
    codes = {*known.notes, EMPTY if task.size == 0 else "", _unproven(known)}
    # Only the end of the download shows whether the origin confirmed a validator, so earlier codes are stale.
    codes -= {*UNPROVEN} - {_unproven(known)}
    messages = _messages(task, known)
    return tuple(Note(code, messages[code]) for code in CODES if code in codes)


def with_redirect(note_code: str, message: str, url: str, found_at: str | None) -> str:
    """The ``message`` of a note for a terminal, with the URL of a web page, which nothing else shows there.

    ``found_at`` is the URL at the end of the redirects from the submitted ``url``, if known.
    """
    submitted = url.partition("#")[0]
    if note_code != WEB_PAGE or found_at in (None, submitted, public_url(submitted)):
        return message
    sentence = one_line(f"The URL redirects to it ({shown_url(found_at)}).")
    # The message of an older service already contains the sentence.
    return one_line(f"{message.removesuffix(sentence)} {sentence}")


def _messages(task: Task, known: Representation) -> dict[str, str]:
    return MESSAGES | {WEB_PAGE: _web_page(task, known), UNCONFIRMED_VALIDATOR: _unconfirmed(known)}


def _web_page(task: Task, known: Representation) -> str:
    size = task.size or 0
    length = human_bytes(size) if size >= 1024 else f"{size} byte{'' if size == 1 else 's'}"  # noqa: PLR2004 - as there
    # A page sent with another type, or with none, still consists of HTML. Other types are the server's own words.
    content_type = known.content_type if known.content_type in HTML_TYPES else "HTML"
    return one_line(f"The server sent a web page ({content_type}, {length}). Is this the file you meant?")


def _unconfirmed(known: Representation) -> str:
    validators = ["ETag"] if _strong(known) else []
    if known.last_modified is not None:
        validators.append("Last-Modified date")
    return (
        f"The server did not confirm its {' and '.join(validators)} when asked again, so a change of the file while it"
        " was read may have gone unnoticed."
    )


def _unproven(known: Representation) -> str | None:
    """The code of the note for a file whose only proof of version is its length; None for any other."""
    if known.proof is not Proof.LENGTH or any(code in known.notes for code in INSTEAD_OF_PROOF):
        return None
    if _strong(known) or known.last_modified is not None:
        return UNCONFIRMED_VALIDATOR
    return WEAK_VALIDATOR if known.etag else NO_VALIDATOR


def _strong(known: Representation) -> bool:
    return known.etag is not None and not known.etag.startswith("W/")
