"""What is written where: results to standard output, everything else to standard error as ``urlsum: …`` lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from urlsum.errors import FailureCode
from urlsum.origin.guard.url import MAX_URL_CHARACTERS
from urlsum.origin.http11 import phrases
from urlsum.text.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

# About a server that has no other URL of the file to offer.
TELL_OPERATORS = "use another mirror, or report it to the operators of this one"
# What a person can do about a failure, where its own message does not say it already.
ADVICE: dict[str, str] = {
    FailureCode.DNS: "check the spelling of the host name, and your network",
    FailureCode.CONNECT: "check the URL and whether the host is up",
    FailureCode.HTTP: "check that the URL opens in a browser without signing in; if it does, try again later",
    FailureCode.PROTOCOL: TELL_OPERATORS,
    FailureCode.INCOMPLETE: "try again later, or use another mirror",
    FailureCode.CHANGED: "try again when the file is no longer being written",
    FailureCode.TIMEOUT: "try again later, or change READ_TIMEOUT and MIN_BYTES_PER_SECOND",
    FailureCode.TOO_LARGE: "raise MAX_BYTES to allow it",
    FailureCode.REDIRECTS: "use the final URL of the file",
    FailureCode.UNVERIFIABLE: "use another mirror: here a cut connection would look like the end of the file",
    FailureCode.INTERNAL: "please report it with the lines above",
}
# Where that of the code does not fit, or there is none: the first phrase that a message of this code contains decides.
PARTICULAR: tuple[tuple[FailureCode, str, str], ...] = (
    (
        FailureCode.TLS,
        phrases.UNKNOWN_ISSUER,
        "for a private certificate authority, set SSL_CERT_FILE to its certificate",
    ),
    (FailureCode.TLS, phrases.NOT_YET_VALID, "check the clock of this machine"),
    (FailureCode.HTTP, phrases.PREPARING, "try again later"),
    (FailureCode.REDIRECTS, phrases.NO_LOCATION, TELL_OPERATORS),
    (FailureCode.REDIRECTS, phrases.INVALID_LOCATION, TELL_OPERATORS),
    (FailureCode.REDIRECTS, phrases.BROWSER_SESSION, ADVICE[FailureCode.REDIRECTS]),
    (FailureCode.REDIRECTS, phrases.REDIRECT_LOOP, TELL_OPERATORS),
)


class OutputLost(Exception):
    """Standard output takes no more; ``unread`` when that is because its reader has enough."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output: {error.strerror}")
        self.unread = isinstance(error, BrokenPipeError)


def out(line: str) -> None:
    """Write a result. Flushed, because the next one may be hours away. Raises OutputLost."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except OSError as exc:
        raise OutputLost(exc) from exc


def tell(text: str) -> None:
    """Write a message for the person at the terminal, or the log."""
    sys.stderr.write(f"urlsum: {text}\n")
    sys.stderr.flush()


def failure(url: str, code: str, message: str) -> None:
    """Say which URL failed, the stable code of why, what happened, and what to do."""
    tell(f"{printable(url)}: {code}: {one_line(message)}")


def notes(url: str, messages: Sequence[str]) -> None:
    """Write the remarks about the digest of ``url``, a line each; they may come from a server."""
    for message in messages:
        tell(f"{printable(url)}: note: {one_line(message)}")


def printable(url: str) -> str:
    """``url`` as it may go to a terminal: a list of strangers must not move the cursor."""
    return url if url.isprintable() else one_line(url, MAX_URL_CHARACTERS)


def advice(code: FailureCode, message: str) -> str:
    """What to do about the failure that ``message`` describes; empty where that says it already."""
    for each, phrase, particular in PARTICULAR:
        if each == code and phrase in message:
            return particular
    return ADVICE.get(code, "")


def with_advice(code: FailureCode, message: str) -> str:
    """``message``, and what to do about it."""
    what_to_do = advice(code, message)
    return f"{message}; {what_to_do}" if what_to_do else message
