from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.integration.web.conftest import NOW
from tests.support.web.clients import FORM, MULTIPART, part
from tests.support.web.refusals import refused
from urlsum.settings import Settings
from urlsum.task import Mail, Status

if TYPE_CHECKING:
    from tests.integration.web.conftest import Backend
    from tests.support.web.clients import Client

URL = "http://site.com/file.txt"
JSON = "application/json"
DIGEST = "F4AF8A0E1D1E8D3B5F4A9F6F2F3CBD9E"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, f"url={URL}&email=example@abc.ru&md5={DIGEST}".encode()),
        (
            f"{FORM}; charset=UTF-8",
            f"url=http%3A%2F%2Fsite.com%2Ffile.txt&md5={DIGEST}&email=example%40abc.ru".encode(),
        ),
        (JSON, json.dumps({"url": URL, "email": "example@abc.ru", "md5": DIGEST}).encode()),
        ("Application/JSON;charset=utf-8", json.dumps({"md5": DIGEST, "email": "example@abc.ru", "url": URL}).encode()),
        (
            MULTIPART,
            part("url", URL.encode())
            + part("email", b"example@abc.ru", headers="Content-Type: text/plain; charset=utf-8\r\n")
            + part("md5", DIGEST.encode())
            + b"--XX--\r\n",
        ),
    ],
    ids=["form", "form-encoded", "json", "json-charset", "multipart"],
)
def test_each_form_of_body_stores_and_queues_one_task(
    client: Client, backend: Backend, content_type: str, body: bytes
) -> None:
    answer = client.post(body, content_type)
    assert answer.status == 202
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    task_id = answer.json()["id"]
    assert answer.json() == {"id": str(uuid.UUID(task_id)), "check_url": answer.json()["check_url"]}
    assert answer.json()["check_url"].endswith(f"/check?id={task_id}")
    assert answer.headers["location"] == f"/check?id={task_id}"
    task = backend.table.get(task_id)
    assert (task.url, task.email, task.expected_md5) == (URL, "example@abc.ru", DIGEST.lower())
    assert (task.status, task.mail, task.created_at) == (Status.QUEUED, Mail.PENDING, NOW)
    assert backend.queue.sent == [(task_id, 0.0)]


def test_the_answer_of_submit_is_an_id_that_check_knows(client: Client) -> None:
    location = client.post(f"url={URL}").headers["location"]
    answer = client.request("GET", location)
    assert (answer.status, answer.json()["url"]) == (202, URL)


@pytest.mark.parametrize(("fresh", "words"), [(True, 'Write "true".'), (False, 'Write "false".'), (None, "Leave out")])
def test_the_refusal_of_a_boolean_says_how_it_is_written(client: Client, fresh: bool | None, words: str) -> None:
    answer = client.post(json.dumps({"url": URL, "fresh": fresh}), "application/json")
    assert words in refused(answer, 422, "invalid-request", "fresh")


@pytest.mark.parametrize(("body", "url"), [(f"url={URL}", URL), (json.dumps({"url": URL}), URL)], ids=["form", "json"])
def test_a_body_without_content_type_is_taken_for_what_it_looks_like(
    client: Client, backend: Backend, body: str, url: str
) -> None:
    answer = client.request("POST", "/submit", body.encode(), {})
    assert answer.status == 202
    assert backend.table.get(answer.json()["id"]).url == url


@pytest.mark.parametrize(
    ("body", "digest"),
    [
        (f"url=%20{URL}%0A&md5=%09{DIGEST}%0A&email=%C2%A0a@abc.ru+", DIGEST),
        (f"url={URL}&md5={DIGEST}++dir/file.txt", DIGEST),
        (f"url={URL}&md5=md5:{DIGEST}", DIGEST),
        (f"url={URL}&md5=9K%2bKDh0ejTtfSp9vLzy9ng==", DIGEST),
        (f"url={URL}&md5=9K+KDh0ejTtfSp9vLzy9ng==", DIGEST),  # as curl -d sends it, unencoded
        (f"url={URL}%23md5={DIGEST}", DIGEST),
        (f"url={URL}%23md5:{DIGEST}&md5=", DIGEST),
        (f"url={URL}%23{DIGEST}&md5={DIGEST}", DIGEST),
        (f"url={URL}%23top&md5=+%0D%0A", None),
    ],
)
def test_a_digest_is_taken_as_people_have_it(client: Client, backend: Backend, body: str, digest: str | None) -> None:
    answer = client.post(body)
    assert answer.status == 202, answer.body
    task = backend.table.get(answer.json()["id"])
    assert task.url.partition("#")[0] == URL
    assert task.expected_md5 == (digest and digest.lower())
    assert task.email in (None, "a@abc.ru")


