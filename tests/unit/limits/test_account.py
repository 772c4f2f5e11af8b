from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.stores.tables import new_task
from urlsum.errors import LimitReached
from urlsum.limits.account import Account
from urlsum.limits.quota import DAY, UNFINISHED_RETRY_SECONDS, Quota

NOW = 20_000 * DAY + 1000.25
TTL = 30
QUOTA = Quota(minute=3, day=5, unfinished=4, bytes=1000, fresh=1)


def submitted(account: Account, now: float = NOW, quota: Quota = QUOTA, *, fresh: bool = False) -> Account:
    return account.submitted(quota, now, fresh=fresh, ttl_days=TTL)


def refused(account: Account, now: float = NOW, quota: Quota = QUOTA, *, fresh: bool = False) -> LimitReached:
    with pytest.raises(LimitReached) as caught:
        submitted(account, now, quota, fresh=fresh)
    return caught.value


def ended(account: Account, now: float, *, received: int = 0, created_at: float = NOW) -> Account:
    return account.ended(new_task(created_at=created_at, received=received), now, ttl_days=TTL)


def test_a_minute_begins_with_its_first_submission_and_ends_after_sixty_seconds() -> None:
    account = submitted(submitted(submitted(Account()), NOW + 1), NOW + 59)
    refusal = refused(account, NOW + 59.5)
    assert (refusal.limit, refusal.quota, refusal.seconds) == ("minute", 3, 1)
    assert str(refusal) == (
        "You may submit 3 URLs a minute, and this limit is reached. Submit this URL again in 1 second."
    )
    assert submitted(account, NOW + 60).minute == 1


def test_a_day_begins_with_its_first_submission() -> None:
    account = Account()
    for number in range(5):
        account = submitted(account, NOW + 100 * number, replace(QUOTA, unfinished=0))
    refusal = refused(account, NOW + 1000)
    assert (refusal.limit, refusal.seconds) == ("day", DAY - 1000)
    assert submitted(account, NOW + DAY, replace(QUOTA, unfinished=0)).day == 1


def test_a_new_window_begins_with_nothing() -> None:
    account = Account(minute_from=NOW, minute=2, day_from=NOW, day=3, fresh=1, bytes=900)
    assert account.at(NOW + 59, ttl_days=TTL) == account
    assert account.at(NOW + 60, ttl_days=TTL) == replace(account, minute_from=NOW + 60, minute=0)
    assert account.at(NOW + DAY, ttl_days=TTL) == Account(minute_from=NOW + DAY, day_from=NOW + DAY)


def test_a_count_that_somebody_edited_to_nothing_or_less_frees_no_place() -> None:
    quota = Quota(unfinished=1)
    edited = Account.load('{"m":[0,0],"d":[0,0,0,0],"u":{"20000":-5,"19999":0}}')
    assert edited.at(NOW, ttl_days=TTL).unfinished == {}
    assert refused(submitted(edited, quota=quota), quota=quota).limit == "unfinished"


def test_a_task_counts_as_unfinished_until_it_ends() -> None:
    quota = Quota(unfinished=2)
    account = submitted(submitted(Account(), quota=quota), quota=quota)
    refusal = refused(account, quota=quota)
    assert (refusal.limit, refusal.seconds) == ("unfinished", UNFINISHED_RETRY_SECONDS)
    assert "when one of your tasks has ended" in str(refusal)
    assert submitted(ended(account, NOW), quota=quota).unfinished == {20_000: 2}


def test_a_task_that_ends_on_another_day_leaves_the_day_of_its_submission() -> None:
    quota = Quota(unfinished=5)
    account = submitted(submitted(Account(), quota=quota), NOW + DAY, quota)
    assert account.unfinished == {20_000: 1, 20_001: 1}
    assert ended(account, NOW + 2 * DAY, created_at=NOW).unfinished == {20_001: 1}


def test_what_a_crash_left_behind_lapses_when_no_task_of_that_day_can_live() -> None:
    account = submitted(Account(), quota=Quota(unfinished=1))
    alive = (20_000 + 1 + TTL) * DAY
    assert refused(account, alive, Quota(unfinished=1)).limit == "unfinished"
    assert submitted(account, alive + DAY, Quota(unfinished=1)).unfinished == {20_031 + 1: 1}


