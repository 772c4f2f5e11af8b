"""Facts shown with a digest: the file's name, where it was found, what proves its version, and notes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from urlsum import md5sum
from urlsum.public import one_line
from urlsum.task import Proof
from urlsum.text import human_bytes, shown_url

if TYPE_CHECKING:
    from urlsum.task import Representation, Task

# Codes that urlsum.origin.representation finds in a response and a task keeps.
WEB_PAGE = "web-page"
TRANSFORMED = "transformed"
CONTENT_ENCODING = "content-encoding"
# Codes that follow from what a task keeps.
EMPTY = "empty"
NO_VALIDATOR = "no-validator"
WEAK_VALIDATOR = "weak-validator"
CODES = (WEB_PAGE, EMPTY, TRANSFORMED, CONTENT_ENCODING, NO_VALIDATOR, WEAK_VALIDATOR)

PROOFS = {
    Proof.ETAG: "The server's ETag stayed the same from the first byte to the last.",
    Proof.LAST_MODIFIED: "The file's Last-Modified date and length stayed the same from the first byte to the last.",
    Proof.LENGTH: "This server gives no way to tell whether the file changed while it was read.",
}
WEAK_PROOF = (
    "The server's ETag is a weak one (W/), which may stay the same when bytes change, so a change of the file while it"
    " was read may have gone unnoticed."
)
MESSAGES = {
    EMPTY: "The server sent an empty file (0 bytes). Is this the file you meant?",
    TRANSFORMED: (
        "The server changed the stored file on the way, for example unpacked it. This is the MD5 of the bytes as sent."
        " An MD5 that is published for the stored file is of another representation."
    ),
    CONTENT_ENCODING: (
        "The server sent the file compressed (Content-Encoding), although urlsum asked for it uncompressed. This is the"
        " MD5 of the compressed bytes as sent. Browsers save the file unpacked."
    ),
    NO_VALIDATOR: PROOFS[Proof.LENGTH],
    WEAK_VALIDATOR: WEAK_PROOF,
}


@dataclass(frozen=True, slots=True)
class Note:
    """A remark about a digest: a stable code, and a sentence or two."""

    code: str
    message: str


def name(task: Task) -> str:
    """The file's name; not sanitised for a terminal where md5sum can write it (a line break)."""
    return md5sum.name_of(task.url) if task.representation is None else task.representation.name


def redirected(task: Task) -> bool:
    """Whether the file was found at another URL than the submitted one."""
    known = task.representation
    return known is not None and known.final_url != task.url.partition("#")[0]


def final_url(task: Task) -> str | None:
    """Where the file was found, None when that is not known.

    The query of a URL that came from a redirect is hidden: it may be a signature, which only urlsum was given.
    """
    known = task.representation
    if known is None:
        return None
    path, mark, _ = known.final_url.partition("?")
    return f"{path}?…" if mark and redirected(task) else known.final_url


def proof(task: Task) -> str | None:
    """What the version of the file rests on, in a sentence; None when that is not known."""
    known = task.representation
    if known is None:
        return None
    return WEAK_PROOF if _weak(known) else PROOFS[known.proof]


def notes(task: Task) -> tuple[Note, ...]:
    """The remarks about the digest of a done task, each code once, what matters most first.

    A code that this version does not know has no sentence, and is left out.
    """
    known = task.representation
    if known is None:
        return ()
    codes = set(known.notes)
    if task.size == 0:
        codes.add(EMPTY)
    if known.proof is Proof.LENGTH:
        codes = codes - {NO_VALIDATOR} | {WEAK_VALIDATOR if _weak(known) else NO_VALIDATOR}
    messages = MESSAGES | {WEB_PAGE: _web_page(task, known)}
    return tuple(Note(code, messages[code]) for code in CODES if code in codes)


def _web_page(task: Task, known: Representation) -> str:
    size = task.size or 0
    length = human_bytes(size) if size >= 1024 else f"{size} byte{'' if size == 1 else 's'}"  # noqa: PLR2004 - as there
    text = f"The server sent a web page ({known.content_type or 'HTML'}, {length}). Is this the file you meant?"
    if redirected(task):
        text += f" The URL redirects to it ({shown_url(known.final_url)})."
    return one_line(text)


def _weak(known: Representation) -> bool:
    return known.proof is Proof.LENGTH and (known.etag or "").startswith("W/")