def test_an_etag_of_s3_is_named(client: Client) -> None:
    detail = refused(client.post(f"url={URL}&md5={DIGEST}-12"), 422, "invalid-request", "md5")
    assert "S3 multipart upload, not an MD5" in detail


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("www.example.org/f", "https://www.example.org/f"),
        ("localhost:8080/x", "http://localhost:8080/x"),
        ("ftp://ftp.ncbi.nlm.nih.gov/refseq/f.gz", "https://ftp.ncbi.nlm.nih.gov/refseq/f.gz"),
        ("file:///etc/passwd", None),
    ],
)
def test_the_url_that_was_meant_is_offered(client: Client, url: str, meant: str | None) -> None:
    answer = client.post(json.dumps({"url": url}), JSON)
    detail = refused(answer, 422, "invalid-request", "url")
    assert answer.json().get("suggestion") == meant
    assert meant is None or detail.endswith(f"did you mean {meant}?")


@pytest.mark.parametrize("address", ["root@localhost", "me@mail.corp.local", "Me@HOST.TEST"])
def test_local_addresses_are_for_services_with_a_mail_system_of_their_own(
    client: Client, backend: Backend, address: str
) -> None:
    for backend_name in ("smtp", "outbox"):
        backend.settings = Settings(mail_backend=backend_name)
        answer = client.post(f"url={URL}&email={address}")
        assert (backend.table.get(answer.json()["id"]).email or "").lower() == address.lower()
        for wrong in ("me@host", "@localhost", "a b@localhost", "me@-.local", "me@x..local", "me@x.local."):
            refused(client.post(f"url={URL}&email={wrong}"), 422, "invalid-request", "email")
    backend.settings = Settings(mail_backend="ses")
    refused(client.post(f"url={URL}&email={address}"), 422, "invalid-request", "email")


def test_empty_email_and_md5_mean_none_as_an_html_form_sends_them(client: Client, backend: Backend) -> None:
    task = backend.table.get(client.post(f"url={URL}&email=&md5=").json()["id"])
    assert (task.email, task.expected_md5, task.mail) == (None, None, Mail.NONE)


