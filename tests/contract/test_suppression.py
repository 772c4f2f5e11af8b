"""Who unsubscribed gets no more email, whatever keeps the records, and only a link of this deployment can say so."""

from __future__ import annotations

import base64
import json
import os
import string
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfhost.suppression import main
from tests.support.stores import every_table
from tests.support.stores.memory import MemoryRecords, secret
from tests.support.stores.tables import NOW, sqlite_uri
from urlsum import wiring
from urlsum.errors import TableUnavailable
from urlsum.mail import suppression
from urlsum.mail.suppression import Reason, lift, link, reason_for, recipient, recipient_of, suppress
from urlsum.tables import NEVER
from urlsum.tables.sql_database import Database
from urlsum.tables.sql_records import SqlRecords

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urlsum.tables import Records

ROOT = Path(__file__).parents[2]
ANNA = "anna@example.org"
URL = "https://sums.example.org/urlsum"


@pytest.fixture(params=every_table.KINDS)
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    with every_table.records(request.param, tmp_path) as made:
        yield made


def token(url: str) -> str:
    """The token in a link, as a browser sends it."""
    [found] = parse_qs(urlsplit(url).query)["token"]
    return found


def test_a_mailbox_is_suppressed_for_good_and_no_other(records: Records) -> None:
    assert reason_for(records, recipient(ANNA), NOW) is None
    suppress(records, "Anna+urlsum@Example.ORG", Reason.BOUNCED, NOW)
    in_a_thousand_years = NOW + 1000 * 365 * 86400
    assert records.purge(in_a_thousand_years, 10) == 0
    assert reason_for(records, recipient(ANNA), in_a_thousand_years) is Reason.BOUNCED
    assert reason_for(records, recipient("berta@example.org"), NOW) is None


def test_the_record_says_why_and_since_when_and_names_nobody(records: Records) -> None:
    suppress(records, ANNA, Reason.COMPLAINED, NOW)
    stored = records.read(suppression.PREFIX + recipient(ANNA).hex())
    assert stored is not None
    assert json.loads(stored.value) == {"reason": "complained", "since": int(NOW)}
    assert stored.expires_at == NEVER
    assert "anna" not in stored.key + stored.value


def test_a_record_that_has_expired_suppresses_nothing(records: Records) -> None:
    suppress(records, ANNA, Reason.OPERATOR, NOW)
    stored = records.read(key := suppression.PREFIX + recipient(ANNA).hex())
    assert stored is not None
    records.write(key, stored.value, over=stored, expires_at=NOW + 60)
    assert reason_for(records, recipient(ANNA), int(NOW) + 59) is Reason.OPERATOR
    assert reason_for(records, recipient(ANNA), int(NOW) + 60) is None


def test_a_second_suppression_with_the_same_reason_writes_nothing_and_a_new_reason_is_kept(records: Records) -> None:
    key = suppression.PREFIX + recipient(ANNA).hex()
    suppress(records, ANNA, Reason.UNSUBSCRIBED, NOW)
    first = records.read(key)
    suppress(records, ANNA, Reason.UNSUBSCRIBED, NOW + 60)
    assert records.read(key) == first
    suppress(records, ANNA, Reason.COMPLAINED, NOW + 60)
    assert reason_for(records, recipient(ANNA), NOW + 60) is Reason.COMPLAINED


def test_an_operator_lifts_a_suppression_and_it_can_come_back(records: Records) -> None:
    suppress(records, ANNA, Reason.UNSUBSCRIBED, NOW)
    assert lift(records, "ANNA@example.org", NOW + 1) is Reason.UNSUBSCRIBED
    assert reason_for(records, recipient(ANNA), NOW + 1) is None
    assert lift(records, ANNA, NOW + 2) is None
    suppress(records, ANNA, Reason.BOUNCED, NOW + 3)
    assert reason_for(records, recipient(ANNA), NOW + 3) is Reason.BOUNCED


def test_many_clicks_at_once_are_one_suppression(tmp_path: Path) -> None:
    with every_table.records("sqlite", tmp_path) as records, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: suppress(records, ANNA, Reason.UNSUBSCRIBED, NOW), range(64)))
        stored = records.read(suppression.PREFIX + recipient(ANNA).hex())
        assert stored is not None
        assert stored.version == 1


