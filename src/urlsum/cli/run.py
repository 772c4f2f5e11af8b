"""One run of the command: reads lists, runs a hasher, prints what it finds, and returns an exit status."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from urlsum.cli import console, interrupt
from urlsum.cli.outcome import HashRequest
from urlsum.errors import InvalidUrl, SettingsError, StateError, one_line
from urlsum.text.expected_md5 import NotMd5

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from urlsum.cli.lists import Fetch
    from urlsum.cli.local import LocalHasher
    from urlsum.cli.options import Options
    from urlsum.cli.outcome import Hasher
    from urlsum.settings import Settings
    from urlsum.worker.source import Source

OK, FAILED, MISUSED = 0, 1, 2
# Of what is no URL: a line of a binary file may have thousands.
SHOWN_URL_CHARACTERS = 200
# Shells report 128 plus the number of the signal that ended a process; SIGPIPE is 13.
SIGNALLED = 128
BROKEN_PIPE = SIGNALLED + 13


def run(options: Options) -> int:
    """Run the command and return its exit status."""
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
    # Imported where they are needed: no run needs all of them, and a person waits for the command to start.
    from urlsum.cli.report import Report  # noqa: PLC0415
    from urlsum.cli.verify import FirstFailure, hash_all, verify  # noqa: PLC0415

    loaded = _settings(options)
    if options.cancel is not None:
        return _cancel(options, loaded)
    if options.compare:
        return _compare(options, loaded, stop)
    hasher, fetch = _hasher(options, loaded, stop)
    hash_requests = [] if options.check else _hash_requests(options, fetch)
    with _opened(options) as file:
        report = Report(options, file)
        try:
            if options.check:
                good = verify(options.names, hasher, report, options, fetch)
            else:
                good = hash_all(hash_requests, hasher, report, fail_fast=options.fail_fast)
        except FirstFailure:
            return FAILED  # the results stay for the same command, once the cause is gone
        except interrupt.Interrupted as exc:
            console.tell(f"interrupted; {hasher.resume_hint()}")
            return SIGNALLED + exc.signum
        report.end()
    hasher.finish()
    return OK if good else FAILED


def _settings(options: Options) -> Settings:
    from msgspec import structs  # noqa: PLC0415 - as above

    from urlsum.cli import environment  # noqa: PLC0415 - as above

    changed: dict[str, object] = {}
    if options.connections is not None:
        changed["connections_per_origin"] = options.connections
    if options.retries is not None:
        changed["max_attempts"] = options.retries + 1
    return structs.replace(environment.load(), **changed)


def _hash_requests(options: Options, fetch: Fetch) -> list[HashRequest]:
    """One request for each URL. All are parsed first: a typo in the last one shows before the first file is read.

    Raises InvalidUrl, and SettingsError for a list that cannot be read.
    """
    hash_requests = []
    for url in options.names:
        try:
            hash_requests.append(_hash_request(url, options.md5))
        except InvalidUrl as exc:
            raise InvalidUrl(exc.reason, _of_list(url)) from exc
    for name in options.inputs:
        from urlsum.cli import lists  # noqa: PLC0415 - as above

        try:
            urls = lists.read_urls(name, fetch=fetch)
            if not urls:
                console.tell(f"{lists.shown_name(name)}: no URLs found")
            for number, url in urls:
                try:
                    hash_requests.append(_hash_request(url))
                except InvalidUrl as exc:
                    hint = "urlsum -c verifies lists of checksums" if lists.has_checksum(url) else ""
                    raise InvalidUrl(f"{lists.shown_name(name)}: {number}: {exc.reason}", hint) from exc
        except OSError as exc:
            raise SettingsError(f"{lists.shown_name(name)}: {exc.strerror}") from exc
    return hash_requests


def _hash_request(url: str, md5: str | None = None) -> HashRequest:
    """The request for ``url``. Raises InvalidUrl."""
    from urlsum.origin.guard.url import parse  # noqa: PLC0415 - as above

    try:
        hash_request = HashRequest.of(url, md5)
        parse(hash_request.url)
    except (InvalidUrl, NotMd5) as exc:
        raise InvalidUrl(f"{one_line(url, SHOWN_URL_CHARACTERS)}: {exc}") from exc
    return hash_request


def _of_list(url: str) -> str:
    """Advice on ``url``, which is none, if it is a list."""
    if url == "-":
        return "urlsum -i - reads URLs from standard input"
    # Not that of a URL with a slip, which is no name of a file here.
    return "urlsum -i FILE reads URLs from a file, urlsum -c FILE verifies a list" if os.path.isfile(url) else ""  # noqa: PTH113 - Path refuses NUL


def _hasher(options: Options, loaded: Settings, stop: interrupt.Stop) -> tuple[Hasher, Fetch]:
    """What computes the digests, and what reads lists from the web."""
    from urlsum.cli.progress import meter  # noqa: PLC0415 - as above

    local = _local_hasher(options, loaded, stop)

    def read_list(url: str) -> bytes:
        from urlsum.cli.fetch import fetch  # noqa: PLC0415 - as above

        return fetch(url, local.http, loaded)

    if options.server is None:
        return local, read_list
    from urlsum.cli.remote import RemoteHasher  # noqa: PLC0415 - imports requests

    remote = RemoteHasher(
        options.server,
        loaded,
        meter=meter(),
        email=options.email,
        wait=not options.no_wait,
        use_netrc=options.netrc,
    )
    return remote, read_list


def _local_hasher(
    options: Options, loaded: Settings, stop: interrupt.Stop, source: Source | None = None
) -> LocalHasher:
    from urlsum.cli.access import CommandAccess  # noqa: PLC0415 - as above
    from urlsum.cli.local import LocalHasher, LocalOptions  # noqa: PLC0415 - as above
    from urlsum.cli.progress import meter  # noqa: PLC0415 - as above
    from urlsum.cli.state import StateDirectory, default_directory  # noqa: PLC0415 - as above

    directory = None if options.no_state or options.state or options.compare else default_directory(os.environ)
    access = CommandAccess(options.headers, os.environ, use_netrc=options.netrc)
    if options.server is None:
        access.admit([*options.names, *options.inputs])
    reading = LocalOptions(
        allow_private=options.allow_private,
        at_once=options.jobs,
        patient=options.retries is not None,
        state=options.state,
        states=StateDirectory(directory) if directory else None,
        access=access,
    )
    return LocalHasher(loaded, reading, stop=stop, meter=meter(), source=source)


def _compare(options: Options, loaded: Settings, stop: interrupt.Stop) -> int:
    """The exit status of cmp: 0 for the same, 1 for different, 2 for what cannot be read."""
    from urlsum.cli import compare  # noqa: PLC0415 - as above

    url, name = options.names
    try:
        hash_request, path = _hash_request(url), Path(name)
    except InvalidUrl as exc:
        hint = "the URL comes first: urlsum compare URL FILE" if name.startswith(("http://", "https://")) else ""
        raise InvalidUrl(exc.reason, hint) from exc
    local = _local_hasher(options, loaded, stop)
    try:
        with compare.LocalFile(path) as file:
            compare.compare_spots(hash_request.url, file, local.http)
            hasher = _local_hasher(options, loaded, stop, compare.Comparing(local.http, file))
            (outcome,) = hasher.digests([hash_request])
    except compare.Differs as exc:
        if not options.status:
            console.out(f"{console.printable(hash_request.url)}: differs: {exc}")
        return FAILED
    except compare.LocalUnreadable as exc:
        console.tell(str(exc))
        return MISUSED
    except interrupt.Interrupted as exc:
        console.tell("interrupted; up to there no difference was found")
        return SIGNALLED + exc.signum
    if outcome.md5 is None:
        console.failure(outcome.url, outcome.code, outcome.message)
        return MISUSED
    if not (options.quiet or options.status):
        console.out(f"{console.printable(hash_request.url)}: the same as {console.printable(str(path))}: {outcome.md5}")
    console.notes(outcome.url, outcome.notes)
    return OK


def _cancel(options: Options, loaded: Settings) -> int:
    from urlsum.cli.progress import NoMeter  # noqa: PLC0415 - as above
    from urlsum.cli.remote import RemoteHasher  # noqa: PLC0415 - imports requests

    remote = RemoteHasher(options.server or "", loaded, meter=NoMeter(), use_netrc=options.netrc)
    outcome = remote.cancel(options.cancel or "")
    if outcome.code:
        console.failure(outcome.url, outcome.code, outcome.message)
        return FAILED
    console.tell(f"{console.printable(outcome.url)}: cancelled")
    return OK


@contextmanager
def _opened(options: Options) -> Iterator[TextIO | None]:
    """The file of --output. Raises SettingsError."""
    if options.output is None:
        yield None
        return
    try:
        file = options.output.open("w", encoding="utf-8", errors="surrogateescape")
    except OSError as exc:
        raise SettingsError(f"{console.printable(str(options.output))}: {exc.strerror}") from exc
    try:
        yield file
    finally:
        with suppress(OSError):  # each line was flushed, or its error reported
            file.close()
