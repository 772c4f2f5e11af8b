"""Build the functions and their layer with the SAM CLI, and compile the layer for a fast cold start.

``sam build`` leaves sources only, and Lambda's file system is read-only: without this every cold start would compile
what it imports anew. The compiled files do not depend on the processor, only on Python's minor version, so the host's
own interpreter of that version makes them; they are not checked against their sources at run time
(https://docs.python.org/3/library/compileall.html), since sources and they are deployed together.
"""

# Everything that is run here is named here.
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
# Where Lambda puts a layer: the paths that tracebacks show.
LAYER_ROOT = "/opt"


class BuildError(Exception):
    """The build cannot be done; the text says why, and what to do."""


def sam() -> str:
    """Find the SAM CLI: that of ``make install-dev``, else one on PATH. Raises BuildError."""
    own = ROOT / os.environ.get("SAM_VENV", ".venv-sam") / "bin" / "sam"
    found = str(own) if own.exists() else shutil.which("sam")
    if found is None:
        raise BuildError("the SAM CLI is missing; run `make install-dev`")
    return found


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
    """Build what ``sam deploy`` deploys; return the exit status."""
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
