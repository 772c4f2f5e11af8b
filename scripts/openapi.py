"""Write docs/openapi.json, the description of the API; with --check, exit 1 when it is stale."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from functions.check.app import router as check
from functions.submit.app import router as submit
from urlsum.web.application import application

DOCUMENT = Path(__file__).parents[1] / "docs" / "openapi.json"


def document() -> str:
    """The expected content of the file."""
    return json.dumps(application(submit, check).openapi(), indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write or compare the file; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare; write nothing")
    if not parser.parse_args().check:
        DOCUMENT.write_text(document(), encoding="utf-8")
        return 0
    if DOCUMENT.exists() and DOCUMENT.read_text(encoding="utf-8") == document():
        return 0
    sys.stderr.write(f"{DOCUMENT.name} is stale: the API has changed; run `make openapi` and commit the result\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
