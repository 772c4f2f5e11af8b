"""The arguments of the command."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from urlsum import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

# The maximum of the setting CONNECTIONS_PER_ORIGIN.
MOST_CONNECTIONS = 64

DESCRIPTION = """\
Print the MD5 of files on the internet, without storing them: each is streamed into MD5, over several connections
where that is faster. Broken connections resume where they left off."""

EPILOG = """\
examples:
  urlsum https://example.org/a.bam                  print "<md5>  https://example.org/a.bam", as md5sum does
  urlsum https://example.org/a https://example.org/b > MD5SUMS
  urlsum -c MD5SUMS                                 verify each line of that file
  urlsum --state a.state https://example.org/a.bam  can be interrupted; the same command resumes it
  urlsum --server https://urlsum.example.net URL    let a urlsum service read the file

lines of a list (-c), in UTF-8, or in UTF-16 or UTF-32 with a byte-order mark:
  <md5>  URL    <md5> *URL    MD5 (URL) = <md5>    MD5(URL)= <md5>
  Blanks around the URL do not count. Empty lines and lines that begin with # are comments. A line with another digest
  (SHA-256, base64), with a URL but no MD5, or with a name that is not a URL cannot be verified: exit status 1. Any
  other line is improperly formatted: as with md5sum, a warning reports it, and the exit status is 1 only with --strict.
  These warnings name the list and the line numbers. --status does not suppress them.

exit status:
  0    every file was hashed and, with -c, matches its line; warnings name the ignored lines
  1    some file could not be hashed, does not match, or has a line that cannot be verified
  2    the arguments, a setting or the state file cannot be used; nothing was read
  130  interrupted (143 by SIGTERM)

settings (environment, or a .env file here):
  ALLOWED_NETWORKS   networks, besides the public internet, that urlsum may connect to, like
                     127.0.0.0/8,::1/128; none by default
  ALLOWED_PORTS      ports of public hosts that urlsum may connect to; 80,443,8080,8443 by default
  SSL_CERT_FILE      certificates of private authorities, besides those of the system; also for --server, where it
                     takes precedence over REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE
  MAX_ATTEMPTS       attempts without progress before urlsum gives up; 1 disables retries
  CONNECT_TIMEOUT, READ_TIMEOUT, MIN_BYTES_PER_SECOND, MAX_BYTES, …: the README lists them all
"""


@dataclass(frozen=True, slots=True)
class Options:
    """The parsed arguments. ``names`` are URLs or, with ``check``, checksum files."""

    names: Sequence[str]
    check: bool
    quiet: bool
    status: bool
    strict: bool
    warn: bool
    connections: int | None
    state: Path | None
    server: str | None


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Parse the command line. Exits with status 2 and a message if it is invalid."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.check:
        if not options.names:
            parser.error("give at least one URL, or -c and a file of checksums (urlsum --help shows examples)")
        for name in ("quiet", "status", "strict", "warn"):
            if getattr(options, name):
                parser.error(f"--{name} only works with -c")
    if options.state is not None and (options.check or len(options.names) != 1):
        parser.error("--state saves the progress of one file: give exactly one URL and no -c")
    if options.server is not None and (options.state is not None or options.connections is not None):
        parser.error("--state and --connections only affect hashing on this machine; a service has settings of its own")
    return Options(**vars(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="urlsum",
        usage="urlsum [options] URL...\n       urlsum [options] -c [FILE...]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # an abbreviation in a script breaks when an option is added
    )
    parser.add_argument("names", nargs="*", metavar="URL", help="a file to hash (http or https)")
    parser.add_argument(
        "-c",
        "--check",
        action="store_true",
        help="read checksums from the FILEs and verify them; with no FILE, or when FILE is -, read standard input",
    )
    parser.add_argument("--quiet", action="store_true", help="with -c, do not print OK lines")
    parser.add_argument(
        "--status", action="store_true", help="with -c, print no verdicts; the exit status alone shows the result"
    )
    parser.add_argument(
        "--strict", action="store_true", help="with -c, exit with 1 also for improperly formatted lines (see below)"
    )
    parser.add_argument(
        "-w",
        "--warn",
        action="store_true",
        help="with -c, report each improperly formatted line and what is wrong with it",
    )
    parser.add_argument(
        "--connections",
        type=_connections,
        metavar="N",
        help="use at most N connections at once (default: the setting CONNECTIONS_PER_ORIGIN, 8)",
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="save progress in FILE and resume from it; deleted when done",
    )
    parser.add_argument(
        "--server", type=_server, metavar="URL", help="submit to the urlsum service at URL and wait for its result"
    )
    parser.add_argument("--version", action="version", version=f"urlsum {__version__}")
    return parser


def _connections(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_CONNECTIONS:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to {MOST_CONNECTIONS}, not {text!r}")
    return int(text)


def _server(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"expected the URL of a service, like https://host, not {text!r}")
    return text.rstrip("/")
