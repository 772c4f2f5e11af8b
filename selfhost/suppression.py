"""The operator's list of suppressed mailboxes: ``python -m selfhost.suppression show|add|remove ADDRESS``.

It reads the settings of the service; with TASKS_TABLE and credentials for AWS it works on a deployment there, too.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from urlsum import wiring
from urlsum.errors import UrlsumError
from urlsum.mail import suppression
from urlsum.mail.address import mailbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from urlsum.tables import Records


def run(action: str, address: str, records: Records, now: float) -> str:
    """Do what the operator asks, and return what to print. Raises TableUnavailable."""
    shown = mailbox(address)
    match action:
        case "add":
            suppression.suppress(records, address, suppression.Reason.OPERATOR, now)
            return f"{shown} gets no more email"
        case "remove":
            reason = suppression.lift(records, address, now)
            return f"{shown} was not suppressed" if reason is None else f"{shown} gets email again (it was {reason})"
        case _:
            found = suppression.reason_for(records, suppression.recipient(address), now)
            return f"{shown} gets email" if found is None else f"{shown} gets no email: {found}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line; return 0 unless the table is unavailable or a setting wrong."""
    parser = argparse.ArgumentParser(prog="python -m selfhost.suppression", description=__doc__)
    parser.add_argument("action", choices=["show", "add", "remove"])
    parser.add_argument("address", type=_address, help="an email address in any spelling of its mailbox")
    asked = parser.parse_args(arguments)
    try:
        services = wiring.services()
        said = run(asked.action, asked.address, services.records, services.clock())
    except UrlsumError as exc:
        print(f"urlsum: {exc}", file=sys.stderr)  # noqa: T201 - a command line
        return 1
    print(said)  # noqa: T201 - a command line
    return 0


def _address(text: str) -> str:
    local, _, domain = text.rpartition("@")
    if not local or not domain:
        raise argparse.ArgumentTypeError(f"{text!r} is not an email address")
    return text


if __name__ == "__main__":
    sys.exit(main())
