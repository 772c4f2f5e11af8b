"""The text of the emails: one for a digest, one for a failure, both plain text.

Parts of an email come from strangers. The URL comes from the submitter, who need not be the reader. The origin supplies
the file's name, its type and the host of a redirect. A URL may lead to a phishing page, and a name may be its text.
None of them may read as a sentence of urlsum: an email shows the host and the name only, each as one word on a line of
its own, a name of the origin's only if it is a plain one, and a type only if it is two tokens. The page of the task,
behind the link, has the rest. Notes and the message of a failure have nothing from the origin, and the subject neither;
of the URL it has only a plain name, cut to a bound.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from urlsum.mail import Letter
from urlsum.task import Proof
from urlsum.text import md5sum, remarks
from urlsum.text.format import human_bytes, shown_url
from urlsum.text.redact import CAUSES, one_line, public_failure

if TYPE_CHECKING:
    from urlsum.task import Failure, Task

# Of the printable characters besides letters and digits, those that join a name into one word.
NAME_CHARACTERS = "._+~@=,-()[]#"
# Browsers, wget and curl -O all save the file under such a name; they disagree on characters that must be encoded. The
# length is the usual limit of file systems.
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+~@=,-]{0,254}")
# RFC 9110, 8.3.1: two tokens. No registered type is longer than 73 characters.
MEDIA_TYPE = re.compile(r"(?=.{3,100}\Z)[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# The limit of file systems, in bytes; a name cannot have more characters.
MAX_NAME_BYTES = 255
# The length of the file's name in a subject: lists of emails cut subjects off after some 100 characters.
SUBJECT_NAME_CHARACTERS = 60
# Enough of a digest to distinguish emails in a list; the body has all of it.
SUBJECT_DIGITS = 8

WHY_YOU = """\
Someone requested this result on {when}{network} and gave your address.
There is no subscription. To get no more emails from this service, no matter who requests them, {how}
"""
OPEN_THE_LINK = """\
open this link:
{link}"""
ASK_THE_OPERATORS = """\
ask
its operators{contact}: they can suppress your address."""


def compose(
    task: Task, *, public_url: str | None, unsubscribe: str | None = None, contact: str | None = None
) -> Letter:
    """The email with the result of ``task``, a link to its page if ``public_url`` is set, and one to ``unsubscribe``.

    Without the latter it names the ``contact`` of the operators.

    The same task always yields the same email. Raises ValueError if the task is not finished or has no email address.
    """
    if task.email is None or task.finished_at is None:
        raise ValueError(f"task {task.id} is not finished, or asked for no email")
    if task.error is not None:
        failure = public_failure(task.error, task.url)
        # Messages about the origin begin with the URL.
        message = failure.message.removeprefix(f"{shown_url(task.url)}: ")
        subject, body = _failure(task, replace(failure, message=message))
    else:
        subject, body = _success(task, task.size or 0)
    facts = [f"Finished:  {_when(task.finished_at)}", f"Task:      {task.id}"]
    if public_url is not None:
        facts.append(f"Link:      {public_url.rstrip('/')}/check?id={task.id}")
    return Letter(
        to=task.email,
        subject=subject,
        body="\n".join([*body, *facts, *_md5sum_line(task), "", "-- ", _why_you(task, unsubscribe, contact)]),
        unsubscribe=unsubscribe,
    )


def _success(task: Task, size: int) -> tuple[str, list[str]]:
    facts = [
        f"MD5:       {task.md5}",
        *_file(task),
        f"Size:      {size} bytes ({human_bytes(size)})",
        *_type(task),
        *_version(task),
        *_computed(task),
    ]
    opening = [_how(task), "", *_notes(task), *facts]
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


def _how(task: Task) -> str:
    if task.reused_at is None:
        return "urlsum has read the whole file and computed its MD5."
    return "urlsum had read the whole file for another task, and the server still has that version."


def _computed(task: Task) -> list[str]:
    return [] if task.reused_at is None else [f"Computed:  {_when(task.reused_at)}, for another task"]


def _subject_name(task: Task) -> str:
    name = md5sum.name_of(task.url)
    # The subject must not show a name from the origin, nor another name than the body.
    shown = PLAIN_NAME.fullmatch(name) and name == remarks.name(task) and not _is_host(name, task)
    if not shown:
        return "a file"
    # An ASCII ellipsis: "…" would put the name into an encoded word, longer than its 75 characters (RFC 2047, 2).
    return name if len(name) <= SUBJECT_NAME_CHARACTERS else f"{name[: SUBJECT_NAME_CHARACTERS - 3]}..."


def _notes(task: Task) -> list[str]:
    return [line for note in remarks.notes(task) for line in ("Note:", note.message, "")]


def _file(task: Task) -> list[str]:
    """The name and the host of the file, and the host that sent it."""
    name, host, sender = remarks.name(task), _host(task.url), _host(remarks.final_url(task) or task.url)
    named = not _is_host(name, task) and (PLAIN_NAME.fullmatch(name) or name == md5sum.name_of(task.url))
    return [
        *([f"File:      {_one_word(name)}"] if named else []),
        f"Host:      {host}",
        *([] if sender == host else [f"Sent by:   {sender}"]),
    ]


def _one_word(name: str) -> str:
    """``name`` percent-encoded, but for letters and digits of all scripts, so that it cannot read like a sentence."""
    shown = "".join(
        char if char.isalnum() or char in NAME_CHARACTERS else quote(char, safe="", errors="replace")
        for char in name[:MAX_NAME_BYTES]
    )
    return one_line(shown, MAX_NAME_BYTES)


def _host(url: str) -> str:
    """The host in ASCII: a name in its xn-- form cannot look like another one."""
    host = urlsplit(url).hostname or ""
    try:
        shown = host.encode("idna").decode()
    except UnicodeError:
        shown = host
    return one_line(quote(shown, safe=":", errors="replace"), MAX_NAME_BYTES)


def _type(task: Task) -> list[str]:
    content_type = task.representation.content_type if task.representation else None
    return [f"Type:      {content_type}"] if content_type and MEDIA_TYPE.fullmatch(content_type) else []


def _version(task: Task) -> list[str]:
    # If nothing proves the version, a note says so.
    known = task.representation
    return [] if known is None or known.proof is Proof.LENGTH else [f"Version:   {remarks.PROOFS[known.proof]}"]


def _failure(task: Task, failure: Failure) -> tuple[str, list[str]]:
    cause, advice = CAUSES[failure.code]
    return f"No MD5 for {_subject_name(task)} ({failure.code})", [
        "urlsum could not compute the MD5 of this file and has stopped trying.",
        "",
        *_file(task),
        "",
        *("What happened:", failure.message, ""),
        *("Why:", cause, ""),
        *("What to do:", advice, ""),
        f"Code:      {failure.code}",
    ]


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


def _why_you(task: Task, unsubscribe: str | None, contact: str | None) -> str:
    network = "" if task.network is None else f" from the network {one_line(task.network)}"
    if unsubscribe is None:
        how = ASK_THE_OPERATORS.format(contact="" if contact is None else f" ({one_line(contact)})")
    else:
        how = OPEN_THE_LINK.format(link=unsubscribe)
    return WHY_YOU.format(when=_when(task.created_at), network=network, how=how)