BAD_FIELDS = {
    "nothing": (FORM, b"", "url"),
    "no url": (FORM, b"email=a@example.org", "url"),
    "empty url": (FORM, b"url=", "url"),
    "blank url": (FORM, b"url=+", "url"),
    "ftp": (FORM, b"url=ftp://example.org/f", "url"),
    "relative": (FORM, b"url=/file.txt", "url"),
    "without scheme": (FORM, b"url=example.org/file.txt", "url"),
    "without host": (FORM, b"url=http:///file.txt", "url"),
    "line break": (FORM, b"url=http://a.org/%0D%0AHost:%20b.org", "url"),
    "blocked": (FORM, b"url=http://169.254.169.254/latest/meta-data/", "url"),
    "two urls": (FORM, b"url=http://a.org/&url=http://b.org/", "url"),
    "unknown": (FORM, b"url=http://a.org/&X-Amz-Date=1", "X-Amz-Date"),
    "no equals sign": (FORM, b"url", "url"),
    "trailing ampersand": (FORM, b"url=http://a.org/&", "body"),
    "bad percent": (FORM, b"url=http://a.org/100%", "url"),
    "bad utf-8 value": (FORM, b"url=http://a.org/%ff", "url"),
    "bad utf-8 raw": (FORM, b"url=http://a.org/\xff", "url"),
    "bad utf-8 name": (FORM, b"%ff=1", "body"),
    "json as form": (FORM, b'{"url": "http://a.org/"}', "body"),
    "nul": (FORM, b"url=http://a.org/%00", "url"),
    "email crlf": (FORM, b"url=http://a.org/&email=a@example.org%0D%0ABcc:%20b@example.org", "email"),
    "email pair": (FORM, b"url=http://a.org/&email=a@example.org,b@example.org", "email"),
    "email nul": (FORM, b"url=http://a.org/&email=a%00@example.org", "email"),
    "email words": (FORM, b"url=http://a.org/&email=nobody", "email"),
    "email long": (FORM, b"url=http://a.org/&email=" + b"a" * 4000 + b"@example.org", "email"),
    "md5 short": (FORM, b"url=http://a.org/&md5=abc", "md5"),
    "md5 of parts": (FORM, b"url=http://a.org/&md5=" + b"a" * 32 + b"-12", "md5"),
    "md5 twice": (FORM, b"url=http://a.org/%23md5=" + b"a" * 32 + b"&md5=" + b"b" * 32, "url"),
    "md5 of fragment": (FORM, b"url=http://a.org/%23md5=abc", "url"),
    "json array": (JSON, b"[]", "body"),
    "json text": (JSON, b'"http://a.org/"', "body"),
    "json broken": (JSON, b'{"url": ', "body"),
    "json empty": (JSON, b"", "body"),
    "json number": (JSON, b'{"url": 1}', "url"),
    "json long number": (JSON, b'{"url": ' + b"1" * 6000 + b"}", "url"),
    "json null": (JSON, b'{"url": "http://a.org/", "email": null}', "email"),
    "json nested": (JSON, b'{"url": {"url": "x"}}', "url"),
    "json NaN": (JSON, b'{"url": NaN}', "body"),
    "json deep": (JSON, b"[" * 8000, "body"),
    "json twice": (JSON, b'{"url": "http://a.org/", "url": "http://b.org/"}', "url"),
    "json surrogate": (JSON, b'{"url": "http://a.org/\\ud800"}', "url"),
    "json surrogate name": (JSON, b'{"url": "http://a.org/", "\\ud800": "x"}', "body"),
    "json unknown": (JSON, b'{"url": "http://a.org/", "priority": "high"}', "priority"),
    "multipart file": (MULTIPART, part("url", b"x", '; filename="f"') + b"--XX--", "url"),
    "multipart binary": (MULTIPART, part("url", b"x", headers="Content-Type: image/png\r\n") + b"--XX--", "url"),
    "multipart bad utf-8": (MULTIPART, part("url", b"\xff") + b"--XX--", "url"),
    "multipart nameless": (MULTIPART, b"--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XX--", "body"),
    "multipart cut": (MULTIPART, part("url", b"http://a.org/"), "body"),
    "multipart junk": (MULTIPART, b"url=http://a.org/", "body"),
    "multipart twice": (MULTIPART, part("url", b"http://a.org/") + part("url", b"http://b.org/") + b"--XX--", "url"),
}


@pytest.mark.parametrize(("content_type", "body", "field"), BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_bad_input_is_refused_by_the_name_of_its_field_and_nothing_is_stored(
    client: Client, backend: Backend, content_type: str, body: bytes, field: str
) -> None:
    before = backend.table.due(NOW + 1, 1000)
    refused(client.post(body, content_type), 422, "invalid-request", field)
    assert backend.queue.sent == []
    assert backend.table.due(NOW + 1, 1000) == before


def test_a_url_cut_at_its_ampersand_is_told_how_to_encode_it(client: Client) -> None:
    detail = refused(
        client.post("url=https://a.org/f?x=1&X-Amz-Signature=2"), 422, "invalid-request", "X-Amz-Signature"
    )
    assert "--data-urlencode" in detail


def test_field_names_are_echoed_short_and_printable(client: Client) -> None:
    answer = client.post(b"url=http://a.org/&%0D%0ASet-Cookie:" + b"x" * 500 + b"=1")
    assert answer.status == 422
    assert answer.json()["field"] == ("Set-Cookie:" + "x" * 500)[:63] + "…"


def test_fields_in_the_query_string_are_refused_not_ignored(client: Client, backend: Backend) -> None:
    answer = client.request("POST", f"/submit?md5={DIGEST}", f"url={URL}".encode(), {"Content-Type": FORM})
    refused(answer, 422, "invalid-request", "md5")
    assert backend.queue.sent == []


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        f"{FORM}; charset=latin-1",
        "multipart/form-data",
        "json",
        "multipart/mixed; boundary=XX",
    ],
)
def test_another_content_type_is_refused_with_the_ones_to_use(
    client: Client, backend: Backend, content_type: str
) -> None:
    answer = client.post(f"url={URL}", content_type)
    detail = refused(answer, 415, "unsupported-media-type", "body")
    assert FORM in detail
    assert answer.headers["accept-post"] == f"{FORM}, multipart/form-data, application/json"
    assert backend.queue.sent == []


