"""The command ``urlsum``: arguments → a hasher → lines, and an exit status."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from urlsum.cli import console, interrupt, options
from urlsum.cli.outcome import Wanted
from urlsum.errors import InvalidUrl, SettingsError, StateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from urlsum.cli.options import Options
    from urlsum.cli.outcome import Hasher
    from urlsum.settings import Settings

OK, FAILED, MISUSED = 0, 1, 2
# What shells report of a process that a signal ended; SIGPIPE is 13.
SIGNALLED = 128
BROKEN_PIPE = SIGNALLED + 13


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    asked = options.parse(arguments)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # text files both, as Python starts
    logging.basicConfig(format="urlsum: %(message)s", level=logging.WARNING)
    try:
        with interrupt.Stop() as stop:
            return _run(asked, stop)
    except interrupt.Interrupted as exc:
        return SIGNALLED + exc.signum  # before there was anything to keep
    except (SettingsError, StateError, InvalidUrl) as exc:
        console.tell(str(exc))
        return MISUSED
    except console.OutputLost as exc:
        # Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if exc.unread:
            return BROKEN_PIPE
        console.tell(str(exc))
        return FAILED


def _run(asked: Options, stop: interrupt.Stop) -> int:
    # Not before the arguments are known to make sense: --help and a typo need not wait for what hashing imports.
    from msgspec import structs  # noqa: PLC0415

    from urlsum import settings  # noqa: PLC0415
    from urlsum.cli import verify  # noqa: PLC0415

    loaded = settings.load()
    if asked.connections is not None:
        loaded = structs.replace(loaded, connections_per_origin=asked.connections)
    wanted = [] if asked.check else _wanted(asked.names)
    hasher = _hasher(asked, loaded, stop)
    try:
        done = verify.verify(asked.names, hasher, asked) if asked.check else _print(wanted, hasher)
    except interrupt.Interrupted as exc:
        console.tell(f"interrupted; {hasher.how_to_go_on()}")
        return SIGNALLED + exc.signum
    return OK if done else FAILED


def _wanted(urls: Sequence[str]) -> list[Wanted]:
    """All URLs, once all are known to be URLs: a typo in the last one shows before the first is read.

    Raises InvalidUrl.
    """
    from urlsum.origin.guard.url import parse  # noqa: PLC0415 - as above

    for url in urls:
        try:
            parse(url)
        except InvalidUrl as exc:
            raise InvalidUrl(f"{console.printable(url)}: {exc}") from exc
    return [Wanted(url) for url in urls]


def _hasher(asked: Options, loaded: Settings, stop: interrupt.Stop) -> Hasher:
    from urlsum.cli.progress import meter  # noqa: PLC0415 - as above

    if asked.server is not None:
        from urlsum.cli.remote import RemoteHasher  # noqa: PLC0415 - brings requests

        return RemoteHasher(asked.server, loaded, meter=meter())
    from urlsum.cli.local import LocalHasher  # noqa: PLC0415 - as above

    return LocalHasher(loaded, stop=stop, meter=meter(), state=asked.state)


def _print(wanted: Sequence[Wanted], hasher: Hasher) -> bool:
    done = True
    for outcome in hasher.digests(wanted):
        if outcome.md5 is None:
            console.failure(outcome.url, outcome.code, outcome.message)
            done = False
        else:
            console.out(f"{outcome.md5}  {outcome.url}")
            console.notes(outcome.url, outcome.notes)
    return done


if __name__ == "__main__":
    sys.exit(main())
