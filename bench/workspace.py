"""Shared by all cases: the folder, the large files, the peers' commands, and the comparison with a peer."""

from __future__ import annotations

import compileall
import shutil
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bench.files import MIB, Sample, hollow_file, random_file
from bench.measure import Command, Run, Spread, ratios, say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ROOT = Path(__file__).parents[1]
PYTHON = sys.executable
URLSUM = str(Path(sys.executable).with_name("urlsum"))
BIG_BYTES = 2048 * MIB
# Enough for three checkpoints of 5 s besides that of the hand-over, and six times the size that fills the window.
LONG_BYTES = 12 * 1024 * MIB
# The networks that the benchmarks need; every other setting has its default.
NETWORKS = "127.0.0.0/8,10.77.0.0/24"
# The Debian packages of the programs.
PACKAGES = {
    "nginx": "nginx-light",
    "curl": "curl",
    "md5sum": "coreutils",
    "rclone": "rclone",
    "aria2c": "aria2",
    "taskset": "util-linux",
    "ip": "iproute2",
    "cc": "gcc libc6-dev",
    "xargs": "findutils",
}


@dataclass(frozen=True)
class Row:
    """One line of a case's table; ``met`` is None if there is no bound."""

    what: str
    figure: str
    bound: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Case:
    """A benchmark; ``limit`` names the factor that bounds its figures."""

    key: str
    title: str
    setting: str
    limit: str
    programs: Sequence[str]
    rounds: int
    measure: Callable[[Workspace], list[Row]]
    root: bool = False


@dataclass
class Workspace:
    """The files and settings of one run of the benchmarks; ``rounds`` is that of the current case."""

    folder: Path
    rounds: int = 0
    _free: list[int] = field(default_factory=list)

    @property
    def files(self) -> Path:
        """The folder that the origins serve."""
        path = self.folder / "files"
        path.mkdir(exist_ok=True)
        return path

    @cached_property
    def big(self) -> Sample:
        """The 2 GiB file."""
        say("making a file of 2 GiB …")
        return random_file(self.files, BIG_BYTES)

    @cached_property
    def long(self) -> Sample:
        """The 12 GiB file, all zeros."""
        say("making a file of 12 GiB …")
        return hollow_file(self.files, LONG_BYTES)


def urlsum(url: str, expected: str, *arguments: str, ca_file: Path | None = None, **more: str) -> Command:
    """The urlsum command; ``more`` are further settings."""
    environment = {"URLSUM_ALLOWED_NETWORKS": NETWORKS, **more}
    if ca_file is not None:
        environment["SSL_CERT_FILE"] = str(ca_file)
    return Command("urlsum", " ".join([URLSUM, *arguments, url]), expected, environment)


def curl(url: str, expected: str, *, ca_file: Path | None = None) -> Command:
    """The usual pipeline."""
    trusted = f"--cacert {ca_file} " if ca_file is not None else ""
    return Command("curl | md5sum", f"curl -s {trusted}{url} | md5sum", expected)


def rclone(base: str, name: str, expected: str, *, ca_file: Path | None = None) -> Command:
    """The peer that fetches and hashes in one process."""
    trusted = f"--ca-cert {ca_file} " if ca_file is not None else ""
    line = f"rclone hashsum MD5 --download {trusted}--http-url {base} :http:{name}"
    # Ignores the user's own configuration.
    return Command("rclone hashsum --download", line, expected, {"RCLONE_CONFIG": "/dev/null"})


def absolute(results: Mapping[str, Sequence[Run]]) -> list[Row]:
    """The wall and CPU seconds of every command."""
    return [
        Row(
            name,
            f"{Spread([run.wall for run in runs]).text(2)} s wall, {Spread([run.cpu for run in runs]).text(2)} s CPU",
        )
        for name, runs in results.items()
    ]


def against(
    results: Mapping[str, Sequence[Run]], peer: str, figure: str, bound: float | None, ours: str = "urlsum"
) -> Row:
    """The ratio of our wall or CPU time to the peer's, and whether its median is within ``bound``."""
    spread = ratios(results[ours], results[peer], figure)
    name = {"wall": "wall", "cpu": "CPU"}[figure]
    shown = "" if bound is None else f"≤ {bound:g}"
    return Row(f"{name}, {ours} / {peer}", spread.text(3), shown, None if bound is None else spread.median <= bound)


def compile_sources(root: Path = ROOT) -> None:
    """Compile what is measured, as pip does when it installs a package.

    Where Python writes no byte code by itself (PYTHONDONTWRITEBYTECODE), every start would compile all of it.
    """
    for folder in ("src", "selfhost"):
        compileall.compile_dir(root / folder, quiet=1)


def missing(programs: Sequence[str]) -> list[str]:
    """The programs that are not on PATH."""
    # Debian installs nginx and ip in folders that only root's PATH contains.
    return [name for name in programs if shutil.which(name) is None]
