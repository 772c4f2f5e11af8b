"""Build the functions and their layer with the SAM CLI; trim the layer and compile all of it for a fast cold start.

``sam build`` leaves only sources, and Lambda's file system is read-only, so every cold start would compile its imports
again. Compiled files depend only on Python's minor version, not on the processor, so the host's interpreter of that
version can create them.

The packages in the layer are of one processor, so the built template allows that architecture alone.
"""

# Every command that runs here is spelled out in this module.
# ruff: noqa: S603

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from scripts import trim_layer

ROOT = Path(__file__).parents[1]
# The interpreter of the functions' Runtime in template.yaml.
PYTHON = "python3.13"
ARCHITECTURES = ("arm64", "x86_64")
# Lambda's folders for layers and for a function, so that tracebacks show the right paths.
LAYER_ROOT = "/opt"
FUNCTION_ROOT = "/var/task"


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
    if shutil.which("openssl") is None:
        raise BuildError("openssl is not on PATH; it hashes the names of the trusted CAs")
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
        trim_layer.trim(layer / "python")
        trim_layer.compile_all(PYTHON, layer, LAYER_ROOT)
        for function in folder.glob("*Function"):
            trim_layer.compile_all(PYTHON, function, FUNCTION_ROOT)
        trim_layer.check_sizes(layer)
        path = folder / "template.yaml"
        path.write_text(for_one_architecture(path.read_text(encoding="utf-8"), architecture), encoding="utf-8")
    except trim_layer.TooLarge as exc:
        raise BuildError(str(exc)) from exc
    except subprocess.CalledProcessError as exc:
        raise BuildError(f"{Path(exc.cmd[0]).name} failed with exit status {exc.returncode}") from exc


def for_one_architecture(template: str, architecture: str) -> str:
    """The template with ``architecture`` as the default and as the only allowed value, as JSON, which is YAML too.

    A deployment that asks for another architecture would get functions that cannot load their packages;
    CloudFormation refuses it.
    """
    built = yaml_parse(template)
    built["Parameters"]["Architecture"] |= {
        "Default": architecture,
        "AllowedValues": [architecture],
        "ConstraintDescription": f"{architecture}, for which this was built; build again for another one",
    }
    return json.dumps(built, indent=1)


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
