"""What the outbox leaves on the disk."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from email import message_from_bytes
from typing import TYPE_CHECKING

import pytest

from tests.support.stores.every_mailer import LETTER, SENDER
from urlsum.errors import MailUnavailable
from urlsum.mail.outbox import OutboxMailer

if TYPE_CHECKING:
    from pathlib import Path


def test_touches_nothing_before_the_first_letter(tmp_path: Path) -> None:
    OutboxMailer(tmp_path / "outbox", SENDER)
    assert list(tmp_path.iterdir()) == []


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_directory_is_for_its_owner_only_unless_somebody_made_it(tmp_path: Path) -> None:
    OutboxMailer(tmp_path / "spool" / "outbox", SENDER).send(LETTER)
    assert mode(tmp_path / "spool" / "outbox") == 0o700
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o750)
    OutboxMailer(tmp_path / "shared", SENDER).send(LETTER)
    assert mode(tmp_path / "shared") == 0o750


def test_names_sort_by_time_and_never_collide(tmp_path: Path) -> None:
    times = [1_800_000_000.0, 1_800_000_000.0, 1_800_000_000.000001, 1_800_000_009.0, 1_800_000_010.0]
    clock = iter(times)
    mailer = OutboxMailer(tmp_path, SENDER, clock=lambda: next(clock))
    for _ in times:
        mailer.send(LETTER)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 5
    assert all(re.fullmatch(r"20270115T0800\d\d\.\d{6}Z-[0-9a-f]{8}\.eml", name) for name in names)
    assert [name[:22] for name in names] == [
        "20270115T080000.000000",
        "20270115T080000.000000",
        "20270115T080000.000001",
        "20270115T080009.000000",
        "20270115T080010.000000",
    ]


def test_names_have_the_time_in_utc_on_a_machine_that_is_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        OutboxMailer(tmp_path, SENDER, clock=lambda: 1_800_000_000.0).send(LETTER)
    finally:
        monkeypatch.undo()
        time.tzset()
    [path] = tmp_path.iterdir()
    assert path.name.startswith("20270115T080000.000000Z-")
    assert message_from_bytes(path.read_bytes())["Date"] == "Fri, 15 Jan 2027 08:00:00 +0000"


def test_files_are_complete_messages_with_the_line_ends_of_files_for_their_owner_only(tmp_path: Path) -> None:
    OutboxMailer(tmp_path, SENDER).send(LETTER)
    [path] = tmp_path.iterdir()
    content = path.read_bytes()
    assert b"\r" not in content
    assert content.endswith(b"\n\none\n\n.\nFrom here on\n")
    assert {"From", "To", "Subject", "Date", "Message-ID"} <= set(message_from_bytes(content).keys())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_has_its_name_only_when_it_is_whole_and_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        seen.append([path.suffix for path in tmp_path.iterdir()])
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    OutboxMailer(tmp_path, SENDER).send(LETTER)
    assert seen == [[".tmp"], [".eml"]]


def test_a_full_disk_is_unavailable_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MailUnavailable, match="No space left"):
        OutboxMailer(tmp_path, SENDER).send(LETTER)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_is_no_directory_is_unavailable_and_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MailUnavailable, match=re.escape(str(tmp_path / "file"))):
        OutboxMailer(tmp_path / "file", SENDER).send(LETTER)
