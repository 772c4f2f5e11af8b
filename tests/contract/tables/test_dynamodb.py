"""What only the DynamoDB table has: requests that are counted, retried and lost, a sharded index, a size limit."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from tests.support.stores.dynamodb import Fault, Relay
from tests.support.stores.tables import NOW, full_task, new_task
from urlsum import aws, wiring
from urlsum.errors import ClockSkewed, LeaseLost, TableUnavailable, TaskExists, TaskNotFound
from urlsum.md5 import STATE_SIZE
from urlsum.origin.version.version import MAX_ETAG_CHARACTERS, RESUME_OVERLAP_BYTES, Overlap, Version
from urlsum.settings import parse
from urlsum.tables import dynamodb
from urlsum.tables.dynamodb import DATE_SECONDS, DUE_SHARDS, RETRIES, DynamoTaskTable
from urlsum.task import Checkpoint, Mail

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.tables import TaskTable
    from urlsum.task import Task

TRIES = RETRIES + 1
# What one write unit pays for: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
WRITE_UNIT = 1024


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let botocore try again at once."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)


@pytest.fixture
def client(relay: Relay) -> Any:
    made = boto3.client("dynamodb")
    yield made
    made.close()


def item(client: Any, name: str, task: Task) -> dict[str, dict[str, Any]]:
    stored: dict[str, dict[str, Any]] = client.get_item(
        TableName=name, Key={"id": {"S": task.id}}, ConsistentRead=True
    )["Item"]
    return stored


def calls(table: TaskTable, task: Task) -> list[Callable[[], object]]:
    return [
        lambda: table.add(new_task()),
        lambda: table.get(task.id),
        lambda: table.save(task, over=task),
        lambda: table.remove(task),
        lambda: table.due(NOW, 1),
        lambda: list(table.overdue(NOW, 1)),
    ]


def test_each_call_is_one_request_and_the_table_is_never_described(dynamodb_table_name: str, relay: Relay) -> None:
    table, task = DynamoTaskTable(dynamodb_table_name), new_task()
    assert relay.operations == []
    table.add(task)
    table.get(task.id)
    table.save(task, over=task, lease_before=NOW)
    table.remove(task)
    table.purge(NOW, 10)
    assert relay.operations == ["PutItem", "GetItem", "UpdateItem", "DeleteItem"]
    relay.operations.clear()
    table.due(NOW, 10)
    assert relay.operations == ["Query"] * 2 * DUE_SHARDS


def test_a_look_at_what_is_overdue_reads_a_hundred_tasks_with_one_request(
    dynamodb_table_name: str, relay: Relay
) -> None:
    table = DynamoTaskTable(dynamodb_table_name)
    for _ in range(150):
        table.add(new_task())
    relay.operations.clear()
    assert len(list(table.overdue(NOW, 1000))) == 150
    assert relay.operations == [*["Query"] * 2 * DUE_SHARDS, *["BatchGetItem"] * 2]


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB"])
def test_the_endpoint_is_the_environments(
    dynamodb_table_name: str, relay: Relay, unused_port: int, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused_port}")
    monkeypatch.setenv(variable, relay.url)  # the one of the service wins over the common one
    with pytest.raises(TaskNotFound):
        DynamoTaskTable(dynamodb_table_name).get("0e4fac17-aaaa-4bbb-8ccc-dddddddddddd")
    assert relay.operations == ["GetItem"]


def test_attributes_of_a_newer_version_survive_a_save(dynamodb_table_name: str, client: Any) -> None:
    table, task = DynamoTaskTable(dynamodb_table_name), full_task()
    table.add(task)
    client.update_item(
        TableName=dynamodb_table_name,
        Key={"id": {"S": task.id}},
        UpdateExpression="SET sha256 = :v",
        ExpressionAttributeValues={":v": {"S": "kept"}},
    )
    changed = replace(task, md5=None, slices=task.slices + 1)
    table.save(changed, over=task)
    assert item(client, dynamodb_table_name, task)["sha256"] == {"S": "kept"}
    assert table.get(task.id) == changed


def test_people_find_the_fields_they_know_and_nothing_stands_for_none(dynamodb_table_name: str, client: Any) -> None:
    table, queued = DynamoTaskTable(dynamodb_table_name), new_task(email="someone@example.org")
    table.add(queued)
    stored = item(client, dynamodb_table_name, queued)
    assert stored["url"] == {"S": queued.url}
    assert stored["email"] == {"S": "someone@example.org"}
    assert stored["complete"] == {"BOOL": False}
    assert "md5" not in stored
    assert not [name for name, value in stored.items() if "NULL" in value]
    running = queued.claimed(NOW, 90)
    table.save(running, over=queued)
    table.save(running.done("f" * 32, 7, NOW), over=running)
    stored = item(client, dynamodb_table_name, queued)
    assert stored["complete"] == {"BOOL": True}
    assert stored["md5"] == {"S": "f" * 32}
    assert stored["expires_at"] == {"N": str(queued.expires_at)}  # whole seconds: DynamoDB's TTL takes nothing else


def test_only_a_task_that_is_due_some_time_is_in_the_index(dynamodb_table_name: str, client: Any) -> None:
    table, task = DynamoTaskTable(dynamodb_table_name), new_task()

    def indexed() -> int:
        count: int = client.scan(TableName=dynamodb_table_name, IndexName="due")["Count"]
        return count

    table.add(task)
    assert indexed() == 1
    table.save(replace(task, due_at=None), over=task)
    assert indexed() == 0
    assert not {"due_at", "due_shard"} & item(client, dynamodb_table_name, task).keys()
    table.save(task, over=task)
    assert indexed() == 1


def test_ids_spread_over_all_shards_and_no_others(dynamodb_table_name: str, client: Any) -> None:
    table = DynamoTaskTable(dynamodb_table_name)
    for number in range(40):
        table.add(new_task(id=str(uuid.UUID(int=number))))
    items = client.scan(TableName=dynamodb_table_name)["Items"]
    shards = [int(stored["due_shard"]["N"]) for stored in items]
    assert set(shards) == set(range(DUE_SHARDS))
    assert max(shards.count(shard) for shard in range(DUE_SHARDS)) <= 2 * len(shards) / DUE_SHARDS


def test_due_reads_on_where_an_answer_ends(
    dynamodb_table_name: str, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = DynamoTaskTable(dynamodb_table_name)
    ids = [f"{number:036}" for number in range(30)]
    for number, id_ in enumerate(ids):
        table.add(new_task(id=id_, due_at=NOW + number))
    monkeypatch.setattr(relay, "page_size", 2)
    relay.operations.clear()
    assert table.due(NOW + 100, 1000) == ids
    assert len(relay.operations) > 30 / 2


def test_a_task_is_read_consistently(dynamodb_table_name: str, relay: Relay) -> None:
    table, task = DynamoTaskTable(dynamodb_table_name), new_task()
    table.add(task)
    relay.requests.clear()
    table.get(task.id)
    assert relay.requests[0]["ConsistentRead"] is True


@pytest.mark.parametrize("fault", [Fault.BROKEN, Fault.UNAVAILABLE, Fault.THROTTLED, Fault.HANG_UP])
def test_a_fault_that_stays_is_an_outage_and_one_that_passes_is_not_noticed(
    dynamodb_table_name: str, relay: Relay, fault: Fault
) -> None:
    table, task = DynamoTaskTable(dynamodb_table_name), new_task()
    table.add(task)
    for call in calls(table, task):
        relay.fail(*[fault] * TRIES)
        with pytest.raises(TableUnavailable):
            call()
        assert not relay.faults
    relay.fail(*[fault] * RETRIES)
    assert table.get(task.id) == task


def test_nothing_is_written_by_a_call_that_failed(dynamodb_table_name: str, relay: Relay) -> None:
    table, task = DynamoTaskTable(dynamodb_table_name), new_task()
    relay.fail(*[Fault.BROKEN] * TRIES)
    with pytest.raises(TableUnavailable):
        table.add(task)
    with pytest.raises(TaskNotFound):
        table.get(task.id)


def test_an_endpoint_that_is_dead_is_an_outage(monkeypatch: pytest.MonkeyPatch, unused_port: int) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused_port}")
    table = DynamoTaskTable("tasks")
    for call in calls(table, new_task()):
        with pytest.raises(TableUnavailable, match="does not answer"):
            call()


def test_a_missing_table_is_an_outage(relay: Relay) -> None:
    table = DynamoTaskTable("nowhere")
    for call in calls(table, new_task()):
        with pytest.raises(TableUnavailable, match="nowhere"):
            call()


def test_missing_credentials_are_an_outage(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        aws, "_maker", lambda: boto3.Session().client
    )  # a process keeps the credentials that it has found
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(TableUnavailable, match="credentials"):
        DynamoTaskTable("tasks").get("0e4fac17-aaaa-4bbb-8ccc-dddddddddddd")


def test_an_add_whose_answer_got_lost_is_an_add(dynamodb_table_name: str, relay: Relay) -> None:
    table, task = DynamoTaskTable(dynamodb_table_name), new_task()
    relay.fail(Fault.LOSE_ANSWER)
    table.add(task)
    assert relay.operations == ["PutItem", "PutItem"]
    assert table.get(task.id) == task
    with pytest.raises(TaskExists):
        table.add(task)  # another call, though of the same task


def test_the_retry_of_an_add_does_not_undo_a_claim_in_between(
    dynamodb_table_name: str, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, task = DynamoTaskTable(dynamodb_table_name), new_task()
    claimed = task.claimed(NOW, 90)
    worker = DynamoTaskTable(dynamodb_table_name)
    monkeypatch.setattr(relay, "meanwhile", lambda: worker.save(claimed, over=task, lease_before=NOW))
    relay.fail(Fault.LOSE_ANSWER)
    with pytest.raises(TaskExists):
        table.add(task)
    assert relay.operations == ["PutItem", "UpdateItem", "PutItem"]
    assert table.get(task.id) == claimed


def test_a_claim_whose_answer_got_lost_stops_its_caller_and_corrupts_nothing(
    dynamodb_table_name: str, relay: Relay
) -> None:
    table, task = DynamoTaskTable(dynamodb_table_name), new_task()
    table.add(task)
    claimed = task.claimed(NOW, 90)
    relay.fail(Fault.LOSE_ANSWER)
    with pytest.raises(LeaseLost):
        table.save(claimed, over=task, lease_before=NOW)
    assert table.get(task.id) == claimed
    assert table.due(NOW + 90, 1) == [task.id]  # and it comes up again when that lease lapses


def test_a_checkpoint_or_removal_whose_answer_got_lost_succeeds(dynamodb_table_name: str, relay: Relay) -> None:
    table, task = DynamoTaskTable(dynamodb_table_name), new_task().claimed(NOW, 90)
    table.add(task)
    further = task.checkpointed(Checkpoint(64, bytes(24), ""), size=None, rate=None, now=NOW, lease_seconds=90)
    relay.fail(Fault.LOSE_ANSWER)
    table.save(further, over=task)
    assert table.get(task.id) == further
    relay.fail(Fault.LOSE_ANSWER)
    table.remove(further)
    with pytest.raises(TaskNotFound):
        table.get(task.id)


def test_a_checkpoint_costs_one_write_unit(dynamodb_table_name: str, client: Any) -> None:
    table = DynamoTaskTable(dynamodb_table_name)
    url = "https://example.org/" + "a" * 180
    # The longest that an origin can bring about: each backslash of its ETag takes two characters of JSON.
    etag = '"' + "\\" * (MAX_ETAG_CHARACTERS - 2) + '"'
    validator = Version(
        etag, False, 1_795_000_000, 5 * 2**40, Overlap(4 * 2**40, RESUME_OVERLAP_BYTES, "f" * 32)
    ).dump()
    # Nothing short in it: an e-mail address, an expected MD5, five terabytes, six hours of slices.
    task = new_task(url=url, email="a.person.of.usual.name@example.org", expected_md5="f" * 32, mail=Mail.PENDING)
    claimed = replace(task, slices=360, fence=360).claimed(NOW, 90)
    table.add(claimed)
    table.save(
        claimed.checkpointed(
            Checkpoint(4 * 2**40, bytes(range(STATE_SIZE)), validator),
            size=5 * 2**40,
            rate=1e8 / 3,
            now=NOW,
            lease_seconds=90,
        ),
        over=claimed,
    )
    assert len(url) == 200
    size = sum(_size(name, value) for name, value in item(client, dynamodb_table_name, task).items())
    print(f"a checkpointed item takes {size} bytes")  # noqa: T201 - a measured figure, shown by -rP
    assert size < WRITE_UNIT


def _size(name: str, value: dict[str, Any]) -> int:
    """Bytes of one attribute, by https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html."""
    [(kind, content)] = value.items()
    match kind:
        case "S":
            size = len(content.encode())
        case "B":
            size = len(content)
        case "N":
            size = len(content.replace(".", "").replace("-", "").strip("0")) // 2 + 2
        case "BOOL":
            size = 1
        case _:
            raise AssertionError(kind)
    return len(name.encode()) + size


def test_a_count_reads_every_page_and_stops_at_its_bound(
    relay: Relay, dynamodb_table_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = DynamoTaskTable(dynamodb_table_name)
    for number in range(30):
        table.add(new_task(continued=number % 2 == 1))
    monkeypatch.setattr(relay, "page_size", 2)
    assert table.unfinished(1000) == 30
    relay.operations.clear()
    assert table.unfinished(1) == 1
    assert relay.operations == ["Query"] * 2 * DUE_SHARDS


def test_far_below_a_large_limit_one_shard_of_each_kind_is_counted(
    relay: Relay, dynamodb_table_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = DynamoTaskTable(dynamodb_table_name)
    for number in range(40):
        table.add(new_task(continued=number % 2 == 1))
    monkeypatch.setattr(dynamodb, "SAMPLED_LIMIT", 50)
    monkeypatch.setattr(table, "_counted", lambda shard, _limit: 4 + shard % DUE_SHARDS)
    assert table.unfinished(100) == DUE_SHARDS * 2 * 4
    assert table.unfinished(60) == 2 * (4 + 5 + 6 + 7)  # the estimate of 32 is more than half of it
    assert table.unfinished(49) == 2 * (4 + 5 + 6 + 7)
    monkeypatch.undo()
    monkeypatch.setattr(dynamodb, "SAMPLED_LIMIT", 50)
    relay.operations.clear()
    assert table.unfinished(1000) % DUE_SHARDS == 0
    assert relay.operations == ["Query"] * 2


@pytest.fixture
def dynamo(dynamodb_table_name: str) -> DynamoTaskTable:
    return DynamoTaskTable(dynamodb_table_name)


def test_a_claim_leaves_the_index_alone_and_the_task_has_the_end_of_its_lease(dynamo: DynamoTaskTable) -> None:
    queued = replace(new_task(), due_at=NOW)
    dynamo.add(queued)
    claimed = queued.claimed(NOW + 5, 90.0)
    dynamo.save(claimed, over=queued)
    assert dynamo.get(queued.id) == claimed
    assert dynamo.due(NOW, 10) == [queued.id]  # earlier than it is due: a sweep reads it and leaves it alone


@pytest.mark.parametrize("change", ["checkpointed", "released", "done"])
def test_the_next_write_of_a_claimed_task_moves_the_index(dynamo: DynamoTaskTable, change: str) -> None:
    queued = replace(new_task(), due_at=NOW)
    dynamo.add(queued)
    claimed = queued.claimed(NOW + 5, 90.0)
    dynamo.save(claimed, over=queued)
    after = {
        "checkpointed": lambda: claimed.renewed(NOW + 6, lease_seconds=90.0),
        "released": lambda: claimed.released(NOW + 6),
        "done": lambda: claimed.done("0" * 32, 1, NOW + 6),
    }[change]()
    dynamo.save(after, over=claimed)
    assert dynamo.get(queued.id) == after
    assert dynamo.due(NOW + 5.9, 10) == []
    assert dynamo.due(NOW + 1000, 10) == ([] if change == "done" else [queued.id])


def test_a_claim_before_the_time_in_the_index_moves_it(dynamo: DynamoTaskTable) -> None:
    # An older sweeper has postponed its next look by an hour; the worker may die at once.
    queued = replace(new_task(), due_at=NOW + 3600)
    dynamo.add(queued)
    claimed = queued.claimed(NOW + 5, 90.0)
    dynamo.save(claimed, over=queued)
    assert dynamo.get(queued.id) == claimed
    assert dynamo.due(NOW + 95, 10) == [queued.id]


def test_a_due_time_that_an_older_version_wrote_after_a_claim_counts(
    dynamo: DynamoTaskTable, dynamodb_table_name: str, client: Any
) -> None:
    queued = replace(new_task(), due_at=NOW)
    dynamo.add(queued)
    claimed = queued.claimed(NOW + 5, 90.0)
    dynamo.save(claimed, over=queued)
    client.update_item(
        TableName=dynamodb_table_name,
        Key={"id": {"S": queued.id}},
        UpdateExpression="SET due_at = :due, lease_until = :none",
        ExpressionAttributeValues={":due": {"N": str(NOW + 50)}, ":none": {"N": "0"}},
    )
    assert dynamo.get(queued.id).due_at == NOW + 50


@pytest.mark.parametrize(
    ("faults", "in_doubt"),
    [
        ([Fault.LOSE_ANSWER] * 3, True),
        ([Fault.HANG_UP] * 3, True),
        ([Fault.BROKEN] * 3, True),  # "the operation may have succeeded", as AWS says of a 500
        ([Fault.LOSE_ANSWER, Fault.THROTTLED, Fault.THROTTLED], True),
    ],
    ids=str,
)
def test_a_write_of_which_a_try_may_have_been_applied_is_in_doubt(
    dynamodb_table: DynamoTaskTable, relay: Relay, faults: list[Fault], in_doubt: bool
) -> None:
    relay.fail(*faults)
    with pytest.raises(TableUnavailable) as caught:
        dynamodb_table.add(new_task())
    assert caught.value.in_doubt is in_doubt


def test_a_write_that_is_refused_at_once_is_not_in_doubt(
    dynamodb_table: DynamoTaskTable, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = DynamoTaskTable("no-such-table")
    with pytest.raises(TableUnavailable) as caught:
        gone.add(new_task())
    assert not caught.value.in_doubt
    relay.fail(*[Fault.HANG_UP] * 3)
    with pytest.raises(TableUnavailable) as caught:
        dynamodb_table.get(new_task().id)
    assert not caught.value.in_doubt  # a read


@pytest.mark.parametrize("fault", [None, Fault.THROTTLED])
def test_the_date_of_a_response_is_the_clock_even_if_the_request_is_refused(
    relay: Relay, monkeypatch: pytest.MonkeyPatch, fault: Fault | None
) -> None:
    """DynamoDB refuses what is signed by a clock that is minutes away."""
    monkeypatch.setattr(relay, "ahead", 7200.0)
    if fault is not None:
        relay.fail(*[fault] * TRIES)
    before = time.time()
    read = dynamodb.server_time("tasks", dynamodb.client)
    assert read is not None
    # The middle of a second.
    assert before - 1 <= read - 7200.0 <= time.time() + 1
    assert read % 1 == DATE_SECONDS / 2


def test_without_a_date_there_is_no_clock(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "ahead", None)
    assert dynamodb.server_time("tasks", dynamodb.client) is None


@pytest.mark.parametrize("fault", [Fault.HANG_UP, Fault.UNAVAILABLE])
def test_the_clock_of_a_table_that_does_not_answer_is_unknown(relay: Relay, fault: Fault) -> None:
    relay.fail(*[fault] * TRIES)
    with pytest.raises(TableUnavailable, match="DynamoDB does not answer"):
        dynamodb.server_time("tasks", dynamodb.client)


def test_off_aws_a_process_goes_by_the_clock_of_dynamodb(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    relay.requests.clear()
    services = wiring.wire(parse({"tasks_table": "tasks"}))
    services.synchronize()
    assert services.clock() == pytest.approx(time.time(), abs=0.2)  # within the resolution nothing is corrected
    monkeypatch.setattr(relay, "ahead", 6.0)
    services.synchronize()
    assert 4.8 < services.clock() - time.time() <= 6.1  # the second itself is not certain
    monkeypatch.setattr(relay, "ahead", -300.0)
    with pytest.raises(ClockSkewed, match="ahead of the database's"):
        services.synchronize()
    with pytest.raises(ClockSkewed):
        wiring.check_clock(services.settings)
    assert {request["TableName"] for request in relay.requests} == {"tasks"}


def test_lambda_measures_nothing(relay: Relay) -> None:
    relay.operations.clear()
    services = wiring.wire(parse({"tasks_table": "tasks", "aws_lambda_function_name": "f"}))
    services.synchronize()
    assert relay.operations == []
