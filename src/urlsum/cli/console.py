"""Output: results go to standard output, all other messages to standard error as ``urlsum: …`` lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from urlsum.errors import FailureCode
from urlsum.origin.guard.url import MAX_URL_CHARACTERS
from urlsum.origin.http11 import phrases
from urlsum.text.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

# For a server fault that no other URL on that server would avoid.
TELL_OPERATORS = "use another mirror, or report it to the operators of this one"
# Advice for failures whose message does not contain it already.
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
# Overrides of ADVICE: the first entry with this code and a phrase that the message contains applies.
SPECIFIC_ADVICE: tuple[tuple[FailureCode, str, str], ...] = (
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
    """Standard output cannot be written; ``unread`` if its reader has closed the pipe."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output: {error.strerror}")
        self.unread = isinstance(error, BrokenPipeError)


def out(line: str) -> None:
    """Write a result and flush it, because the next one may be hours away. Raises OutputLost."""
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
    """Report the URL, the stable failure code and the message, which includes any advice."""
    tell(f"{printable(url)}: {code}: {one_line(message)}")


def notes(url: str, messages: Sequence[str]) -> None:
    """Write one line for each remark about the digest of ``url``. The remarks may come from a server."""
    for message in messages:
        tell(f"{printable(url)}: note: {one_line(message)}")


def printable(url: str) -> str:
    """``url``, safe for a terminal: control characters in a stranger's list must not move the cursor."""
    return url if url.isprintable() else one_line(url, MAX_URL_CHARACTERS)


def advice(code: FailureCode, message: str) -> str:
    """Advice on the failure that ``message`` describes; empty if the message contains it already."""
    for each, phrase, specific in SPECIFIC_ADVICE:
        if each == code and phrase in message:
            return specific
    return ADVICE.get(code, "")


def with_advice(code: FailureCode, message: str) -> str:
    """``message``, followed by the advice on it."""
    text = advice(code, message)
    return f"{message}; {text}" if text else message
