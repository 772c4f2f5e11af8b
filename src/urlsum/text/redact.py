"""What strangers may read: failures and texts as they leave the service, in answers, on pages and in mails."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from urlsum.errors import FailureCode
from urlsum.task import Failure

# A sentence or two. The longest of urlsum's own messages quotes a host name (at most 253 characters) once.
MESSAGE_LIMIT = 400

# These three show whether a host or port exists inside a network that only this service can see, so they
# leave as one. The exact code stays in the table and in the log.
_ONE_AND_THE_SAME = frozenset({FailureCode.BLOCKED, FailureCode.DNS, FailureCode.CONNECT})
_UNREACHABLE = Failure(
    FailureCode.CONNECT,
    "urlsum could not connect to the host of this URL; check that the URL is right and that the host is public",
)
PUBLIC_CODES = tuple(code for code in FailureCode if code not in _ONE_AND_THE_SAME - {FailureCode.CONNECT})

# Why such a thing happens, and what to do about it. The codes that are missing are never shown, see
# _ONE_AND_THE_SAME.
CAUSES = {
    FailureCode.CONNECT: (
        "No host answers there, or it is one that urlsum does not contact: only public addresses are.",
        "Open the URL yourself. If it works for you, submit it again later.",
    ),
    FailureCode.TLS: (
        (
            "The TLS handshake failed: the host's certificate is not valid, the host offers no safe TLS on this port,"
            " it demands a client certificate, or it broke off."
        ),
        "Tell the operators of the host, or use another mirror of the file.",
    ),
    FailureCode.HTTP: (
        (
            "The host answers, but does not hand out the file: the file may have moved, need a login, or still be in"
            " preparation, or the host may be overloaded."
        ),
        "Open the URL in a private window of your browser. If it works there, submit it again later.",
    ),
    FailureCode.PROTOCOL: (
        "The host's response breaks the rules of HTTP, so nothing proves which bytes are those of the file.",
        "Tell the operators of the host, or use another mirror of the file.",
    ),
    FailureCode.INCOMPLETE: (
        (
            "The file did not arrive whole, each time that urlsum tried: the connection was cut, or the host reported"
            " an error after the last byte."
        ),
        "Submit the URL again later, or use another mirror of the file.",
    ),
    FailureCode.CHANGED: (
        "The file was replaced while urlsum read it, so no MD5 would be that of one whole version.",
        "Submit the URL again when nobody writes to the file any more.",
    ),
    FailureCode.TIMEOUT: (
        "The host sends nothing, or too slowly to come to an end.",
        "Submit the URL again later, or use another mirror of the file.",
    ),
    FailureCode.TOO_LARGE: (
        "The file is longer than this service reads.",
        "Ask the operators of this service for a higher limit, or run urlsum yourself.",
    ),
    FailureCode.REDIRECTS: (
        "The host sends too many redirects, or a redirect that leads nowhere.",
        "If your browser reaches the file, submit the URL at which it ends up. If not, tell the operators of the host.",
    ),
    FailureCode.UNVERIFIABLE: (
        "The host does not say how long the file is, so that a cut connection looks like the end of it.",
        "Use another mirror of the file, or another URL of it that gives its length.",
    ),
    FailureCode.INTERNAL: (
        "Something is wrong with this service, not with the file.",
        "Submit the URL again later. If it fails again, send the task's id to the operators of this service.",
    ),
}

# Whatever may be an address, with or without brackets; ip_address() then says whether it is one.
_ADDRESS_LIKE = re.compile(
    r"(?<![\w.:])\[?([0-9A-Fa-f:]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*|\d{1,3}(?:\.\d{1,3}){3})\]?(?!\w)"
)


def public_failure(failure: Failure, url: str) -> Failure:
    """``failure`` of the task for ``url`` as its owner, or anybody who knows the id, may read it.

    One wording covers whatever would tell a port scanner more; no message names an address that a host resolved
    to, only one that is the host of ``url`` itself; every message is one line of at most ``MESSAGE_LIMIT`` characters.
    """
    if failure.code in _ONE_AND_THE_SAME:
        return _UNREACHABLE
    told = urlsplit(url).hostname

    def hide(match: re.Match[str]) -> str:
        # A sentence may end right after the address.
        candidate = match[1].rstrip(".")
        if candidate == told or not _is_address(candidate):
            return match[0]
        return "(address)" + match[1][len(candidate) :]

    return Failure(failure.code, one_line(_ADDRESS_LIKE.sub(hide, failure.message)))


def one_line(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """``text`` as one line of printable characters, at most ``limit`` of them.

    Line breaks, control and bidirectional characters and lone surrogates could forge a second line of a log or
    a mail, or could not be encoded at all.
    """
    shown = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
