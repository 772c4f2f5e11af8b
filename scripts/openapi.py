"""Write the description of the API: docs/openapi.json, and the copy that is served; --check exits 1 if one is stale."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from functions.check.app import router as check
from functions.submit.app import router as submit
from urlsum.web.application import application
from urlsum.web.description import FILE

DOCUMENT = Path(__file__).parents[1] / "docs" / "openapi.json"
DOCUMENTS = (DOCUMENT, FILE)


def document() -> str:
    """The expected content of the files."""
    return json.dumps(application(submit, check).openapi(), indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write or compare the files; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare; write nothing")
    if not parser.parse_args().check:
        for each in DOCUMENTS:
            each.write_text(document(), encoding="utf-8")
        return 0
    if all(each.exists() and each.read_text(encoding="utf-8") == document() for each in DOCUMENTS):
        return 0
    sys.stderr.write(f"{DOCUMENT.name} is stale: the API has changed; run `make openapi` and commit the result\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
