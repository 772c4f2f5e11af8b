"""``python -m selfhost.api_keys``: makes, revokes and lists the API keys of a deployment, in its ``.env``.

A token is printed once, when it is made; only its hash is kept. Processes read their settings at the start, so a change
counts after a restart.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from urlsum import api_keys
from urlsum.api_keys import ApiKeys
from urlsum.errors import SettingsError
from urlsum.settings import bare, read_text

if TYPE_CHECKING:
    from collections.abc import Sequence

SETTING = "API_KEYS"
# The file holds passwords too, so nobody else may read it.
MODE = 0o600
# An assignment as dotenv, compose and a shell read it; a later one takes the place of an earlier one.
_LINE = re.compile(rf"[ \t]*(?:export[ \t]+)?{SETTING}[ \t]*=[ \t]*(.*?)[ \t]*\Z")


class EnvFile:
    """The settings in a ``.env`` file, of which this changes one line and leaves all others alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = read_text(path).splitlines() if path.exists() else []

    @property
    def keys(self) -> ApiKeys:
        """The keys in the file. Raises ValueError."""
        values = [match[1] for line in self._lines if (match := _LINE.match(line))]
        return ApiKeys.read(bare(values[-1]) if values else "")

    def write(self, keys: Sequence[api_keys.ApiKey]) -> None:
        """Write ``keys`` in one step: a process that starts meanwhile reads the old file or the new one."""
        kept = [line for line in self._lines if not _LINE.match(line)]
        lines = [*kept, _line(keys)] if keys else kept
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f"{self._path.name}.")  # with mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(file.fileno(), MODE)
                file.writelines(f"{line}\n" for line in lines)
                file.flush()
                os.fsync(file.fileno())
            # Path.replace would put a file in the place of a link to it.
            os.replace(name, self._path.resolve())  # noqa: PTH105 - beside the file that the link names
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _line(keys: Sequence[api_keys.ApiKey]) -> str:
    return f"{SETTING}={','.join(map(str, keys))}"


def make(file: EnvFile, name: str, limits: Sequence[str], *, only_print: bool) -> None:
    """Make a key and print its token. Raises ValueError if the name is taken, or a limit is wrong."""
    token, key = api_keys.make(name, tuple(limits))
    if only_print:
        sys.stdout.write(f"{token}\n{key}\n")
        return
    if file.keys.named(name):
        raise ValueError(f"there is a key with the name {name} already; revoke it first")
    file.write([*file.keys, key])
    sys.stdout.write(f"{token}\n")


def revoke(file: EnvFile, name: str) -> None:
    """Remove a key. Raises ValueError if there is none with this name."""
    if not file.keys.named(name):
        raise ValueError(f"there is no key with the name {name}")
    file.write([key for key in file.keys if key.name != name])


def show(file: EnvFile) -> None:
    """Print the names of the keys, and the limits that they have of their own."""
    for key in file.keys:
        sys.stdout.write("\t".join([key.name, *(f"{name}={value}" for name, value in key.limits)]) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m selfhost.api_keys", description="Manage API keys.")
    parser.add_argument("--file", type=Path, default=Path(".env"), help="the settings to change (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="make a key and print its token, this once")
    making.add_argument("name", metavar="NAME", help="who has it: letters, digits and any of . _ -")
    making.add_argument(
        "limits",
        metavar="LIMIT=VALUE",
        nargs="*",
        help=f"limits of its own ({', '.join(api_keys.LIMITS)}); 0 means none",
    )
    making.add_argument(
        "--print", dest="only_print", action="store_true", help=f"change no file; also print the entry for {SETTING}"
    )
    commands.add_parser("revoke", help="remove a key").add_argument("name", metavar="NAME")
    commands.add_parser("list", help="list the names and limits of the keys")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        file = EnvFile(options.file)
        match options.command:
            case "make":
                make(file, options.name, options.limits, only_print=options.only_print)
            case "revoke":
                revoke(file, options.name)
            case "list":
                show(file)
    except (OSError, ValueError, SettingsError) as exc:
        sys.stderr.write(f"urlsum: {exc}\n")
        return 2
    if options.command == "revoke" or (options.command == "make" and not options.only_print):
        sys.stderr.write("The change counts after a restart of the server.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
