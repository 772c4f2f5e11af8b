"""The documents: their links lead somewhere, and what they quote is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from urlsum.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "bench" / "README.md"]
DECISIONS = ROOT / "docs" / "decisions.md"
OPERATIONS = ROOT / "docs" / "operations.md"
LINK = re.compile(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
ENTRY = re.compile(r"^### (.+)\n\n(.+)\n", re.MULTILINE)
STATUS = re.compile(r"(Accepted|Superseded by \[.+\]\(#.+\)), \d{4}-\d{2}-\d{2}")
# What operators search the logs for. A figure of the code stands in the place of each `*`.
LOGGED = ["stranded; sent again", "given up", "email refused", "email given up", "email suppressed"]
FAILURE = "workers stopped * times without making progress"


def text(path: Path) -> str:
    """A document without its blocks of code."""
    return FENCED.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """The anchors of its headings, as GitHub makes them."""
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in HEADING.findall(text(path))]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_every_link_inside_the_repository_leads_to_a_file_and_a_heading(path: Path) -> None:
    broken = []
    for link in (first or second for first, second in LINK.findall(text(path))):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        file = path.parent / name if name else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(link)
    assert broken == []


def test_every_decision_has_a_heading_of_its_own_a_status_and_a_date() -> None:
    entries = ENTRY.findall(DECISIONS.read_text(encoding="utf-8"))
    titles = [title for title, _ in entries]
    assert len(titles) == DECISIONS.read_text(encoding="utf-8").count("\n### ")
    assert len(anchors(DECISIONS)) == len(HEADING.findall(text(DECISIONS)))
    assert [title for title, status in entries if not STATUS.fullmatch(status)] == []


def test_the_readme_explains_every_setting() -> None:
    rows = re.findall(r"^\| (`[A-Z0-9_`, ]+) \|", text(ROOT / "README.md"), re.MULTILINE)
    explained = {name for row in rows for name in re.findall(r"`([A-Z0-9_]+)`", row)}
    # Lambda's runtime sets the last one, never a person.
    assert explained == {name.upper() for name in Settings.__struct_fields__} - {"AWS_LAMBDA_FUNCTION_NAME"}


@pytest.mark.parametrize("words", LOGGED)
def test_operators_find_the_words_of_the_log(words: str) -> None:
    assert f"`{words}`" in text(OPERATIONS)
    assert any(words in path.read_text(encoding="utf-8") for path in (ROOT / "src" / "urlsum").rglob("*.py"))


def test_operators_find_the_words_of_a_task_whose_workers_died() -> None:
    quoted = " ".join(text(OPERATIONS).split())
    assert re.search(FAILURE.replace("*", r"\d+"), quoted)
    pattern = re.compile(FAILURE.replace("*", r"\{\w+\}"))
    assert any(pattern.search(path.read_text(encoding="utf-8")) for path in (ROOT / "src" / "urlsum").rglob("*.py"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_every_container_comes_back_and_its_log_is_bounded(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    commands = [line for line in lines if re.search(r"\bdocker run -", line)]
    assert [
        line for line in commands if "--restart unless-stopped" not in line or "--log-opt max-size=" not in line
    ] == []
