"""Runs ``scripts/smoke.sh``, the submit/check script that every deployment must pass."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from scripts.sam_build import ROOT

SCRIPT = ROOT / "scripts" / "smoke.sh"


def smoke(base: str, url: str, md5: str, email: str, *, seconds: float = 60) -> str:
    """Run the script, check that it printed ``md5``, and return the task's id; skip without curl."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl, which scripts/smoke.sh submits and checks with")
    ran = subprocess.run(
        ["sh", str(SCRIPT), base, url, md5, email],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "SMOKE_SECONDS": f"{seconds:.0f}"},
        timeout=seconds + 60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    match = re.search(r'"id":"([0-9a-f-]{36})"', ran.stdout)
    assert match is not None, ran.stdout
    return match[1]
