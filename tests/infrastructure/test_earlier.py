"""Which earlier commit the update of a deployment begins with, in histories of every kind."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.aws import earlier

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")


@dataclass(frozen=True)
class Repository:
    folder: Path

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
        output: str = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True).stdout
        return output.strip()

    def commit(self, path: str, text: str) -> str:
        (self.folder / path).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", path)
        return self.git("rev-parse", "HEAD")

    def resolved(self) -> str:
        return self.git("rev-parse", earlier.revisions()[0])


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setattr(earlier, "ROOT", tmp_path)
    made = Repository(tmp_path)
    made.git("init", "--quiet")
    return made


def test_it_is_the_commit_before_the_last_change_of_what_is_deployed(repository: Repository) -> None:
    first = repository.commit("template.yaml", "1")
    repository.commit("template.yaml", "2")
    repository.commit("README.md", "3")
    assert repository.resolved() == first


def test_a_merge_is_one_change(repository: Repository) -> None:
    first = repository.commit("template.yaml", "1")
    repository.git("checkout", "--quiet", "-b", "branch")
    repository.commit("src", "2")
    repository.commit("src", "3")
    repository.git("checkout", "--quiet", "-")
    repository.git("merge", "--quiet", "--no-ff", "--message", "merge", "branch")
    assert repository.resolved() == first


def test_it_is_this_commit_while_changes_are_not_committed(repository: Repository) -> None:
    repository.commit("template.yaml", "1")
    second = repository.commit("template.yaml", "2")
    (repository.folder / "template.yaml").write_text("3")
    assert repository.resolved() == second


def test_it_is_the_newest_release_before_this_commit(repository: Repository) -> None:
    repository.commit("template.yaml", "1")
    released = repository.commit("template.yaml", "2")
    repository.git("tag", "v1")
    repository.commit("template.yaml", "3")
    repository.commit("template.yaml", "4")
    repository.git("tag", "v2")
    assert repository.resolved() == released


def test_without_history_the_update_is_skipped(repository: Repository) -> None:
    repository.commit("template.yaml", "1")
    with pytest.raises(pytest.skip.Exception, match="shallow"):
        earlier.revisions()


def test_outside_a_clone_the_update_is_skipped(repository: Repository) -> None:
    shutil.rmtree(repository.folder / ".git")
    with pytest.raises(pytest.skip.Exception, match="no clone"):
        earlier.revisions()
