from __future__ import annotations

import hashlib
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.stores.memory import MemoryQueue, MemoryTaskTable, secret
from urlsum import service
from urlsum.errors import InvalidRequest, QueueUnavailable, TableUnavailable, TaskExists, TaskNotFound
from urlsum.origin.guard.guard import Guard
from urlsum.service import Submission
from urlsum.settings import Settings
from urlsum.task import Mail, Status, Task

if TYPE_CHECKING:
    from urlsum.secret import Secret

NOW = 1_000_000.0
URL = "https://example.org/file.txt"


class InMemoryService:
    """The service over a table and a queue in memory."""

    def __init__(self, secret: Secret = secret) -> None:
        self.secret = secret
        self.table = MemoryTaskTable()
        self.queue = MemoryQueue()
        self.guard = Guard(Settings())
        self.now = NOW

    def submit(self, url: str = URL, **fields: Any) -> str:
        return service.submit(
            Submission(url=url, **fields),
            table=self.table,
            queue=self.queue,
            guard=self.guard,
            secret=self.secret,
            now=self.now,
            ttl_days=30,
        )


def test_an_accepted_task_is_in_the_table_and_on_the_queue() -> None:
    counter = InMemoryService()
    task_id = counter.submit(email="someone@abc.ru", md5="ABCDEF" + "0" * 26)
    task = counter.table.get(task_id)
    assert uuid.UUID(task_id).version == 4
    assert (task.url, task.email, task.expected_md5) == (URL, "someone@abc.ru", "abcdef" + "0" * 26)
    assert (task.status, task.mail, task.due_at) == (Status.QUEUED, Mail.PENDING, NOW)
    assert task.expires_at == NOW + 30 * 86400
    assert counter.queue.sent == [(task_id, 0.0)]


@pytest.mark.parametrize("address", ["root@localhost", "me@mail.corp.local", "me@host.test", "me@example.org"])
def test_where_emails_stay_in_the_house_an_address_is_kept_as_it_is(address: str) -> None:
    counter = InMemoryService()
    task_id = service.submit(
        Submission(url=URL, email=address),
        table=counter.table,
        queue=counter.queue,
        guard=counter.guard,
        secret=secret,
        now=NOW,
        ttl_days=30,
        local_email=True,
    )
    assert counter.table.get(task_id).email == address


def test_a_task_begins_with_what_was_submitted_and_nothing_else() -> None:
    counter = InMemoryService()
    task_id = counter.submit(email="a@abc.ru")
    assert counter.table.get(task_id) == Task(
        id=task_id,
        url=URL,
        email="a@abc.ru",
        mail=Mail.PENDING,
        created_at=NOW,
        updated_at=NOW,
        due_at=NOW,
        expires_at=int(NOW) + 30 * 86400,
    )


def test_the_id_of_a_key_is_a_version_8_uuid_and_the_same_in_every_release() -> None:
    """A client may send a key again after an upgrade, or to another machine."""
    task_id = InMemoryService().submit(idempotency_key="k")
    assert task_id == "4eef5b6d-f459-8529-94f3-d3b7ffaf84ec"
    assert (uuid.UUID(task_id).version, uuid.UUID(task_id).variant) == (8, uuid.RFC_4122)


def test_who_guesses_a_key_does_not_learn_its_id() -> None:
    """Ids made from the key alone were those of every other deployment, too."""
    key = "2026-11-27"
    ours = InMemoryService().submit(idempotency_key=key)
    theirs = InMemoryService(secret=lambda: b"the secret of another deployment").submit(idempotency_key=key)
    guessed = hashlib.sha256(b"urlsum idempotency key\0" + key.encode()).digest()
    assert ours != theirs
    assert uuid.UUID(ours).bytes[:6] != guessed[:6]


