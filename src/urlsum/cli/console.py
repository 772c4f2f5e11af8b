"""Output: results go to standard output, all other messages to standard error as ``urlsum: …`` lines."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from urlsum.errors import MESSAGE_LIMIT, RAW_LIMIT, FailureCode
from urlsum.origin.guard.url import MAX_URL_CHARACTERS
from urlsum.origin.http11 import phrases
from urlsum.text.format import shown_url
from urlsum.text.redact import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from urlsum.text.remarks import Note

# A message, the origin's own words beside it, and the advice.
LINE_LIMIT = 2 * MESSAGE_LIMIT + 2 * RAW_LIMIT
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
    FailureCode.TIMEOUT: "try again later, or change URLSUM_READ_TIMEOUT and URLSUM_MIN_BYTES_PER_SECOND",
    FailureCode.TOO_LARGE: "raise URLSUM_MAX_BYTES to allow it",
    FailureCode.REDIRECTS: "use the final URL of the file",
    FailureCode.UNVERIFIABLE: "use another mirror: here a cut connection would look like the end of the file",
    FailureCode.INTERNAL: "please report it with the lines above",
}
CHECK_PROXY = "check the variables https_proxy, http_proxy and all_proxy, and whether the proxy is up"
# Overrides of ADVICE: the first entry with this code and a phrase that the message contains applies.
SPECIFIC_ADVICE: tuple[tuple[FailureCode, str, str], ...] = (
    (
        FailureCode.TLS,
        phrases.UNKNOWN_ISSUER,
        "for a private certificate authority, set SSL_CERT_FILE to its certificate",
    ),
    (FailureCode.TLS, phrases.NOT_YET_VALID, "check the clock of this machine"),
    (FailureCode.CONNECT, phrases.PROXY, CHECK_PROXY),
    (FailureCode.CONNECT, phrases.NO_PROXY, CHECK_PROXY),
    (FailureCode.HTTP, phrases.PREPARING, "try again later"),
    (FailureCode.REDIRECTS, phrases.NO_LOCATION, TELL_OPERATORS),
    (FailureCode.REDIRECTS, phrases.INVALID_LOCATION, TELL_OPERATORS),
    (FailureCode.REDIRECTS, phrases.BROWSER_SESSION, ADVICE[FailureCode.REDIRECTS]),
    (FailureCode.REDIRECTS, phrases.REDIRECT_LOOP, TELL_OPERATORS),
)


class OutputLost(Exception):
    """A result cannot be written; ``unread`` if the reader of standard output has closed the pipe."""

    def __init__(self, error: OSError, where: str = "standard output") -> None:
        super().__init__(f"{where}: {error.strerror}")
        self.unread = isinstance(error, BrokenPipeError)


class Line(Protocol):
    """The last line of the terminal: a progress bar."""

    def clear(self) -> None:
        """Erase the line; it is drawn again at the next progress."""
        ...


class _Screen:
    """The terminal that results, messages and a progress bar share. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.line: Line | None = None
        self.elsewhere: Callable[[str], None] | None = None

    @contextmanager
    def above(self) -> Iterator[None]:
        """Within this block the last line is free for a text."""
        with self._lock:
            if self.line is not None:
                self.line.clear()
            yield


_SCREEN = _Screen()


def share_line(line: Line | None) -> None:
    """Erase ``line`` before each text that is written, until the next call."""
    _SCREEN.line = line


def divert(write: Callable[[str], None]) -> None:
    """Give all further messages to ``write``: the terminal belongs to another process."""
    _SCREEN.elsewhere = write


def out(line: str, *, end: str = "\n", file: TextIO | None = None) -> None:
    """Write a result to ``file`` and flush it, because the next one may be hours away. Raises OutputLost.

    The default is standard output.
    """
    file = file or sys.stdout
    try:
        with _SCREEN.above():
            file.write(line + end)
            file.flush()
    except OSError as exc:
        raise OutputLost(exc, "standard output" if file is sys.stdout else file.name) from exc


def tell(text: str) -> None:
    """Write a message for the person at the terminal, or the log: one line, whatever servers have put into it."""
    if _SCREEN.elsewhere is not None:
        _SCREEN.elsewhere(text)
        return
    with _SCREEN.above():
        sys.stderr.write(f"urlsum: {printable(text)}\n")
        sys.stderr.flush()


def failure(url: str, code: str, message: str) -> None:
    """Report the URL, the stable failure code and the message, which includes any advice."""
    tell(f"{printable(url)}: {code}: {one_line(message, LINE_LIMIT)}")


def notes(url: str, remarks: Sequence[Note]) -> None:
    """Write one line for each remark about the digest of ``url``. The remarks may come from a server."""
    for remark in remarks:
        tell(f"{printable(url)}: note: {one_line(remark.message)}")


def printable(text: str) -> str:
    """``text``, safe for a terminal: control characters in a stranger's list must not move the cursor."""
    return text if text.isprintable() else one_line(text, MAX_URL_CHARACTERS)


def advice(code: FailureCode, message: str) -> str:
    """Advice on the failure that ``message`` describes; empty if the message contains it already."""
    for each, phrase, specific in SPECIFIC_ADVICE:
        if each == code and phrase in message:
            return specific
    return ADVICE.get(code, "")


def with_advice(code: FailureCode, message: str, detail: str = "") -> str:
    """``message`` and its ``detail``, followed by the advice on the message."""
    text, shown = advice(code, message), with_detail(message, detail)
    return f"{shown}; {text}" if text else shown


def without_url(url: str, message: str) -> str:
    """``message`` without its leading URL, which the output line already names."""
    shown = shown_url(url)
    return message.removeprefix(f"{shown}: ").removeprefix(f"{shown}, ")


def with_detail(message: str, detail: str) -> str:
    """``message``, followed by its ``detail``, the origin's own words: this terminal belongs to who asked for them."""
    return f"{message} ({detail})" if detail else message
