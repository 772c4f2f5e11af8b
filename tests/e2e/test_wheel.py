"""The wheel: installed without extras into an empty environment, it hashes a file."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import HeaderParser
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest
from packaging.utils import canonicalize_name

from tests.infrastructure.test_dependencies import CORE, EXTRAS
from tests.support.imports import modules, reached
from urlsum import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Each of these tests waits for pip, which builds or installs: 32 s beside seven other processes on two cores.
pytestmark = pytest.mark.timeout(400)

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "urlsum"
# The oldest Python that is supported and the one of the Lambda functions, besides the one that runs this test.
PYTHONS = sorted({"python3.11", "python3.13", f"python3.{sys.version_info.minor}"})
# An empty environment: pip's settings stay, and the sources must not be importable.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
PIP = (sys.executable, "-m", "pip", "--quiet", "--quiet", "--disable-pip-version-check")
# One short try; with pip's own values a host without an index would wait for minutes.
PROBE = ("--timeout", "15", "--retries", "1")


def run(command: Sequence[str | Path], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``command`` in ``folder``, where it finds no sources."""
    return subprocess.run(
        command, cwd=folder, env={**ENVIRONMENT, **variables}, capture_output=True, text=True, check=False, timeout=300
    )


def succeed(command: Sequence[str | Path], folder: Path) -> str:
    """Run ``command``, which must succeed, and return its output."""
    process = run(command, folder)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def interpreter(name: str) -> str | None:
    """The Python with this name, if this host has one that makes environments."""
    if name == f"python3.{sys.version_info.minor}":
        return sys.executable
    try:
        # In the project's folder, whose .python-version tells pyenv which versions answer.
        process = run([name, "-c", "import ensurepip, sys; print(sys.executable)"], ROOT)
    except OSError:
        return None
    return process.stdout.strip() if process.returncode == 0 else None


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources: setuptools leaves files beside them."""
    folder = tmp_path_factory.mktemp("wheel")
    probe = run([*PIP, "download", *PROBE, "--no-deps", "--dest", folder, "h11==0.16.0"], folder)
    if probe.returncode != 0:
        pytest.skip(f"pip reaches no package index: {probe.stderr.strip()[-200:]}")
    sources = folder / "sources"
    shutil.copytree(PACKAGE, sources / "src" / "urlsum", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    succeed([*PIP, "wheel", "--no-deps", "--wheel-dir", folder / "built", sources], folder)
    [built] = (folder / "built").iterdir()
    return built


class Quiet(SimpleHTTPRequestHandler):
    """`python -m http.server` without its log."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        pass


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve the files of ``folder`` on a free loopback port and yield the base URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel and its dependencies."""

    folder: Path

    def __call__(self, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run the command ``urlsum`` in ``folder``; any warning is an error."""
        return run([self.folder / "bin" / "urlsum", *arguments], folder, PYTHONWARNINGS="error")

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.folder / "bin" / "python"


@pytest.fixture(scope="module", params=PYTHONS)
def urlsum(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    python = interpreter(request.param)
    if python is None:
        pytest.skip(f"there is no {request.param} here that makes environments")
    installed = Installed(tmp_path_factory.mktemp(request.param))
    # This test's own pip installs into it: an environment with a pip takes three seconds longer.
    succeed([python, "-m", "venv", "--without-pip", installed.folder], installed.folder)
    # Python compiles what the tests import; pip would compile all of every package.
    succeed([*PIP, "--python", installed.python, "install", "--no-compile", wheel], installed.folder)
    return installed


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: Path) -> None:
    files = {path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name}
    assert {"urlsum/py.typed", "urlsum/web/pages/form.html", "urlsum/web/pages/style.css"} <= files
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == files


def test_the_wheel_describes_itself(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        text = archive.read(f"urlsum-{__version__}.dist-info/METADATA").decode()
    metadata = HeaderParser().parsestr(text)
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "MIT"
    assert set(metadata.get_all("Provides-Extra", [])) == EXTRAS.keys()
    assert len([line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]) == len(CORE)


def test_the_installed_command_hashes_a_file(urlsum: Installed, tmp_path: Path) -> None:
    content = os.urandom(3_000_001)
    with serving(tmp_path) as base:
        (tmp_path / "reads.bam").write_bytes(content)
        process = urlsum("--allow-private", f"{base}/reads.bam", folder=tmp_path)
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout == f"{hashlib.md5(content).hexdigest()}  {base}/reads.bam\n"


def test_the_installed_command_names_its_version(urlsum: Installed, tmp_path: Path) -> None:
    process = urlsum("--version", folder=tmp_path)
    assert (process.returncode, process.stdout, process.stderr) == (0, f"urlsum {__version__}\n", "")


def test_every_module_of_the_command_finds_what_it_imports(urlsum: Installed) -> None:
    names = sorted({*reached(modules("urlsum.cli")), "dotenv", "idna", "tqdm"})
    succeed([urlsum.python, "-W", "error", "-c", f"import {', '.join(names)}"], urlsum.folder)


def test_the_installation_is_complete_and_has_no_package_of_an_extra(urlsum: Installed) -> None:
    succeed([*PIP, "--python", urlsum.python, "check"], urlsum.folder)
    [library] = (urlsum.folder / "lib").glob("python3.*/site-packages")
    names = {canonicalize_name(distribution.name) for distribution in distributions(path=[str(library)])}
    assert names >= CORE.keys()
    assert names.isdisjoint({name for extra in EXTRAS.values() for name in extra})
