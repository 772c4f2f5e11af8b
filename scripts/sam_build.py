"""Build the functions and their layer with the SAM CLI, and compile the layer for a fast cold start.

``sam build`` leaves only sources, and Lambda's file system is read-only, so every cold start would compile its imports
again. Compiled files depend only on Python's minor version, not on the processor, so the host's interpreter of that
version can create them. Python does not check them against their sources at run time
(https://docs.python.org/3/library/compileall.html), because both are deployed together.
"""

# Every command that runs here is spelled out in this module.
# ruff: noqa: S603

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The interpreter of the functions' Runtime in template.yaml.
PYTHON = "python3.13"
ARCHITECTURES = ("arm64", "x86_64")
# Lambda's folder for layers, so that tracebacks show the right paths.
LAYER_ROOT = "/opt"


class BuildError(Exception):
    """The build failed; the text gives the reason and the remedy."""


def sam() -> str:
    """Find the SAM CLI of ``make install-dev``, otherwise one on PATH. Raises BuildError."""
    own = ROOT / os.environ.get("SAM_VENV", ".venv-sam") / "bin" / "sam"
    path = str(own) if own.exists() else shutil.which("sam")
    if path is None:
        raise BuildError("the SAM CLI is missing; run `make install-dev`")
    return path


def host_architecture() -> str:
    """Lambda's name for the processor of this machine."""
    return "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"


def build(architecture: str, folder: Path) -> None:
    """Build template.yaml for ``architecture`` into ``folder``. Raises BuildError."""
    if shutil.which(PYTHON) is None:
        raise BuildError(f"{PYTHON} is not on PATH; `sam build` needs the Python version of the functions")
    try:
        subprocess.run(
            [
                *(sam(), "build", "--build-dir", str(folder)),
                *("--parameter-overrides", f"Architecture={architecture}"),
            ],
            cwd=ROOT,
            env={**os.environ, "SAM_CLI_TELEMETRY": "0"},
            check=True,
        )
        layer = folder / "Layer"
        subprocess.run(
            [
                *(PYTHON, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
                *("-s", str(layer), "-p", LAYER_ROOT, str(layer / "python")),
            ],
            check=True,
        )
    except subprocess.CalledProcessError as exc:
        raise BuildError(f"{Path(exc.cmd[0]).name} failed with exit status {exc.returncode}") from exc


def main() -> int:
    """Build the artifacts of ``sam deploy``; return the exit status."""
    parser = argparse.ArgumentParser(prog="sam_build", description=__doc__.partition("\n")[0])
    parser.add_argument("--architecture", choices=ARCHITECTURES, default="arm64", help="default: %(default)s")
    try:
        build(parser.parse_args().architecture, ROOT / ".aws-sam" / "build")
    except BuildError as exc:
        print(f"sam_build: {exc}", file=sys.stderr)  # noqa: T201 (a command's message)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
