"""Install the packages of a lock file with pip and report the progress.

pip's own output is either silent for a minute or 300 lines long. This script runs before anything is installed, so it
needs the standard library only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Shorter than the silence after which a user believes that a command hangs.
REPORT_SECONDS = 5.0


@dataclass
class Progress:
    """The progress that pip has reported; ``total`` is the number of packages in the lock file."""

    total: int
    present: int
    fetched: int = 0
    unpacking: bool = False
    errors: list[str] = field(default_factory=list)

    def read(self, lines: Iterable[str]) -> None:
        """Follow pip's output to its end. Unknown lines change nothing; after the first error every line counts."""
        for line in lines:
            if self.errors or line.startswith("ERROR"):
                self.errors.append(line)
            elif line.startswith("Ignoring "):  # the package's marker excludes this platform or this Python
                self.total -= 1
            elif line.startswith(("Collecting ", "Requirement already satisfied: ")):
                self.fetched += 1
            elif line.startswith("Installing collected packages: "):
                self.unpacking = True

    def text(self, installed: int) -> str:
        """A line that reports the progress; ``installed`` is the number of packages in the environment."""
        if self.unpacking:
            return f"installed {min(installed - self.present, self.total)} packages"
        return f"fetched {self.fetched} of {self.total} packages"


def locked(lock: Path) -> int:
    """The number of packages that ``lock`` pins."""
    return sum("==" in line and line[0].isalnum() for line in lock.read_text(encoding="utf-8").splitlines() if line)


def installed() -> int:
    """The number of packages in this interpreter's environment."""
    return sum(1 for _ in Path(sysconfig.get_path("purelib")).glob("*.dist-info"))


def install(lock: Path) -> int:
    """Install the packages of ``lock``, check every file against its hash, and return pip's exit status.

    A lock names every package, hence --no-deps. With hashes, pip refuses a package that requires another one with an
    extra, although the lock pins both (https://github.com/pypa/pip/issues/9644).
    """
    progress = Progress(total=locked(lock), present=installed())
    command = [
        *(sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar=off"),
        *("--require-hashes", "--no-deps", "--requirement", str(lock)),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:  # noqa: S603
        reader = threading.Thread(target=progress.read, args=(pip.stdout,), daemon=True)
        reader.start()
        while True:
            reader.join(REPORT_SECONDS)
            if not reader.is_alive():
                break
            print(f"  {progress.text(installed())}", flush=True)  # noqa: T201 (a command's output)
    sys.stderr.writelines(progress.errors)
    return pip.returncode


def main() -> int:
    """Read the arguments and return the exit status."""
    parser = argparse.ArgumentParser(prog="install", description=__doc__.partition("\n")[0])
    parser.add_argument("lock", type=Path, help="the lock file: a requirements file with hashes")
    return install(parser.parse_args().lock)


if __name__ == "__main__":
    sys.exit(main())
