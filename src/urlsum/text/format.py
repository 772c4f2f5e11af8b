"""Formats numbers and URLs in messages for people."""

from __future__ import annotations

from urlsum.text.signed_url import public_path

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
    """``url`` for a message: bounded, and without its query and fragment, which hold the secrets of signed URLs.

    >>> shown_url("https://host/a.bam?X-Signature=secret"), shown_url("https://host/a.bam#token=secret")
    ('https://host/a.bam?…', 'https://host/a.bam')
    """
    path, mark, _ = url.partition("#")[0].partition("?")
    path = public_path(path)
    if len(path) > SHOWN_URL_CHARACTERS:
        return path[:SHOWN_URL_CHARACTERS] + "…"
    return path + "?…" if mark else path


def human_seconds(count: int) -> str:
    """``count`` seconds in the largest unit of which there are two, rounded up: nobody comes back too early.

    >>> human_seconds(1), human_seconds(119), human_seconds(121), human_seconds(86400)
    ('1 second', '119 seconds', '3 minutes', '24 hours')
    """
    units = (("hour", 3600), ("minute", 60))
    unit, length = next(((unit, length) for unit, length in units if count >= 2 * length), ("second", 1))
    amount = -(-count // length)
    return f"{amount} {unit}{'' if amount == 1 else 's'}"
