from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from urlsum.cli.state import StateFile
from urlsum.errors import StateError
from urlsum.md5 import MD5
from urlsum.task import Checkpoint, Representation

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://example.org/a.bam?signature=secret"

KNOWN = Representation(name="a.bam", final_url=URL, notes=("web-page",))


def checkpoint(count: int = 128) -> Checkpoint:
    md5 = MD5()
    md5.update(bytes(count))
    return Checkpoint(*md5.checkpoint(), "v1")


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "s", URL)
    assert file.load() is None
    for count in (64, 128):
        for known in (KNOWN, None):
            file.save(checkpoint(count), known)
            assert file.load() == (checkpoint(count), known)
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    file.remove()
    assert file.load() is None


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    StateFile(tmp_path / "s", URL).save(checkpoint(), KNOWN)
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600


def test_an_empty_file_is_no_state_yet(tmp_path: Path) -> None:
    (tmp_path / "s").touch()
    assert StateFile(tmp_path / "s", URL).load() is None


def test_the_state_of_another_url_is_refused(tmp_path: Path) -> None:
    StateFile(tmp_path / "s", URL).save(checkpoint(), KNOWN)
    with pytest.raises(StateError, match=r"of another URL, https://example\.org/a\.bam"):
        StateFile(tmp_path / "s", "https://example.org/b.bam").load()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"urlsum": 2}, "another version"),
        ({"offset": 64}, "do not match"),
        ({"offset": "128"}, "do not match"),
        ({"md5_state": "00" * 29}, "version 0"),
        ({"md5_state": checkpoint().md5_state.hex()[:-2] + "ff"}, "checksum"),
        ({"md5_state": "zz"}, "not a state file of urlsum"),
        ({"md5_state": 7}, "not a state file of urlsum"),
        ({"url": None}, "another URL"),
    ],
)
def test_a_damaged_state_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = tmp_path / "s"
    StateFile(path, URL).save(checkpoint(), KNOWN)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StateError, match=words) as caught:
        StateFile(path, URL).load()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [None, "{", "[]", 7])
def test_a_state_without_facts_that_can_be_read_still_keeps_the_place(tmp_path: Path, kept: object) -> None:
    path = tmp_path / "s"
    StateFile(path, URL).save(checkpoint(), KNOWN)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"representation": kept}))
    assert StateFile(path, URL).load() == (checkpoint(), None)


@pytest.mark.parametrize("text", ["{", "[]", "{}", "7", "d41d8cd98f00b204e9800998ecf8427e  file", "\x00" * 70_000])
def test_another_kind_of_file_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s"
    path.write_text(text)
    with pytest.raises(StateError, match="not a state file of urlsum"):
        StateFile(path, URL).load()
    assert path.read_text() == text


def test_a_folder_that_is_not_there_shows_before_the_first_hour(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="folder"):
        StateFile(tmp_path / "no" / "s", URL).load()
    with pytest.raises(StateError, match="directory"):
        StateFile(tmp_path, URL).load()
