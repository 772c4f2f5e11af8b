"""The parser of the command line, and its help."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from urlsum import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# The word before a URL and a file to compare.
COMPARE = "compare"
# The maximum of the setting CONNECTIONS_PER_ORIGIN.
MOST_CONNECTIONS = 64
# Files at once: each needs a thread and, on its own origin, a connection.
MOST_JOBS = 64
MOST_RETRIES = 1000
TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
# RFC 9110, 5.1 and 5.5: a token, and visible characters with blanks between them.
FIELD = re.compile(r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(?P<value>[\x21-\x7e]+(?:[ \t]+[\x21-\x7e]+)*)[ \t]*")
# Fields of the client itself, on which its proof of version rests, and those of a connection.
OWN_FIELDS = frozenset(
    {
        *("host", "range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"),
        *("accept-encoding", "connection", "keep-alive", "proxy-connection", "proxy-authorization", "upgrade"),
        *("content-length", "transfer-encoding", "te", "trailer", "expect"),
    }
)

DESCRIPTION = """\
Print the MD5 of files on the internet, without storing them: each is streamed
into MD5, over several connections where that is faster. Broken connections
resume where they left off, and so does an interrupted command that is run
again."""

EPILOG = """\
examples:
  urlsum https://example.org/a.bam
      print "<md5>  https://example.org/a.bam", as md5sum does
  urlsum -j 4 -i urls.txt --name base -o MD5SUMS
      read four files at once; md5sum -c MD5SUMS then verifies copies of them
  urlsum -c MD5SUMS
      verify the URL in each line of that list
  urlsum -c https://example.org/d/MD5SUMS
      the names in that list are files next to it
  urlsum -c gdc_manifest.txt
      also reports of ENA, TsvHttpData-1.0, and tables with URLs and MD5s
  urlsum compare https://example.org/a.bam a.bam
      are they the same? if not, where do they differ?
  urlsum --server https://urlsum.example.net https://example.org/a.bam
      let a urlsum service read the file

lines of a list (-c), in UTF-8, or in UTF-16 or UTF-32 with a byte-order mark:
  <md5>  URL    <md5> *URL    MD5 (URL) = <md5>    MD5(URL)= <md5>
  URL#<md5>     URL#md5=<md5>
  An MD5 may be in base64, or have md5: before it. Blanks around the URL do not
  count. Empty lines and lines that begin with # are comments, and so is
  @EXPLICIT in conda's lists. A line with another digest (SHA-256), with a URL
  but no MD5, or with a name that is not a URL (without --base) cannot be
  verified: exit status 1. Any other line is improperly formatted: as with
  md5sum, a warning reports it, and the exit status is 1 only with --strict.
  These warnings name the list and the line numbers. --status does not suppress
  them.

exit status:
  0    every file was hashed and matches its line (-c) or expected MD5; warnings
       name the ignored lines
  1    some file could not be hashed, does not match, or has a line that cannot
       be verified; with compare: the files differ
  2    the arguments, a setting or the state file cannot be used, and nothing
       was read; with compare: a file could not be read
  130  interrupted (143 by SIGTERM)

settings (environment variables; the command reads no .env file):
  URLSUM_ALLOWED_NETWORKS  networks, besides the public internet, that urlsum
                           may connect to, after a redirect too, like
                           127.0.0.0/8,::1/128; none by default
  URLSUM_ALLOWED_PORTS     ports of public hosts that urlsum may connect to;
                           80,443,8080,8443 by default
  URLSUM_SERVER            the service to ask, as with --server
  URLSUM_API_KEY           the API key for --server, if it gave you one
  URLSUM_MAX_ATTEMPTS      attempts without progress before urlsum gives up
  SSL_CERT_FILE            certificates of private authorities, besides those of
                           the system; also for --server, where it takes
                           precedence over REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE
  XDG_STATE_HOME           progress is saved in its folder urlsum;
                           ~/.local/state by default
  URLSUM_CONNECT_TIMEOUT, URLSUM_READ_TIMEOUT, URLSUM_MIN_BYTES_PER_SECOND,
  URLSUM_MAX_BYTES, …: the README lists them all
