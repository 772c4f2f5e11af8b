"""The port to the deployment's secret, and what is derived from it; each adapter beside it keeps it in one place.

The secret is the key of the HMACs by which urlsum recognises what it issued itself: the ids of repeated submissions
and the links in emails. It is made at first use, and all processes of a deployment have the same.
"""

from __future__ import annotations

import hmac
import json
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    # Calling it returns the secret, from the store only the first time. Raises TableUnavailable.
    Secret = Callable[[], bytes]

# As long as SHA-256's output: RFC 2104, 3 discourages less, and more adds nothing.
SECRET_BYTES = 32


def new() -> str:
    """A new secret, as printable text."""
    return secrets.token_urlsafe(SECRET_BYTES)


def authenticate(secret: Secret, purpose: str, *parts: str | None) -> bytes:
    """The HMAC-SHA-256 (RFC 2104) of ``parts``, 32 bytes that only this deployment can make.

    Nothing made for one ``purpose`` is valid for another, and no two lists of parts are the same message.
    """
    return hmac.digest(secret(), json.dumps([purpose, *parts]).encode(), "sha256")
