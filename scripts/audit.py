"""Ask PyPI for known vulnerabilities of the packages that are deployed; exit 1 if there are any.

Without a connection nothing can be audited. That is no finding, but it is said plainly, since silence would look like a
good result.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[1]
PIP_AUDIT = ROOT / os.environ.get("AUDIT_VENV", ".venv-audit") / "bin" / "pip-audit"
# The first contains the layer's.
LOCKS = ("selfhost/requirements.txt", "docker/mail/requirements.txt")
# What pip-audit's traceback ends with, where the database does not answer.
UNREACHABLE = ("ConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError", "SSLError", "ServiceError")


@dataclass(frozen=True)
class Report:
    """What was found in one lock: a line for each vulnerability, and how many packages could be audited."""

    vulnerable: Sequence[str]
    audited: int
    unknown: int

    @classmethod
    def read(cls, text: str) -> Report:
        """Read pip-audit's JSON. Raises ValueError for anything else."""
        dependencies: list[dict[str, Any]] = json.loads(text)["dependencies"]
        known = [item for item in dependencies if "skip_reason" not in item]
        lines = [
            f"{item['name']} {item['version']}: {found['id']}, fixed in {' or '.join(found['fix_versions']) or '-'}"
            for item in known
            for found in item["vulns"]
        ]
        return cls(lines, len(known), len(dependencies) - len(known))


def audit(lock: str) -> Report | None:
    """Audit a lock; None if the database cannot be reached. Raises RuntimeError if pip-audit fails otherwise."""
    command = [str(PIP_AUDIT), "--disable-pip", "--no-deps", "--progress-spinner=off", "--format=json"]
    ran = subprocess.run([*command, "--requirement", str(ROOT / lock)], capture_output=True, text=True, check=False)  # noqa: S603 (all of it is ours)
    try:
        return Report.read(ran.stdout)
    except ValueError:
        if any(word in ran.stderr for word in UNREACHABLE):
            return None
        raise RuntimeError(f"pip-audit failed:\n{ran.stderr}") from None


def describe(lock: str, report: Report | None) -> list[str]:
    """What to print about one lock."""
    if report is None:
        return [f"pip-audit: {lock} was NOT audited: the database of vulnerabilities cannot be reached"]
    if not report.audited:
        return [f"pip-audit: {lock} was NOT audited: the index does not serve the database of vulnerabilities"]
    left = f"; {report.unknown} are unknown to the database" if report.unknown else ""
    return [f"pip-audit: {lock}: {len(report.vulnerable)} in {report.audited} packages{left}", *report.vulnerable]


def main() -> int:
    """Print the findings; return the exit status."""
    reports = {lock: audit(lock) for lock in LOCKS}
    for lock, report in reports.items():
        print("\n".join(describe(lock, report)))  # noqa: T201 (a command's output)
    return 1 if any(report and report.vulnerable for report in reports.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
