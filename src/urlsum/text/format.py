"""How numbers and URLs are written in messages for people."""

from __future__ import annotations

UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
# Room for a usual URL; a message must stay readable, and fit a table item, when the URL is 8 KB long.
SHOWN_URL_CHARACTERS = 200


def human_bytes(count: int) -> str:
    """``count`` bytes in binary units with one decimal, as ``ls -h`` and most people write it.

    >>> human_bytes(999), human_bytes(13314398618)
    ('999 B', '12.4 GiB')
    """
    if count < 1024:  # noqa: PLR2004 - the very definition of KiB
        return f"{count} B"
    amount, unit = float(count), ""
    for unit in UNITS:  # noqa: B007 - the unit reached is the result
        amount /= 1024
        if amount < 1023.95:  # noqa: PLR2004 - what one decimal would round up to 1024.0
            break
    return f"{amount:.1f} {unit}"


def shown_url(url: str) -> str:
    """``url`` for a message: without its query, where signed URLs keep their secrets, and not too long.

    >>> shown_url("https://host/a.bam?X-Signature=secret")
    'https://host/a.bam?…'
    """
    path, mark, _ = url.partition("?")
    if len(path) > SHOWN_URL_CHARACTERS:
        return path[:SHOWN_URL_CHARACTERS] + "…"
    return path + "?…" if mark else path