def test_the_same_key_of_another_client_is_another_task() -> None:
    counter = InMemoryService()
    url = f"{URL}?X-Amz-Signature=secret"
    first = counter.submit(url, idempotency_key="k", client="192.0.2.1")
    for client in ("192.0.2.2", "2001:db8::/64", None):
        other = counter.submit(idempotency_key="k", client=client)
        assert other != first
        assert counter.table.get(other).url == URL
    assert counter.submit(url, idempotency_key="k", client="192.0.2.1") == first
    assert len(counter.table.tasks) == 4


def test_a_key_and_a_client_are_not_confused() -> None:
    counter = InMemoryService()
    pairs = [("a", "bc"), ("ab", "c"), ('a", "b', "c"), ("a", 'b", "c'), (None, "ab"), ("null", "ab")]
    ids = {counter.submit(client=client, idempotency_key=key) for client, key in pairs}
    assert len(ids) == len(pairs)


def test_without_a_key_nobody_asks_for_the_secret() -> None:
    def unavailable() -> bytes:
        raise TableUnavailable("the secret cannot be read")

    counter = InMemoryService(secret=unavailable)
    assert counter.submit()
    with pytest.raises(TableUnavailable):
        counter.submit(idempotency_key="k")
    assert len(counter.table.tasks) == 1


def test_the_id_that_an_earlier_release_made_from_a_key_can_still_be_read() -> None:
    counter = InMemoryService()
    task = replace(counter.table.get(counter.submit()), id="49cc6e52-a681-833d-aa9e-cbd59744537c")
    counter.table.add(task)
    assert service.check(task.id, table=counter.table, now=NOW) == task


def test_an_md5_is_taken_in_either_case_and_kept_in_one() -> None:
    counter = InMemoryService()
    for md5 in ("0123456789abcdef" * 2, "0123456789ABCDEF" * 2):
        assert counter.table.get(counter.submit(md5=md5)).expected_md5 == "0123456789abcdef" * 2
    assert counter.table.get(counter.submit(md5="")).expected_md5 is None


def test_without_an_address_no_mail_is_owed() -> None:
    counter = InMemoryService()
    assert counter.table.get(counter.submit(email="")).mail is Mail.NONE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", ""),
        ("url", "ftp://example.org/f"),
        ("url", "/relative"),
        ("url", "http://127.0.0.1/"),
        ("url", "http://169.254.169.254/latest/meta-data/"),
        ("url", "http://example.org:22/"),
        ("email", "nobody"),
        ("email", "a@b.example,c@d.example"),
        ("email", "a@b.org\r\nBcc: c@d.org"),
        ("email", "Eve <eve@abc.ru>"),
        ("md5", "xyz"),
        ("md5", "0" * 31),
        ("md5", "0" * 33),
        ("md5", "\uff10" * 32),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_stored(field: str, value: str) -> None:
    counter = InMemoryService()
    with pytest.raises(InvalidRequest) as caught:
        counter.submit(**{"url": URL, field: value})
    assert caught.value.field == field
    assert counter.table.tasks == {}
    assert counter.queue.sent == []


def test_nothing_is_accepted_when_the_queue_refuses() -> None:
    counter = InMemoryService()
    counter.queue.down = True
    with pytest.raises(QueueUnavailable):
        counter.submit()
    assert counter.table.tasks == {}


def test_nothing_is_queued_when_the_table_refuses() -> None:
    counter = InMemoryService()
    counter.table.down = True
    with pytest.raises(TableUnavailable):
        counter.submit()
    assert counter.queue.sent == []


def test_the_same_key_and_request_have_the_same_id() -> None:
    counter = InMemoryService()
    first = counter.submit(idempotency_key="k")
    assert counter.submit(idempotency_key="k") == first
    assert len(counter.table.tasks) == 1
    assert counter.submit(idempotency_key="other") != first
    assert counter.submit() != first


@pytest.mark.parametrize("other", [{"url": URL + "2"}, {"email": "a@abc.ru"}, {"md5": "0" * 32}])
def test_the_same_key_for_another_request_is_refused(other: dict[str, str]) -> None:
    counter = InMemoryService()
    counter.submit(idempotency_key="k")
    with pytest.raises(InvalidRequest) as caught:
        counter.submit(**{"url": URL, "idempotency_key": "k", **other})
    assert caught.value.field == "Idempotency-Key"


