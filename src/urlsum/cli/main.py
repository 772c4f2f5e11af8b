"""The command ``urlsum``: parses the arguments, runs a hasher, prints lines, and returns an exit status."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from urlsum.cli import console, interrupt
from urlsum.cli.options import parse as parse_options
from urlsum.cli.outcome import HashRequest
from urlsum.errors import InvalidUrl, SettingsError, StateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from urlsum.cli.options import Options
    from urlsum.cli.outcome import Hasher
    from urlsum.settings import Settings

OK, FAILED, MISUSED = 0, 1, 2
# Shells report 128 plus the number of the signal that ended a process; SIGPIPE is 13.
SIGNALLED = 128
BROKEN_PIPE = SIGNALLED + 13


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = parse_options(arguments)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # both are text files when Python starts
    logging.basicConfig(format="urlsum: %(message)s", level=logging.WARNING)
    try:
        with interrupt.Stop() as stop:
            return _run(options, stop)
    except interrupt.Interrupted as exc:
        return SIGNALLED + exc.signum  # no progress yet, so no hint
    except (SettingsError, StateError, InvalidUrl) as exc:
        console.tell(str(exc))
        return MISUSED
    except console.OutputLost as exc:
        # Otherwise Python would report the error again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if exc.unread:
            return BROKEN_PIPE
        console.tell(str(exc))
        return FAILED


def _run(options: Options, stop: interrupt.Stop) -> int:
    # Imported after the arguments are valid: --help and a typo need not wait for the imports of hashing.
    from msgspec import structs  # noqa: PLC0415

    from urlsum import settings  # noqa: PLC0415
    from urlsum.cli import verify  # noqa: PLC0415

    loaded = settings.load()
    if options.connections is not None:
        loaded = structs.replace(loaded, connections_per_origin=options.connections)
    hash_requests = [] if options.check else _hash_requests(options.names)
    hasher = _hasher(options, loaded, stop)
    try:
        done = verify.verify(options.names, hasher, options) if options.check else _print(hash_requests, hasher)
    except interrupt.Interrupted as exc:
        console.tell(f"interrupted; {hasher.resume_hint()}")
        return SIGNALLED + exc.signum
    return OK if done else FAILED


def _hash_requests(urls: Sequence[str]) -> list[HashRequest]:
    """One request for each URL. All are parsed first: a typo in the last one shows before the first file is read.

    Raises InvalidUrl.
    """
    from urlsum.origin.guard.url import parse  # noqa: PLC0415 - as above

    for url in urls:
        try:
            parse(url)
        except InvalidUrl as exc:
            raise InvalidUrl(f"{console.printable(url)}: {exc}") from exc
    return [HashRequest(url) for url in urls]


def _hasher(options: Options, loaded: Settings, stop: interrupt.Stop) -> Hasher:
    from urlsum.cli.progress import meter  # noqa: PLC0415 - as above

    if options.server is not None:
        from urlsum.cli.remote import RemoteHasher  # noqa: PLC0415 - imports requests

        return RemoteHasher(options.server, loaded, meter=meter())
    from urlsum.cli.local import LocalHasher  # noqa: PLC0415 - as above

    return LocalHasher(loaded, stop=stop, meter=meter(), state=options.state)


def _print(hash_requests: Sequence[HashRequest], hasher: Hasher) -> bool:
    done = True
    for outcome in hasher.digests(hash_requests):
        if outcome.md5 is None:
            console.failure(outcome.url, outcome.code, outcome.message)
            done = False
        else:
            console.out(f"{outcome.md5}  {outcome.url}")
            console.notes(outcome.url, outcome.notes)
    return done


if __name__ == "__main__":
    sys.exit(main())
