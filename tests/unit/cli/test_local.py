"""What LocalHasher adds to the slices of urlsum.worker.slice: one task in memory, a meter, a state file."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.synthetic import FILE, Clock, SyntheticSource
from urlsum.cli.interrupt import Interrupted, Stop
from urlsum.cli.local import LocalHasher, Metered, OneTask
from urlsum.cli.outcome import HashRequest
from urlsum.cli.progress import NoMeter
from urlsum.cli.state import StateFile
from urlsum.deadline import Deadline
from urlsum.errors import ConnectFailed, HttpFailed, Incomplete
from urlsum.settings import parse
from urlsum.task import Task

if TYPE_CHECKING:
    from pathlib import Path

    from urlsum.worker.source import Source

URL = "https://example.org/a"


class Recorder(NoMeter):
    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int | None]] = []

    def begin(self, url: str, at: int, total: int | None) -> None:
        self.seen.append(("begin", at, total))

    def move(self, at: int, total: int | None) -> None:
        self.seen.append(("move", at, total))

    def end(self) -> None:
        self.seen.append(("end", 0, None))


class Slept:
    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        time.sleep(min(seconds, 0.05))


def hasher(source: Source, sleep: Slept | None = None, state: Path | None = None, **settings: object) -> LocalHasher:
    given: dict[str, object] = {"retry_base_seconds": 0.02, **settings}
    made = LocalHasher(
        parse(given),
        stop=Stop(),
        meter=NoMeter(),
        state=state,
        sleep=sleep or Slept(),
    )
    made._source = Metered(source, NoMeter())
    return made


class Faulty:
    """Raises each of ``errors`` once, at ``offset`` or later."""

    def __init__(self, *errors: Exception, offset: int = 0) -> None:
        self.errors = list(errors)
        self.offset = offset

    def __call__(self, offset: int) -> None:
        if offset >= self.offset and self.errors:
            raise self.errors.pop(0)


def test_a_passing_failure_is_slept_over_and_gone_on_from(capsys: pytest.CaptureFixture[str]) -> None:
    source = SyntheticSource(bytes(range(256)) * 40, Clock(), piece=1024)
    source.fault = Faulty(Incomplete(f"{URL}: cut at 4 KiB"), offset=4096)
    sleep = Slept()
    (outcome,) = hasher(source, sleep).digests([HashRequest(URL)])
    assert outcome.md5 == source.md5
    assert source.opened == [0, 4096]
    assert len(sleep.seconds) == 1
    assert capsys.readouterr().err == f"urlsum: {URL}: incomplete: cut at 4 KiB; trying again in 0 s\n"


def test_an_origin_that_asks_for_patience_gets_it() -> None:
    source = SyntheticSource(b"abc", Clock(), fault=Faulty(HttpFailed(503, "busy", retry_after=0.04)))
    sleep = Slept()
    (outcome,) = hasher(source, sleep).digests([HashRequest(URL)])
    assert outcome.md5 == source.md5
    assert sum(sleep.seconds) > 0.03


def test_tries_without_progress_end_after_max_attempts() -> None:
    source = SyntheticSource(b"abc", Clock(), fault=Faulty(*[ConnectFailed(f"{URL}: refused")] * 9))
    sleep = Slept()
    (outcome,) = hasher(source, sleep, max_attempts=3).digests([HashRequest(URL)])
    assert (outcome.md5, outcome.code) == (None, "connect")
    assert outcome.message.startswith("refused; check the URL")
    assert len(source.opened) == 3


def test_a_final_status_is_not_tried_again() -> None:
    source = SyntheticSource(b"abc", Clock(), fault=Faulty(HttpFailed(404, "status 404")))
    (outcome,) = hasher(source).digests([HashRequest(URL)])
    assert outcome.code == "http"
    assert source.opened == [0]


def test_one_bad_url_does_not_keep_the_others_from_being_hashed() -> None:
    source = SyntheticSource(b"abc", Clock())
    hash_requests = [HashRequest("ftp://example.org/a"), HashRequest("http://127.0.0.1/a"), HashRequest(URL)]
    first, second, third = hasher(source).digests(hash_requests)
    assert (first.code, second.code) == ("invalid_url", "blocked")
    assert third.md5 == source.md5


def test_a_file_that_changes_all_the_time_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    source = SyntheticSource(bytes(8192), Clock(), piece=1024)

    def fault(offset: int) -> None:
        if offset == 4096:
            source.version += "+"
            raise Incomplete("cut")

    source.fault = fault
    (outcome,) = hasher(source, max_attempts=99).digests([HashRequest(URL)])
    assert outcome.code == "changed"
    assert capsys.readouterr().err.count("the file changed; reading it from the start again") == 3


def test_the_state_is_kept_after_a_failure_gone_on_from_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s"
    source = SyntheticSource(bytes(range(256)) * 40, Clock(), piece=1024)
    source.fault = Faulty(*[Incomplete("cut")] * 5, offset=2048)
    (outcome,) = hasher(source, state=path, max_attempts=2).digests([HashRequest(URL)])
    assert outcome.code == "incomplete"
    assert f"2.0 KiB saved in {path}" in outcome.message
    source.fault = Faulty()
    source.opened.clear()
    (outcome,) = hasher(source, state=path).digests([HashRequest(URL)])
    assert outcome.md5 == source.md5
    assert source.opened == [2048]
    assert not path.exists()


def test_a_state_of_an_older_version_of_the_file_is_dropped_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s"
    source = SyntheticSource(bytes(4096), Clock(), piece=1024)
    source.fault = Faulty(HttpFailed(404, "gone"), offset=2048)
    list(hasher(source, state=path).digests([HashRequest(URL)]))
    source.content, source.version, source.fault = b"new", "v2", Faulty()
    (outcome,) = hasher(source, state=path).digests([HashRequest(URL)])
    assert outcome.md5 == source.md5
    assert f"{URL}: the file changed" in capsys.readouterr().err


def test_a_disk_that_is_full_does_not_end_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s"
    (tmp_path / "s.new").mkdir()  # nothing can be opened for writing there
    source = SyntheticSource(bytes(4096), Clock(), piece=1024)
    source.fault = Faulty(Incomplete("cut"), offset=2048)
    (outcome,) = hasher(source, state=path).digests([HashRequest(URL)])
    assert outcome.md5 == source.md5
    assert "cannot write the state file" in capsys.readouterr().err


def test_a_stop_between_two_files_begins_no_other() -> None:
    source = SyntheticSource(b"abc", Clock())
    made = hasher(source)
    outcomes = made.digests([HashRequest(URL), HashRequest(URL)])
    assert next(outcomes).md5
    made._stop.signum = 2
    with pytest.raises(Interrupted):
        next(outcomes)
    assert source.opened == [0]


def test_the_meter_sees_every_read() -> None:
    recorder = Recorder()
    source = Metered(SyntheticSource(bytes(2500), Clock()), recorder)
    with source.open(URL, deadline=Deadline.after(1e9)) as stream:
        while stream.read():
            pass
    assert recorder.seen == [
        ("begin", 0, 2500),
        ("move", 1000, 2500),
        ("move", 2000, 2500),
        ("move", 2500, 2500),
        ("move", 2500, 2500),
        ("end", 0, None),
    ]


def test_one_task_remembers_what_the_file_keeps(tmp_path: Path) -> None:
    task = Task(id=URL, url=URL, created_at=0, updated_at=0, expires_at=0)
    table = OneTask(task, StateFile(tmp_path / "s", URL))
    assert table.get(URL) is task
    assert table.kept == 0


def test_notes_come_with_the_digest_and_survive_a_state_file(tmp_path: Path) -> None:
    path = tmp_path / "s"
    source = SyntheticSource(bytes(range(256)) * 40, Clock(), piece=1024)
    source.representation = replace(FILE, final_url=URL, content_type="text/html", notes=("web-page",))
    source.fault = Faulty(Incomplete("cut"), Incomplete("cut"), offset=4096)
    (outcome,) = hasher(source, state=path, max_attempts=1).digests([HashRequest(URL)])
    assert (outcome.md5, outcome.notes) == (None, ())
    source.fault = lambda offset: None
    source.representation = replace(FILE, final_url=URL)  # the rest is a 206, which does not say it again
    (outcome,) = hasher(source, state=path).digests([HashRequest(URL)])
    assert outcome.md5 == source.md5
    assert outcome.notes == ("The server sent a web page (text/html, 10.0 KiB). Is this the file you meant?",)
