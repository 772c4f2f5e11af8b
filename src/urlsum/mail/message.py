"""The text of the emails: one for a digest, one for a failure, both plain text.

Parts of an email come from strangers. The URL comes from the submitter, who need not be the reader. The origin supplies
the file's name, the URL of a redirect, and parts of notes and of a failure's message. So each URL stands on its own
line or in a note, no foreign text can break out of its line, and only a name of one plain word gets a line for md5sum.
The subject has nothing from the origin; of the URL it has only such a name, cut to a bound.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from urlsum.mail import Letter
from urlsum.task import Proof
from urlsum.text import md5sum, remarks
from urlsum.text.format import human_bytes
from urlsum.text.redact import CAUSES, one_line, public_failure

if TYPE_CHECKING:
    from urlsum.task import Failure, Task

# RFC 3986, 2.2 allows these in a URL besides the unreserved characters, which quote() never touches; the percent sign
# belongs to text that is encoded already.
URL_CHARACTERS = ":/?#[]@!$&'()*+,;=%"
# Browsers, wget and curl -O all save the file under such a name; they disagree on characters that must be encoded. The
# length is the usual limit of file systems.
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+~@=,-]{0,254}")
# The limit of file systems, in bytes; a name cannot have more characters.
MAX_NAME_BYTES = 255
# The length of the file's name in a subject: lists of emails cut subjects off after some 100 characters.
SUBJECT_NAME_CHARACTERS = 60
# Enough of a digest to distinguish emails in a list; the body has all of it.
SUBJECT_DIGITS = 8

WHY_YOU = """\
You are receiving this one-time email because someone gave your address together with this URL. If that was not you,
ignore it: there is no subscription.
"""


def compose(task: Task, *, public_url: str | None) -> Letter:
    """The email with the result of ``task``, and a link to its page if ``public_url`` is set.

    The same task always yields the same email. Raises ValueError if the task is not finished or has no email address.
    """
    if task.email is None or task.finished_at is None:
        raise ValueError(f"task {task.id} is not finished, or asked for no email")
    if task.error is not None:
        subject, body = _failure(task, public_failure(task.error, task.url))
    else:
        subject, body = _success(task, task.size or 0)
    facts = [f"Finished:  {_when(task.finished_at)}", f"Task:      {task.id}"]
    if public_url is not None:
        facts.append(f"Link:      {public_url.rstrip('/')}/check?id={task.id}")
    return Letter(
        to=task.email,
        subject=subject,
        body="\n".join([*body, *facts, *_md5sum_line(task), "", "-- ", WHY_YOU]),
    )


def _success(task: Task, size: int) -> tuple[str, list[str]]:
    facts = [
        f"MD5:       {task.md5}",
        *_file(task),
        f"Size:      {size} bytes ({human_bytes(size)})",
        *_type(task),
        *_version(task),
    ]
    opening = ["urlsum has read the whole file and computed its MD5.", "", *_url(task), *_remarks(task), *facts]
    file, digits = _subject_name(task), f"{(task.md5 or '')[:SUBJECT_DIGITS]}…"
    if task.match is None:
        return f"MD5 of {file}: {digits}", opening
    if task.match:
        return f"MD5 of {file} matches: {digits}", [*opening, "Verdict:   MATCH. This is the MD5 that you expected."]
    return f"MD5 MISMATCH for {file}: {digits}", [
        *opening,
        f"Expected:  {task.expected_md5}",
        "Verdict:   MISMATCH. This is not the MD5 that you expected. The file may be damaged, replaced or",
        "           a different version, or the expected MD5 may be wrong. Do not use the file until you know.",
    ]


def _subject_name(task: Task) -> str:
    name = md5sum.name_of(task.url)
    # The subject must not show a name from the origin, nor another name than the body.
    shown = PLAIN_NAME.fullmatch(name) and name == remarks.name(task) and not _is_host(name, task)
    if not shown:
        return "a file"
    # An ASCII ellipsis: "…" would put the name into an encoded word, longer than its 75 characters (RFC 2047, 2).
    return name if len(name) <= SUBJECT_NAME_CHARACTERS else f"{name[: SUBJECT_NAME_CHARACTERS - 3]}..."


def _remarks(task: Task) -> list[str]:
    lines = []
    if remarks.redirected(task):
        path, hidden, _ = (remarks.final_url(task) or "").partition("?…")
        lines += ["Redirected to:", quote(path, safe=URL_CHARACTERS, errors="replace") + hidden, ""]
    for note in remarks.notes(task):
        lines += ["Note:", note.message, ""]
    return lines


def _file(task: Task) -> list[str]:
    name = remarks.name(task)
    return [] if _is_host(name, task) else [f"File:      {one_line(name, MAX_NAME_BYTES)}"]


def _type(task: Task) -> list[str]:
    known = task.representation
    return [f"Type:      {one_line(known.content_type)}"] if known and known.content_type else []


def _version(task: Task) -> list[str]:
    # If nothing proves the version, a note says so.
    known = task.representation
    return [] if known is None or known.proof is Proof.LENGTH else [f"Version:   {remarks.PROOFS[known.proof]}"]


def _failure(task: Task, failure: Failure) -> tuple[str, list[str]]:
    cause, advice = CAUSES[failure.code]
    return f"No MD5 for {_subject_name(task)} ({failure.code})", [
        "urlsum could not compute the MD5 of this file and has stopped trying.",
        "",
        *_url(task),
        *("What happened:", failure.message, ""),
        *("Why:", cause, ""),
        *("What to do:", advice, ""),
        f"Code:      {failure.code}",
    ]


def _url(task: Task) -> list[str]:
    # Encoded by RFC 3986 it is the same URL, and nothing in it can hide, reverse or mark up text.
    return ["URL:", quote(task.url, safe=URL_CHARACTERS, errors="replace"), ""]


def _md5sum_line(task: Task) -> list[str]:
    name = remarks.name(task)
    # Not after a mismatch: the line would call a copy of the wrong file OK.
    if task.md5 is None or task.match is False or _is_host(name, task) or not PLAIN_NAME.fullmatch(name):
        return []
    return [
        "",
        "To check your own copy, save the next line as check.md5 in the same folder and run md5sum -c check.md5:",
        "",
        f"{task.md5}  {name}",
    ]


def _is_host(name: str, task: Task) -> bool:
    """Whether the file has no name, so that its host replaces it."""
    return name == urlsplit(task.url).hostname


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
