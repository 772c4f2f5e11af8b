"""What LocalHasher adds to the slices of urlsum.worker.slice: one task in memory, a meter, a state file."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.origin.synthetic import FILE, Clock, SyntheticSource
from urlsum.cli.interrupt import Interrupted, Stop
from urlsum.cli.local import LocalHasher, LocalOptions
from urlsum.cli.metered import Metered
from urlsum.cli.one_file import OneTask
from urlsum.cli.outcome import HashRequest, Outcome
from urlsum.cli.progress import NoFileMeter, NoMeter
from urlsum.cli.state import StateFile
from urlsum.deadline import Deadline
from urlsum.errors import AddressRefused, ConnectFailed, HttpFailed, Incomplete
from urlsum.settings import parse
from urlsum.task import Task

if TYPE_CHECKING:
    from pathlib import Path

    from urlsum.worker.source import Source

URL = "https://example.org/a"
ALONE = LocalOptions()


class Recorder(NoFileMeter):
    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int | None]] = []

    def begin(self, at: int, total: int | None) -> None:
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
        time.sleep(min(seconds, 1.0))


def hasher(
    source: Source, sleep: Slept | None = None, options: LocalOptions = ALONE, **settings: object
) -> LocalHasher:
    given: dict[str, object] = {"retry_base_seconds": 0.02, **settings}
    return LocalHasher(parse(given), options, stop=Stop(), meter=NoMeter(), source=source, sleep=sleep or Slept())


def only(source: Source, path: Path, **settings: object) -> Outcome:
    """The outcome of a run that keeps its progress at ``path``."""
    (outcome,) = hasher(source, None, LocalOptions(state=path), **settings).digests([HashRequest(URL)])
    return outcome


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
    source = SyntheticSource(b"abc", Clock(), fault=Faulty(HttpFailed(503, "busy", retry_after=0.5)))
    sleep = Slept()
    (outcome,) = hasher(source, sleep).digests([HashRequest(URL)])
    assert outcome.md5 == source.md5
    assert sleep.seconds[0] > 0.3  # the rest went by meanwhile, on a busy machine


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


def test_a_refused_address_is_told_at_once_and_not_tried_again() -> None:
    refused = AddressRefused(f"{URL}: 10.0.0.1 is in a private network (RFC 1918)")
    source, sleep = SyntheticSource(b"abc", Clock(), fault=Faulty(refused)), Slept()
    (outcome,) = hasher(source, sleep).digests([HashRequest(URL)])
    assert (outcome.code, outcome.message) == ("blocked", "10.0.0.1 is in a private network (RFC 1918)")
    assert (len(source.opened), sleep.seconds) == (1, [])


def test_one_bad_url_does_not_keep_the_others_from_being_tried() -> None:
    made = LocalHasher(parse({}), ALONE, stop=Stop(), meter=NoMeter())
    urls = ["ftp://example.org/a", "http://127.0.0.1/a", "http://10.0.0.1/a"]
    codes = [outcome.code for outcome in made.digests([HashRequest(url) for url in urls])]
    assert codes == ["invalid_url", "blocked", "blocked"]


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
    outcome = only(source, path, max_attempts=2)
    assert outcome.code == "incomplete"
    assert f"2.0 KiB saved in {path}" in outcome.message
    source.fault = Faulty()
    source.opened.clear()
    outcome = only(source, path)
    assert outcome.md5 == source.md5
    assert source.opened == [2048]
    assert not path.exists()


def test_a_state_of_an_older_version_of_the_file_is_dropped_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s"
    source = SyntheticSource(bytes(4096), Clock(), piece=1024)
    source.fault = Faulty(HttpFailed(404, "gone"), offset=2048)
    only(source, path)
    source.content, source.version, source.fault = b"new", "v2", Faulty()
    outcome = only(source, path)
    assert outcome.md5 == source.md5
    assert f"{URL}: the file changed" in capsys.readouterr().err


def test_a_disk_that_is_full_does_not_end_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s"
    (tmp_path / "s.new").mkdir()  # nothing can be opened for writing there
    source = SyntheticSource(bytes(4096), Clock(), piece=1024)
    source.fault = Faulty(Incomplete("cut"), offset=2048)
    outcome = only(source, path)
    assert outcome.md5 == source.md5
    assert "cannot write the state file" in capsys.readouterr().err


def test_a_stop_begins_no_other_file() -> None:
    source = SyntheticSource(b"abc", Clock())
    made = hasher(source)

    def interrupt(offset: int) -> None:
        made._stop.signum = 2

    source.fault = interrupt
    with pytest.raises(Interrupted):
        list(made.digests([HashRequest(URL), HashRequest(URL)]))
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
    outcome = only(source, path, max_attempts=1)
    assert (outcome.md5, outcome.notes) == (None, ())
    source.fault = lambda offset: None
    source.representation = replace(FILE, final_url=URL)  # the rest is a 206, which does not say it again
    outcome = only(source, path)
    assert outcome.md5 == source.md5
    (note,) = outcome.notes
    assert note.message == "The server sent a web page (text/html, 10.0 KiB). Is this the file you meant?"


def test_a_stop_between_two_tries_is_an_interruption_and_no_fault() -> None:
    source = SyntheticSource(b"abc", Clock(), fault=Faulty(ConnectFailed(f"{URL}: refused")))
    sleeping = hasher(source, retry_base_seconds=60.0)

    def interrupt(seconds: float) -> None:
        sleeping._stop.signum = 2

    sleeping._shared = replace(sleeping._shared, sleep=interrupt)
    with pytest.raises(Interrupted):
        list(sleeping.digests([HashRequest(URL)]))
