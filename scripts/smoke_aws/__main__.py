"""The command line of the measurement, see the package."""

from __future__ import annotations

import argparse
import sys
import time

import boto3
import httpx
from botocore.exceptions import BotoCoreError, ClientError

import scripts.smoke_aws
from scripts.sam_build import BuildError
from scripts.smoke_aws.account import SIMULATOR, Options, SmokeError, say
from scripts.smoke_aws.findings import table
from scripts.smoke_aws.measure import smoke


def main() -> int:
    """Run the measurement; return the exit status."""
    parser = argparse.ArgumentParser(prog="smoke_aws", description=str(scripts.smoke_aws.__doc__).partition("\n")[0])
    parser.add_argument("--mail-from", required=True, help="the sender of the email")
    parser.add_argument(
        "--mail-identity", help="the verified identity in SES that covers it (default: the sender itself)"
    )
    parser.add_argument("--recipient", default=SIMULATOR, help="default: SES's own, which works in the sandbox too")
    parser.add_argument("--stack", default="urlsum-smoke", help="name of the stack (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="do not delete the stack")
    given = parser.parse_args()
    options = Options(
        stack=given.stack,
        mail_from=given.mail_from,
        mail_identity=given.mail_identity or given.mail_from,
        recipient=given.recipient,
        keep=given.keep,
    )
    try:
        # A cold start, and a request to a table that is being made, take some seconds.
        with httpx.Client(timeout=30.0) as http:
            found = smoke(options, http)
    except (SmokeError, BuildError, BotoCoreError, ClientError, httpx.HTTPError) as exc:
        say(f"smoke_aws: {exc}")
        return 1
    region = boto3.Session().region_name or "an unknown region"
    print(table(found, region, time.strftime("%Y-%m-%d")))  # noqa: T201 (a command's output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