def test_a_first_sender_that_fails_late_does_not_take_the_task_from_the_second() -> None:
    counter = InMemoryService()
    send = counter.queue.send

    def second_sender_first(task_id: str, *, delay: float = 0.0, continued: bool = False) -> None:
        counter.queue.send = send  # type: ignore[method-assign]
        assert counter.submit(idempotency_key="k") == task_id
        raise QueueUnavailable("down for the first sender only")

    counter.queue.send = second_sender_first  # type: ignore[method-assign]
    with pytest.raises(QueueUnavailable):
        counter.submit(idempotency_key="k")
    assert len(counter.table.tasks) == 1


def test_a_second_sender_that_fails_takes_nothing_back() -> None:
    counter = InMemoryService()
    task_id = counter.submit(idempotency_key="k")
    counter.queue.down = True
    with pytest.raises(QueueUnavailable):
        counter.submit(idempotency_key="k")
    assert task_id in counter.table.tasks


def test_a_second_sender_whose_row_the_first_took_back_stores_it_anew() -> None:
    counter = InMemoryService()
    get = counter.table.get

    def taken_back(task_id: str, *, consistent: bool = True) -> Task:
        counter.table.get = get  # type: ignore[method-assign]
        counter.table.remove(get(task_id))  # the queue refused the first sender
        return get(task_id)

    counter.submit(idempotency_key="k")
    counter.table.get = taken_back  # type: ignore[method-assign]
    task_id = counter.submit(idempotency_key="k")
    assert counter.table.get(task_id).status is Status.QUEUED
    assert counter.queue.sent[-1] == (task_id, 0.0)


def test_a_key_whose_task_has_expired_is_free_again() -> None:
    counter = InMemoryService()
    task_id = counter.submit(idempotency_key="k")
    counter.now += 31 * 86400
    assert counter.submit(idempotency_key="k", url=URL + "2") == task_id
    assert service.check(task_id, table=counter.table, now=counter.now).url == URL + "2"


def test_a_key_whose_task_expires_now_is_free_now() -> None:
    counter = InMemoryService()
    task_id = counter.submit(idempotency_key="k")
    counter.now = counter.table.get(task_id).expires_at
    assert counter.submit(idempotency_key="k", url=URL + "2") == task_id


def test_a_key_that_never_comes_to_rest_is_refused_for_now() -> None:
    """Each time that its row is in the way, the row is gone when it is looked at."""
    counter = InMemoryService()
    counter.submit(idempotency_key="k")
    looked: list[str] = []

    def vanished(task_id: str, *, consistent: bool = True) -> Task:
        looked.append(task_id)
        raise TaskNotFound(task_id)

    counter.table.get = vanished  # type: ignore[method-assign]
    with pytest.raises(TableUnavailable, match="many requests are using the same Idempotency-Key at once"):
        counter.submit(idempotency_key="k")
    assert len(looked) == service.TRIES
    assert len(counter.queue.sent) == 1


def test_two_tasks_of_one_random_id_are_a_fault_and_no_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = InMemoryService()
    same = uuid.UUID(counter.submit())
    monkeypatch.setattr(uuid, "uuid4", lambda: same)
    with pytest.raises(TaskExists):
        counter.submit()


def test_a_task_that_is_claimed_meanwhile_is_cancelled_all_the_same() -> None:
    counter = InMemoryService()
    task_id = counter.submit()
    get = counter.table.get

    def claimed_meanwhile(task_id: str, *, consistent: bool = True) -> Task:
        counter.table.get = get  # type: ignore[method-assign]
        found = get(task_id)
        counter.table.save(found.claimed(NOW, 90), over=found)
        return found

    counter.table.get = claimed_meanwhile  # type: ignore[method-assign]
    cancelled = service.cancel(task_id, table=counter.table, now=NOW)
    assert cancelled == get(task_id)
    assert (cancelled.status, cancelled.fence) == (Status.CANCELLED, 2)
    assert service.cancel(task_id, table=counter.table, now=NOW + 1) == cancelled


