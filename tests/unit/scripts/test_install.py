"""The progress that `make install` reports, and the errors of pip that it repeats at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts.install import Progress, locked

if TYPE_CHECKING:
    from pathlib import Path

FETCHING = [
    "Looking in indexes: https://example.org/simple\n",
    "WARNING: Location 'https://example.org/simple/h11/' is ignored\n",
    "Ignoring colorama: markers \"sys_platform == 'win32'\" don't match your environment\n",
    "Collecting h11==0.16.0 (from -r requirements.txt (line 1))\n",
    "  Downloading h11-0.16.0-py3-none-any.whl (37 kB)\n",
    "Requirement already satisfied: idna==3.20 in /lib (from -r requirements.txt (line 4)) (3.20)\n",
]
UNPACKING = ["Installing collected packages: h11\n"]


def test_packages_count_as_they_are_fetched_or_found() -> None:
    progress = Progress(total=4, present=1)
    progress.read(FETCHING)
    assert progress.text(installed=1) == "fetched 2 of 3 packages"
    assert progress.errors == []


def test_packages_count_as_they_are_installed() -> None:
    progress = Progress(total=4, present=7)
    progress.read([*FETCHING, *UNPACKING])
    assert progress.text(installed=9) == "installed 2 packages"


@pytest.mark.parametrize("before", [[], FETCHING, [*FETCHING, *UNPACKING]], ids=["first", "fetching", "unpacking"])
def test_every_line_from_the_first_error_on_is_shown(before: list[str]) -> None:
    error = ["ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n", "    h11==0.16.0 from example.org:\n", "\n"]
    progress = Progress(total=4, present=1)
    progress.read([*before, *error])
    assert progress.errors == error


def test_comments_hashes_and_empty_lines_are_no_packages(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(
        "# a==1\n\nh11==0.16.0 \\\n    --hash=sha256:63cf\n    # via -r x==y\nb==1 ; sys_platform == 'win32'\n"
    )
    assert locked(lock) == 2
