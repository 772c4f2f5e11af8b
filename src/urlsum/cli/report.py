"""What the command prints of each file: a line of md5sum, a verdict of ``md5sum -c``, or an object in JSON."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from msgspec.structs import asdict

from urlsum.cli import console
from urlsum.text import md5sum
from urlsum.text.format import human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from urlsum.cli.options import Options
    from urlsum.cli.outcome import HashRequest, Outcome, Version

# The server has no such file: RFC 9110, 15.5.5 and 15.5.11.
_MISSING = re.compile(r"\bstatus (?:404|410)\b")
MINUTE_SECONDS = 60
HOUR_SECONDS = 3600


class Report:
    """Prints outcomes to ``file``, standard output by default, and counts them."""

    def __init__(
        self, options: Options, file: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._options = options
        self._file = file
        self._clock = clock
        self._began = clock()
        self._bytes = 0
        self.ok = self.unread = self.different = self.missing = 0

    @property
    def failed(self) -> int:
        """How many files were not read, or do not match."""
        return self.unread + self.different

    def add(self, hash_request: HashRequest, outcome: Outcome) -> bool:
        """Print the outcome; whether it is a digest and, with an expected one, the right one."""
        if outcome.link is not None:
            self._print_link(outcome.url, outcome.link)
            return True
        self._bytes += outcome.size or 0
        if self._options.ignore_missing and is_missing(outcome):
            self.missing += 1
            return True
        matches = outcome.md5 is not None and hash_request.md5 in (None, outcome.md5)
        self.ok += matches
        self.unread += outcome.md5 is None
        self.different += outcome.md5 is not None and not matches
        if self._options.json:
            if self._options.status or (self._options.quiet and matches):
                return matches
            self._print(json.dumps(_object(hash_request, outcome), ensure_ascii=False))
        elif self._options.check:
            self._print_verdict(hash_request, outcome, matches=matches)
        else:
            self._print_digest(hash_request, outcome, matches=matches)
        return matches

    def end(self) -> None:
        """Print the counts of a run of several files as a message."""
        count = self.ok + self.failed + self.missing
        if count <= 1 or self._options.quiet or self._options.status:
            return
        verdicts = [f"{self.ok} OK"] if self.ok else []
        verdicts += [f"{self.failed} FAILED"] if self.failed else []
        verdicts += [f"{self.missing} missing"] if self.missing else []
        seconds = self._clock() - self._began
        console.tell(f"{count} files, {human_bytes(self._bytes)} in {_duration(seconds)}: {', '.join(verdicts)}")

    def _print_link(self, url: str, link: str) -> None:
        if self._options.json:
            self._print(json.dumps({"url": url, "id": link.rpartition("=")[2], "link": link}, ensure_ascii=False))
        else:
            self._print(link)

    def _print_digest(self, hash_request: HashRequest, outcome: Outcome, *, matches: bool) -> None:
        if outcome.md5 is None:
            console.failure(outcome.url, outcome.code, outcome.message)
            return
        self._print(self._line(outcome.md5, outcome.url))
        if not matches:
            self._mismatch(hash_request, outcome)
        console.notes(outcome.url, outcome.notes)

    def _print_verdict(self, hash_request: HashRequest, outcome: Outcome, *, matches: bool) -> None:
        verdict = "OK" if matches else "FAILED" if outcome.md5 else "FAILED open or read"
        if outcome.md5 is None:
            console.failure(outcome.url, outcome.code, outcome.message)
        if self._options.status:
            return
        if not (self._options.quiet and matches):
            self._print(f"{console.printable(hash_request.url)}: {verdict}")
        if outcome.md5 is not None and not matches:
            self._mismatch(hash_request, outcome)
        console.notes(outcome.url, outcome.notes)

    @staticmethod
    def _mismatch(hash_request: HashRequest, outcome: Outcome) -> None:
        console.tell(f"{console.printable(outcome.url)}: the MD5 is {outcome.md5}, not {hash_request.md5}")

    def _line(self, md5: str, url: str) -> str:
        name, mark = shown_name(url, self._options.name), ""
        if self._options.name != "url" and not self._options.zero:
            # A URL has nothing to escape.
            line = md5sum.line(md5, name).removesuffix("\n")
            mark, name = line[: line.index(md5)], line.partition("  ")[2]
        if self._options.tag:
            return f"{mark}MD5 ({name}) = {md5}"
        return f"{mark}{md5} {'*' if self._options.binary else ' '}{name}"

    def _print(self, line: str) -> None:
        console.out(line, end="\0" if self._options.zero else "\n", file=self._file)


def is_missing(outcome: Outcome) -> bool:
    """Whether the server says that it has no such file."""
    return outcome.md5 is None and outcome.code == "http" and bool(_MISSING.search(outcome.message))


def shown_name(url: str, kind: str) -> str:
    """How a line names the file at ``url``: by its URL, by its base name, or by its path without the host.

    >>> shown_name("https://host/d/a%20b.bam?v=2", "base"), shown_name("https://host/d/a%20b.bam?v=2", "path")
    ('a b.bam', 'd/a b.bam')
    """
    if kind == "url":
        return url
    base = md5sum.name_of(url)
    if kind == "base":
        return base
    folders = urlsplit(url).path.strip("/").split("/")[:-1]
    # Such a part would lead out of the folder in which the list is checked.
    decoded = [unquote(folder) for folder in folders]
    safe = all(part not in ("", ".", "..") and "/" not in part and part.isprintable() for part in decoded)
    return "/".join([*(decoded if safe else folders), base])


def _object(hash_request: HashRequest, outcome: Outcome) -> dict[str, Any]:
    version = None if outcome.version is None else _version(outcome.version)
    values: dict[str, Any] = {
        "url": outcome.url,
        "final_url": outcome.final_url,
        "name": outcome.name,
        "content_type": outcome.content_type,
        "etag": version and version["etag"],
        "last_modified": version and version["last_modified"],
        "md5": outcome.md5,
        "size": outcome.size,
        "version": version,
        "seconds": outcome.seconds,
        "attempts": outcome.attempts,
        "notes": [asdict(note) for note in outcome.notes],
        "error": None if outcome.md5 else {"code": outcome.code, "message": outcome.message},
    }
    if hash_request.md5 is not None:
        values |= {"expected_md5": hash_request.md5}
        values |= {"match": outcome.md5 == hash_request.md5} if outcome.md5 else {}
    return values


def _version(version: Version) -> dict[str, Any]:
    """As in the API: the date as in RFC 3339, in whole seconds."""
    from datetime import UTC, datetime  # noqa: PLC0415 - 1 ms of the start, which only JSON needs

    modified = version.last_modified
    date = None if modified is None else datetime.fromtimestamp(int(modified), UTC).isoformat().replace("+00:00", "Z")
    return {"etag": version.etag, "last_modified": date, "proof": version.proof}


def _duration(seconds: float) -> str:
    """``seconds`` in the units that a person would say.

    >>> _duration(0.84), _duration(41.2), _duration(130), _duration(7300)
    ('0.8 s', '41 s', '2 min 10 s', '2 h 1 min')
    """
    if seconds < 9.95:  # noqa: PLR2004 - one decimal would round more up to 10.0
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < MINUTE_SECONDS:
        return f"{whole} s"
    if whole < HOUR_SECONDS:
        return f"{whole // MINUTE_SECONDS} min {whole % MINUTE_SECONDS} s"
    return f"{whole // HOUR_SECONDS} h {whole % HOUR_SECONDS // MINUTE_SECONDS} min"
