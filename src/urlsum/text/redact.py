"""Redacts failures and texts for strangers, who read them in responses, on pages and in emails."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from urlsum.errors import MESSAGE_LIMIT, FailureCode, one_line
from urlsum.task import Failure

__all__ = ["CAUSES", "MESSAGE_LIMIT", "PUBLIC_CODES", "one_line", "public_failure"]

# These three would reveal hosts and ports of a network that only this service can reach (SSRF), so the public sees one
# code for all. The exact code stays in the table and in the log.
_ONE_AND_THE_SAME = frozenset({FailureCode.BLOCKED, FailureCode.DNS, FailureCode.CONNECT})
_UNREACHABLE = Failure(
    FailureCode.CONNECT,
    "urlsum could not connect to the host of this URL; check that the URL is right and that the host is public",
)
PUBLIC_CODES = tuple(code for code in FailureCode if code not in _ONE_AND_THE_SAME - {FailureCode.CONNECT})

# Cause and advice per code. The public never sees the missing codes, see _ONE_AND_THE_SAME.
CAUSES = {
    FailureCode.CONNECT: (
        "No host answers there, or the host is not public: urlsum connects to public hosts only.",
        "Open the URL yourself. If it works for you, submit it again later.",
    ),
    FailureCode.TLS: (
        (
            "The TLS handshake failed: the server's certificate is not valid, or the server offers no secure TLS on"
            " this port, requires a client certificate, or broke off the connection."
        ),
        "Tell the operators of the server, or use another mirror of the file.",
    ),
    FailureCode.HTTP: (
        (
            "The server responds, but does not deliver the file: the file may have moved, require a login, or still be"
            " in preparation, or the server may be overloaded."
        ),
        "Open the URL in a private window of your browser. If it works there, submit it again later.",
    ),
    FailureCode.PROTOCOL: (
        "The server's response violates HTTP, so nothing proves which bytes belong to the file.",
        "Tell the operators of the server, or use another mirror of the file.",
    ),
    FailureCode.INCOMPLETE: (
        (
            "The file did not arrive completely in any of urlsum's attempts: the connection was cut, or the server"
            " reported an error after the last byte."
        ),
        "Submit the URL again later, or use another mirror of the file.",
    ),
    FailureCode.CHANGED: (
        "The file was replaced while urlsum was reading it, so no MD5 would belong to one complete version.",
        "Submit the URL again when the file is no longer being written.",
    ),
    FailureCode.TIMEOUT: (
        "The server sends nothing, or sends too slowly to finish.",
        "Submit the URL again later, or use another mirror of the file.",
    ),
    FailureCode.TOO_LARGE: (
        "The file is larger than this service allows.",
        "Ask the operators of this service for a higher limit, or run urlsum yourself.",
    ),
    FailureCode.REDIRECTS: (
        "The server sends too many redirects, or a redirect that leads nowhere.",
        "If your browser reaches the file, submit the URL where it ends up. If not, tell the operators of the server.",
    ),
    FailureCode.UNVERIFIABLE: (
        "The server does not state the length of the file, so a cut connection would look like its end.",
        "Use another mirror of the file, or a URL that states its length.",
    ),
    FailureCode.INTERNAL: (
        "Something is wrong with this service, not with the file.",
        "Submit the URL again later. If it fails again, send the task's id to the operators of this service.",
    ),
}

# Matches possible addresses, with or without brackets; ip_address() then decides.
_ADDRESS_LIKE = re.compile(
    r"(?<![\w.:])\[?([0-9A-Fa-f:]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*|\d{1,3}(?:\.\d{1,3}){3})\]?(?!\w)"
)


def public_failure(failure: Failure, url: str) -> Failure:
    """``failure`` of the task for ``url``, redacted for its owner and for anybody who knows the id.

    One wording covers all failures that would help a port scanner. A message names no resolved address, only an address
    that is the host of ``url`` itself. Every message is one line of at most ``MESSAGE_LIMIT`` characters.
    """
    if failure.code in _ONE_AND_THE_SAME:
        return _UNREACHABLE
    submitted_host = urlsplit(url).hostname

    def hide(match: re.Match[str]) -> str:
        # A sentence may end right after the address.
        candidate = match[1].rstrip(".")
        if candidate == submitted_host or not _is_address(candidate):
            return match[0]
        return "(address)" + match[1][len(candidate) :]

    return Failure(failure.code, one_line(_ADDRESS_LIKE.sub(hide, failure.message)))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