def test_a_cancelled_task_keeps_its_key() -> None:
    counter = InMemoryService()
    task_id = counter.submit(idempotency_key="k")
    service.cancel(task_id, table=counter.table, now=NOW)
    assert counter.submit(idempotency_key="k") == task_id
    assert counter.table.get(task_id).status is Status.CANCELLED


def test_a_task_that_changes_hands_all_the_time_is_not_cancelled_by_half() -> None:
    counter = InMemoryService()
    task_id = counter.submit()
    get = counter.table.get

    def overtaken(task_id: str, *, consistent: bool = True) -> Task:
        found = get(task_id)
        counter.table.save(replace(found, fence=found.fence + 1), over=found)
        return found

    counter.table.get = overtaken  # type: ignore[method-assign]
    with pytest.raises(TableUnavailable):
        service.cancel(task_id, table=counter.table, now=NOW)
    assert get(task_id).status is Status.QUEUED


def test_check_finds_a_task_in_either_case() -> None:
    counter = InMemoryService()
    task_id = counter.submit()
    assert service.check(task_id.upper(), table=counter.table, now=NOW).id == task_id


@pytest.mark.parametrize("spelling", ["{}", "", "x", "{{{}}}", "urn:uuid:{}", " {}", "{}\n", "{}\0"])
def test_check_knows_one_spelling_of_an_id(spelling: str) -> None:
    counter = InMemoryService()
    task_id = counter.submit()
    asked = spelling.format(task_id) if spelling != "{}" else task_id.replace("-", "")
    with pytest.raises(TaskNotFound):
        service.check(asked, table=counter.table, now=NOW)


def test_an_expired_task_is_not_found() -> None:
    counter = InMemoryService()
    task_id = counter.submit()
    expiry = counter.table.get(task_id).expires_at
    assert service.check(task_id, table=counter.table, now=expiry - 1).id == task_id
    with pytest.raises(TaskNotFound):
        service.check(task_id, table=counter.table, now=expiry)


def waiting(table: MemoryTaskTable, number: int, due_at: float, **fields: Any) -> Task:
    task = Task(
        id=f"0e4fac17-0000-4000-8000-{number:012}",
        url=URL,
        created_at=NOW,
        updated_at=NOW,
        expires_at=2**31,
        due_at=due_at,
        **fields,
    )
    table.add(task)
    return task


def test_ahead_of_a_task_are_those_that_are_due_for_longer() -> None:
    table = MemoryTaskTable()
    first, second = waiting(table, 1, NOW - 3), waiting(table, 2, NOW - 2)
    continued = waiting(table, 3, NOW - 9, continued=True)
    waiting(table, 4, NOW + 1)  # not yet
    assert service.ahead_of(first, table=table, now=NOW) == 0
    assert service.ahead_of(second, table=table, now=NOW) == 1
    # New tasks go before it, even those that came later.
    assert service.ahead_of(continued, table=table, now=NOW) == 2


def test_a_task_that_waits_for_no_worker_has_no_place_in_the_queue() -> None:
    table = MemoryTaskTable()
    for number, fields in enumerate(
        (
            {"due_at": NOW + 1},
            {"due_at": NOW, "lease_until": NOW},
            {"due_at": NOW, "status": Status.DONE},  # its email is pending
        )
    ):
        task = waiting(table, number, **fields)  # type: ignore[arg-type]
        assert service.ahead_of(task, table=table, now=NOW) is None


def test_of_a_long_queue_no_more_is_counted_than_people_care_about() -> None:
    table = MemoryTaskTable()
    for number in range(service.MOST_AHEAD + 5):
        waiting(table, number, NOW - 1)
    last = waiting(table, 999, NOW)
    assert service.ahead_of(last, table=table, now=NOW) == service.MOST_AHEAD