"""

USAGE = """\
urlsum [options] URL...
       urlsum [options] -i FILE [URL...]
       urlsum [options] -c [LIST...]
       urlsum [options] compare URL FILE"""


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    made = argparse.ArgumentParser(
        prog="urlsum",
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # an abbreviation in a script breaks when an option is added
    )
    made.add_argument("names", nargs="*", metavar="URL", help="a file to hash (http or https)")
    made.add_argument(
        "-i",
        "--input-file",
        action="append",
        default=[],
        metavar="FILE",
        help="also hash the URLs in FILE, a file or a URL, one a line; - is standard input",
    )
    made.add_argument("--version", action="version", version=f"urlsum {__version__}")
    made.add_argument("--man", action=_Print, nargs=0, help="print the manual page: urlsum --man | man -l -")
    made.add_argument(
        "--completion",
        action=_Print,
        choices=("bash", "fish", "zsh"),
        help="print the completions for this shell, for the folder that it reads them from",
    )
    _add_verifying(made.add_argument_group("verifying"))
    _add_output(made.add_argument_group("output"))
    _add_reading(made.add_argument_group("reading"))
    _add_service(made.add_argument_group("a urlsum service"))
    return made


class _Print(argparse.Action):
    """Prints a text about the parser, and exits."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002 - argparse's
        values: str | Sequence[Any] | None,
        option_string: str | None = None,  # noqa: ARG002 - the same
    ) -> None:
        from urlsum.cli.manual import completion, manual  # noqa: PLC0415 - few need it

        sys.stdout.write(completion(parser, values, COMPARE) if isinstance(values, str) else manual(parser))
        parser.exit()


def _add_verifying(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-c",
        "--check",
        action="store_true",
        help="read checksums from the LISTs, files or URLs, and verify them; with no LIST, or when LIST is -, read"
        " standard input",
    )
    group.add_argument(
        "--md5",
        type=_md5,
        metavar="MD5",
        help="the MD5 that the file should have: digits, base64 or a line of md5sum; exit with 1 if it has another. A"
        " fragment of its URL, #md5=..., says the same",
    )
    group.add_argument(
        "--base",
        type=_base,
        metavar="URL",
        help="with -c, the folder of the files whose names are in the list; by default that of the list's own URL",
    )
    group.add_argument("--ignore-missing", action="store_true", help="with -c, skip files that a server does not have")
    group.add_argument("--quiet", action="store_true", help="with -c, do not print OK lines")
    group.add_argument(
        "--status", action="store_true", help="with -c, print no verdicts; the exit status alone shows the result"
    )
    group.add_argument(
        "--strict", action="store_true", help="with -c, exit with 1 also for improperly formatted lines (see below)"
    )
    group.add_argument(
        "-w",
        "--warn",
        action="store_true",
        help="with -c, report each improperly formatted line and what is wrong with it",
    )
    group.add_argument("--fail-fast", action="store_true", help="stop at the first failure or mismatch")


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--tag", action="store_true", help="print lines as BSD's md5 does: MD5 (URL) = <md5>")
    group.add_argument("-z", "--zero", action="store_true", help="end lines with NUL, and escape nothing")
    group.add_argument("-b", "--binary", action="store_true", help='print "<md5> *URL", as md5sum -b does')
    group.add_argument("-t", "--text", action="store_true", help="print two blanks before the URL (default)")
    group.add_argument(
        "--name",
        choices=("url", "base", "path"),
        help="print the URL (default), the name of the file, or host-less path, so that md5sum -c finds a copy",
    )
    group.add_argument("--json", action="store_true", help="print one JSON object a line for each file")
    group.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the results to FILE")