def test_a_store_that_is_down_lets_nothing_pass() -> None:
    records = MemoryRecords()
    records.down = True
    with pytest.raises(TableUnavailable):
        reason_for(records, recipient(ANNA), NOW)
    with pytest.raises(TableUnavailable):
        suppress(records, ANNA, Reason.UNSUBSCRIBED, NOW)


def test_a_reason_of_a_newer_version_suppresses_as_well() -> None:
    records = MemoryRecords()
    for value in ('{"reason": "of a newer version"}', "not even JSON"):
        key = suppression.PREFIX + recipient(value).hex()
        records.write(key, value, over=None, expires_at=NEVER)
        assert reason_for(records, recipient(value), NOW) is Reason.OPERATOR


@pytest.mark.parametrize("base", [URL, URL + "/"])
def test_a_link_is_opaque_and_leads_back_to_the_mailbox(base: str) -> None:
    url = link(secret, "Anna+x@example.org", base)
    assert url.startswith(f"{URL}/unsubscribe?token=")
    assert len(url) < 120
    assert set(token(url)) <= {*string.ascii_letters, *string.digits, "-", "_"}
    for part in (b"anna", b"example.org"):
        assert part not in url.lower().encode().replace(b"sums.example.org", b"")
        assert part not in base64.urlsafe_b64decode(token(url)).lower()
    assert recipient_of(secret, token(url)) == recipient(ANNA)
    assert url == link(secret, ANNA, base)


def test_a_link_of_another_deployment_is_not_accepted() -> None:
    assert recipient_of(lambda: b"another secret", token(link(secret, ANNA, URL))) is None


@given(st.data())
def test_no_changed_link_is_accepted(data: st.DataObject) -> None:
    true = token(link(secret, ANNA, URL))
    at = data.draw(st.integers(0, len(true) - 1))
    other = data.draw(st.sampled_from([c for c in string.ascii_letters + string.digits + "-_" if c != true[at]]))
    assert recipient_of(secret, true[:at] + other + true[at + 1 :]) is None


@given(st.text(max_size=80))
def test_any_text_is_refused_without_an_error(text: str) -> None:
    assert recipient_of(secret, text) is None


@pytest.mark.parametrize("end", ["", " ", "\n", "A", "AAAA"])
@pytest.mark.parametrize("cut", [0, 1, 22])
def test_a_token_that_was_cut_or_continued_is_refused(end: str, cut: int) -> None:
    true = token(link(secret, ANNA, URL))
    spelled = true[: len(true) - cut] + end
    assert recipient_of(secret, spelled) == (recipient(ANNA) if spelled == true else None)


def test_who_knows_an_address_cannot_make_its_link() -> None:
    """Its digest is public; without the tag it suppresses nobody."""
    digest = recipient(ANNA)
    for tag in (b"", b"\0" * suppression.TAG_BYTES, digest[: suppression.TAG_BYTES]):
        assert recipient_of(secret, base64.urlsafe_b64encode(digest + tag).decode()) is None


def test_an_operator_sees_adds_and_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = sqlite_uri(tmp_path)
    records = SqlRecords(Database(uri))
    suppress(records, ANNA, Reason.UNSUBSCRIBED, NOW)
    monkeypatch.chdir(tmp_path)

    monkeypatch.setenv("DATABASE_URI", uri)

    def said(*arguments: str) -> str:
        assert main(arguments) == 0
        return capsys.readouterr().out

    # One call as the operator's, in a process of its own; its start takes half a second.
    command = [sys.executable, "-m", "selfhost.suppression", "show", "Anna+x@example.org"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert shown == "anna@example.org gets no email: unsubscribed\n"
    assert said("remove", ANNA) == "anna@example.org gets email again (it was unsubscribed)\n"
    assert reason_for(records, recipient(ANNA), NOW) is None
    assert said("remove", ANNA) == "anna@example.org was not suppressed\n"
    assert said("show", ANNA) == "anna@example.org gets email\n"
    assert said("add", "B.E.R.T.A@gmail.com") == "berta@gmail.com gets no more email\n"
    assert reason_for(records, recipient("berta@gmail.com"), NOW) is Reason.OPERATOR


def test_an_operator_is_told_about_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["add", "anna"])
    monkeypatch.setattr(wiring, "services", broken)
    assert main(["add", ANNA]) == 1


def broken() -> NoReturn:
    raise TableUnavailable("the database does not answer")
