"""What ``urlsum.tables.rows`` reads of a row that another version, or a person, wrote."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.stores.tables import full_task, new_task
from urlsum.tables.rows import from_row, to_row
from urlsum.task import Proof, Representation

ROW = to_row(full_task())
LEAST = {"name": "a.bam", "final_url": "https://h/a.bam"}


def read(text: object) -> Representation | None:
    return from_row({**ROW, "representation": text}).representation


def test_a_row_is_read_as_it_was_written() -> None:
    for task in (full_task(), new_task()):
        assert from_row(to_row(task)) == task


def test_what_an_older_version_did_not_write_is_nothing() -> None:
    task = from_row({**ROW, "received": None, "not_before": None, "fresh": None, "continued": None})
    assert (task.received, task.not_before, task.fresh, task.continued) == (0, 0.0, False, False)


def test_a_row_of_an_older_version_has_no_representation() -> None:
    assert read(None) is None


@pytest.mark.parametrize(
    ("more", "facts"),
    [
        ({}, {}),
        ({"of_a_newer_version": {"a": 1}}, {}),
        ({"proof": "of-a-newer-version"}, {}),
        ({"proof": ["etag"]}, {}),
        ({"proof": "etag"}, {"proof": Proof.ETAG}),
        ({"notes": ["of-a-newer-version"]}, {"notes": ("of-a-newer-version",)}),
        ({"last_modified": 5}, {"last_modified": 5.0}),
        ({"content_type": 7}, {"content_type": "7"}),
    ],
)
def test_what_a_newer_version_wrote_is_read_as_far_as_it_is_known(more: dict[str, Any], facts: dict[str, Any]) -> None:
    assert read(json.dumps(LEAST | more)) == Representation(name="a.bam", final_url="https://h/a.bam", **facts)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "7", '"x"', "{}", '{"name":"a"}', json.dumps(LEAST | {"last_modified": "now"})]
)
def test_a_text_that_is_no_representation_costs_the_facts_and_not_the_digest(text: str) -> None:
    task = from_row({**ROW, "representation": text})
    assert (task.representation, task.md5) == (None, full_task().md5)


def test_the_stored_text_is_bounded_and_has_no_empty_facts() -> None:
    known = Representation(name="a.bam", final_url="https://h/a.bam")
    assert to_row(full_task(representation=known))["representation"] == (
        '{"name":"a.bam","final_url":"https://h/a.bam","proof":"length"}'
    )
    largest = Representation(name="\U0001f600" * 63, final_url="x" * 8500, content_type="c" * 100, etag="é" * 200)
    assert len(str(to_row(full_task(representation=largest))["representation"])) < 12_000
