from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from dotenv import dotenv_values

from selfhost import api_keys as command
from urlsum.api_keys import ApiKeys

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


class Run:
    """Runs the command on a file, and reads what it printed."""

    def __init__(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.file = file
        self.capsys = capsys

    def __call__(self, *arguments: str, status: int = 0) -> str:
        assert command.main(["--file", str(self.file), *arguments]) == status
        printed = self.capsys.readouterr()
        self.error = printed.err
        return printed.out

    @property
    def keys(self) -> ApiKeys:
        return ApiKeys.read(dotenv_values(self.file).get("API_KEYS") or "")


@pytest.fixture
def run(file: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(file, capsys)


def test_a_made_key_opens_the_service_and_its_token_is_kept_nowhere(run: Run, file: Path) -> None:
    token = run("make", "lab", "day=20000", "bytes=0").strip()
    found = run.keys.find(token)
    assert found is not None
    assert (found.name, dict(found.limits)) == ("lab", {"day": 20000, "bytes": 0})
    assert token not in file.read_text()
    assert token not in run.error
    assert "restart" in run.error
    assert token not in run("list")


def test_the_other_lines_stay_and_nobody_else_may_read_the_file(run: Run, file: Path) -> None:
    file.write_text("# mine\nMAIL_PASSWORD=a#b 'c\n\nAPI_KEYS=\nPORT=8000")
    file.chmod(0o644)
    run("make", "lab")
    run("make", "other")
    lines = file.read_text().splitlines()
    assert lines[:-1] == ["# mine", "MAIL_PASSWORD=a#b 'c", "", "PORT=8000"]
    assert [key.name for key in run.keys] == ["lab", "other"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [".env"]


@pytest.mark.parametrize(
    "line", ["API_KEYS='{}'", 'export API_KEYS="{}"', "  API_KEYS = {}  ", "API_KEYS=\nAPI_KEYS={}"]
)
def test_keys_are_found_however_the_line_is_written(run: Run, file: Path, line: str) -> None:
    file.write_text(line.format(f"old:{'0' * 64}") + "\n")
    assert run("list") == "old\n"
    run("make", "new")
    assert [key.name for key in run.keys] == ["old", "new"]
    assert file.read_text().count("API_KEYS") == 1


def test_a_link_stays_a_link(run: Run, file: Path, tmp_path: Path) -> None:
    real = tmp_path / "settings"
    real.write_text("PORT=1\n")
    file.symlink_to(real)
    run("make", "lab")
    assert file.is_symlink()
    assert "API_KEYS=lab:" in real.read_text()


def test_a_revoked_key_is_gone(run: Run, file: Path) -> None:
    token = run("make", "lab").strip()
    run("make", "other", "minute=1")
    run("revoke", "lab")
    assert run.keys.find(token) is None
    assert run("list") == "other\tminute=1\n"
    run("revoke", "other")
    assert "API_KEYS" not in file.read_text()


def test_for_aws_the_entry_is_printed_and_no_file_is_changed(run: Run, file: Path) -> None:
    token, entry = run("make", "lab", "day=5", "--print").splitlines()
    assert ApiKeys.read(entry).find(token) is not None
    assert not file.exists()
    assert run.error == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("make", "lab"), "already"),
        (("make", "a b"), "1 to 40 letters"),
        (("make", "new", "hour=1"), "limits of the key new"),
        (("revoke", "nobody"), "no key with the name nobody"),
    ],
)
def test_what_cannot_be_done_changes_nothing(run: Run, file: Path, arguments: tuple[str, ...], words: str) -> None:
    run("make", "lab")
    before = file.read_text()
    assert run(*arguments, status=2) == ""
    assert words in run.error
    assert file.read_text() == before


def test_a_file_that_cannot_be_written_is_left_alone(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("PORT=1\n")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert run("make", "lab", status=2) == ""
    assert file.read_text() == "PORT=1\n"
    assert [path.name for path in file.parent.iterdir()] == [".env"]


def test_a_file_in_another_encoding_is_left_alone_and_named(run: Run, file: Path) -> None:
    before = b"PORT=8000\nMAIL_PASSWORD=gr\xfc\xdfe\n"
    file.write_bytes(before)
    run("make", "lab", status=2)
    assert run.error == f"urlsum: {file}: line 2 is not UTF-8; save the file in that encoding\n"
    assert file.read_bytes() == before