def test_the_record_lives_as_long_as_something_in_it_counts() -> None:
    account = submitted(Account())
    assert account.expires_at(ttl_days=TTL) >= (20_000 + 1 + TTL) * DAY
    assert ended(account, NOW).expires_at(ttl_days=TTL) == NOW + DAY


def test_an_end_that_was_never_counted_does_no_harm() -> None:
    assert ended(Account(), NOW, received=7).unfinished == {}
    assert ended(ended(submitted(Account()), NOW), NOW).unfinished == {}


def test_bytes_count_when_a_task_ends_and_refuse_what_comes_after() -> None:
    account = ended(ended(submitted(Account()), NOW, received=400), NOW, received=599)
    assert submitted(account).bytes == 999
    refusal = refused(ended(account, NOW + 10, received=1), NOW + 10)
    assert (refusal.limit, refusal.quota, refusal.seconds) == ("bytes", 1000, DAY - 10)
    assert "1000 B a day" in str(refusal)


def test_fresh_readings_have_a_limit_of_their_own() -> None:
    account = submitted(Account(), fresh=True)
    refusal = refused(account, fresh=True)
    assert (refusal.limit, refusal.seconds) == ("fresh", DAY)
    assert "without it, or in 24 hours" in str(refusal)
    assert submitted(account).fresh == 1


def test_of_two_limits_the_one_that_lasts_longer_is_named() -> None:
    quota = Quota(minute=1, day=1)
    assert refused(submitted(Account(), quota=quota), quota=quota).limit == "day"


@pytest.mark.parametrize("limit", ["minute", "day", "unfinished", "bytes", "fresh"])
def test_zero_switches_a_limit_off(limit: str) -> None:
    account = Account(
        minute_from=NOW, minute=10**6, day_from=NOW, day=10**6, fresh=10**6, bytes=10**15, unfinished={20_000: 10**6}
    )
    quota = Quota(
        **{name: 0 if name == limit else 10**16 for name in ("minute", "day", "unfinished", "bytes", "fresh")}
    )
    assert submitted(account, quota=quota, fresh=True).day == 10**6 + 1
    assert [each.limit for each in account.allowances(quota, NOW, fresh=True)] == [
        name for name in ("minute", "day", "unfinished", "bytes", "fresh") if name != limit
    ]


def test_what_is_left_is_said_for_each_limit() -> None:
    account = ended(submitted(submitted(Account()), NOW + 10.5), NOW + 11, received=400)
    left = {
        each.limit: (each.quota, each.remaining, each.seconds)
        for each in account.allowances(QUOTA, NOW + 20, fresh=True)
    }
    assert left == {
        "minute": (3, 1, 40),
        "day": (5, 3, DAY - 20),
        "unfinished": (4, 3, None),
        "bytes": (1000, 600, DAY - 20),
        "fresh": (1, 1, DAY - 20),
    }
    assert "fresh" not in {each.limit for each in account.allowances(QUOTA, NOW + 20, fresh=False)}


def test_a_clock_that_is_a_little_behind_counts_in_the_same_window() -> None:
    account = submitted(submitted(submitted(Account())))
    refusal = refused(account, NOW - 5)
    assert (refusal.limit, refusal.seconds) == ("minute", 60)
    # One that was set back by days must not refuse for days.
    assert submitted(account, NOW - 2 * DAY).minute == 1


@given(
    st.builds(
        Account,
        minute_from=st.integers(0, 2**40).map(lambda n: n / 1000),
        minute=st.integers(0, 2**31),
        day_from=st.integers(0, 2**40).map(lambda n: n / 1000),
        day=st.integers(0, 2**31),
        fresh=st.integers(0, 2**31),
        bytes=st.integers(0, 2**60),
        unfinished=st.dictionaries(st.integers(0, 40_000), st.integers(1, 1000), max_size=5),
    )
)
def test_an_account_comes_back_as_it_was_written(account: Account) -> None:
    assert Account.load(account.dump()) == account


@pytest.mark.parametrize(
    "text", [None, "", "{}", "null", "[1]", '{"m":[1],"d":[],"u":{}}', '{"m":[0,0],"d":[0,0,0,0],"u":1}']
)
def test_what_is_no_account_is_an_empty_one(text: str | None) -> None:
    assert Account.load(text) == Account()
