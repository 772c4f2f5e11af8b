"""Formats numbers and URLs in messages for people."""

from __future__ import annotations

UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
# Enough for a usual URL. A message must stay readable, and fit a table item, even if the URL is 8 KB long.
SHOWN_URL_CHARACTERS = 200


def human_bytes(count: int) -> str:
    """``count`` bytes in binary units with one decimal, as ``ls -h`` and most people write it.

    >>> human_bytes(999), human_bytes(13314398618)
    ('999 B', '12.4 GiB')
    """
    if count < 1024:  # noqa: PLR2004 - the definition of KiB
        return f"{count} B"
    amount, unit = float(count), ""
    for unit in UNITS:  # noqa: B007 - the unit reached is the result
        amount /= 1024
        if amount < 1023.95:  # noqa: PLR2004 - one decimal would round more up to 1024.0
            break
    return f"{amount:.1f} {unit}"


def shown_url(url: str) -> str:
    """``url`` for a message: bounded, and without its query, which holds the secrets of signed URLs.

    >>> shown_url("https://host/a.bam?X-Signature=secret")
    'https://host/a.bam?…'
    """
    path, mark, _ = url.partition("?")
    if len(path) > SHOWN_URL_CHARACTERS:
        return path[:SHOWN_URL_CHARACTERS] + "…"
    return path + "?…" if mark else path