def test_a_compressed_body_is_refused(client: Client) -> None:
    answer = client.post(b"\x1f\x8b", FORM, Content_Encoding="gzip")
    refused(answer, 415, "unsupported-media-type", "body")
    assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"url=http://a.org/" + b"a" * 10240),
        (JSON, b'{"url": "http://a.org/' + b"a" * 10240 + b'"}'),
        (MULTIPART, part("url", b"http://a.org/" + b"a" * 10240) + b"--XX--"),
    ],
    ids=["form", "json", "multipart"],
)
def test_ten_kilobytes_of_url_are_refused_and_nothing_is_stored(
    client: Client, backend: Backend, content_type: str, body: bytes
) -> None:
    before = backend.table.due(NOW + 1, 1000)
    detail = refused(client.post(body, content_type), 413, "body-too-large", "body")
    assert "shorten" in detail
    assert backend.queue.sent == []
    assert backend.table.due(NOW + 1, 1000) == before


def test_the_body_may_have_exactly_eight_kib(client: Client) -> None:
    prefix = f"url={URL}&email="
    fits = prefix + "a" * (8192 - len(prefix))
    refused(client.post(fits), 422, "invalid-request", "email")
    refused(client.post(fits + "a"), 413, "body-too-large", "body")


def test_the_same_idempotency_key_answers_the_same_id(client: Client, backend: Backend) -> None:
    key = str(uuid.uuid4())
    first = client.post(f"url={URL}", Idempotency_Key=key)
    again = client.post(json.dumps({"url": URL}), JSON, Idempotency_Key=key)
    assert first.status == again.status == 202
    assert first.json() == again.json()
    assert backend.queue.sent[0][0] == first.json()["id"]


def test_an_idempotency_key_used_for_something_else_is_refused(client: Client) -> None:
    key = str(uuid.uuid4())
    client.post(f"url={URL}", Idempotency_Key=key)
    refused(client.post("url=http://other.org/", Idempotency_Key=key), 422, "invalid-request", "Idempotency-Key")


@pytest.mark.parametrize("key", ["", "x" * 256, "k\xe9y", "a\tb"])
def test_an_unusable_idempotency_key_is_refused(client: Client, key: str) -> None:
    refused(client.post(f"url={URL}", Idempotency_Key=key), 422, "invalid-request", "Idempotency-Key")


def test_without_a_queue_nothing_is_accepted(client: Client, backend: Backend) -> None:
    backend.queue.down = True
    before = backend.table.due(NOW + 1, 1000)
    answer = client.post(f"url={URL}")
    refused(answer, 503, "unavailable", None)
    assert int(answer.headers["retry-after"]) > 0
    assert backend.table.due(NOW + 1, 1000) == before


def test_location_carries_the_path_of_the_public_url(client: Client, backend: Backend) -> None:
    backend.settings = Settings(public_url="https://example.org/urlsum/")
    answer = client.post(f"url={URL}")
    assert answer.headers["location"] == f"/urlsum/check?id={answer.json()['id']}"


def test_the_task_lives_as_long_as_the_settings_say(client: Client, backend: Backend) -> None:
    backend.settings = Settings(task_ttl_days=2)
    task_id = client.post(f"url={URL}").json()["id"]
    backend.clock.now += 2 * 86400 - 1
    assert client.request("GET", f"/check?id={task_id}").status == 202
    backend.clock.now += 1
    assert client.request("GET", f"/check?id={task_id}").status == 404