def _add_reading(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-j",
        "--jobs",
        type=_number(1, MOST_JOBS),
        metavar="N",
        help="read N files at once (default: 1); all files of one origin share its connections",
    )
    group.add_argument(
        "--connections",
        type=_number(1, MOST_CONNECTIONS),
        metavar="N",
        help="use at most N connections to an origin at once (default: 8)",
    )
    group.add_argument(
        "--allow-private",
        action="store_true",
        help="also read from private addresses, like 127.0.0.1 or 192.168.0.1, on any port; not where a public host"
        " redirects to one",
    )
    group.add_argument(
        "--retries",
        type=_number(0, MOST_RETRIES),
        metavar="N",
        help="try again N times without progress before a file fails (default: 4)",
    )
    group.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="save the progress of the only URL in FILE instead, and resume from it; deleted when done",
    )
    group.add_argument("--no-state", action="store_true", help="neither save progress nor resume")
    group.add_argument(
        "-H",
        "--header",
        type=field,
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="send this field; only to the origin of the URLs, which must have one in common",
    )
    group.add_argument(
        "--header-file", type=Path, metavar="FILE", help="send the fields in FILE, one a line; ps does not show them"
    )
    group.add_argument("--netrc", action="store_true", help="send the passwords in ~/.netrc, or $NETRC, to their hosts")


def _add_service(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--server",
        type=service,
        metavar="URL",
        help="submit to the urlsum service at URL and wait for its result (default: URLSUM_SERVER)",
    )
    group.add_argument("--email", metavar="ADDRESS", help="have the service send the results to ADDRESS, too")
    group.add_argument("--no-wait", action="store_true", help="print the link to each task instead of its result")
    group.add_argument("--cancel", type=_task, metavar="ID", help="cancel the task of this id or link")


def _number(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"expected a number from {least} to {most}, not {text!r}")
        return int(text)

    return number


def _md5(text: str) -> str:
    from urlsum.text import expected_md5  # noqa: PLC0415 - few need it
    from urlsum.text.expected_md5 import NotMd5  # noqa: PLC0415 - the same

    try:
        return expected_md5.read(text)
    except NotMd5 as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def service(text: str) -> str:
    """The URL of a service, without the slash at its end. Raises ArgumentTypeError."""
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"expected the URL of a service, like https://host, not {text!r}")
    return text.rstrip("/")


def field(text: str) -> tuple[str, str]:
    """Name and value of a field that requests may send. Raises ArgumentTypeError."""
    match = FIELD.fullmatch(text)
    if match is None:
        # Without the text, which may hold a password.
        raise argparse.ArgumentTypeError("expected 'Name: value', in ASCII")
    if match["name"].lower() in OWN_FIELDS:
        raise argparse.ArgumentTypeError(f"urlsum sets {match['name']} itself")
    return match["name"], match["value"]


def _base(text: str) -> str:
    """The URL of a folder, with the slash at its end. Raises ArgumentTypeError."""
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"expected the URL of a folder, like https://host/dir/, not {text!r}")
    if "?" in text or "#" in text:
        # Names would be resolved without it, and it may be a token.
        raise argparse.ArgumentTypeError("the URL of a folder has no query and no fragment")
    return text if text.endswith("/") else f"{text}/"


class TaskToCancel(NamedTuple):
    """The id of a task; ``link_base`` is the service that its link names."""

    id: str
    link_base: str | None


def _task(text: str) -> TaskToCancel:
    """The task of ``text``, an id or the link that ``--no-wait`` prints. Raises ArgumentTypeError."""
    base, _, task_id = text.rpartition("/check?id=")
    if not TASK_ID.fullmatch(task_id) or (base and not base.startswith(("http://", "https://"))):
        raise argparse.ArgumentTypeError(f"expected the id of a task, or the link to it, not {text!r}")
    return TaskToCancel(task_id, base or None)
