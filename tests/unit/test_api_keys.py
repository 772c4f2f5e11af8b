from __future__ import annotations

import hashlib

import pytest

from urlsum import api_keys
from urlsum.api_keys import ApiKey, ApiKeys

HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"  # of "test"


def test_a_key_is_found_by_its_token_and_by_nothing_else() -> None:
    keys = ApiKeys.read(f"other:{'0' * 64}, lab:{HASH}:day=5;bytes=0")
    lab = ApiKey("lab", HASH, (("day", 5), ("bytes", 0)))
    assert keys.find("test") == keys.named("lab") == lab
    for token in ("", "Test", "test ", HASH, "lab", "\xe9"):
        assert keys.find(token) is None
    assert keys.named("la") is None


def test_a_made_key_is_kept_as_its_hash_and_the_token_is_random() -> None:
    token, key = api_keys.make("lab", ("minute=600", "day=0"))
    assert key.digest == hashlib.sha256(token.encode()).hexdigest()
    assert ApiKeys.read(str(key)) == (key,)
    assert ApiKeys.read(str(key)).find(token) == key
    assert token not in str(key)
    assert token != api_keys.make("lab")[0]
    # 32 bytes in base64: nobody guesses them.
    assert len(token.removeprefix("urlsum_")) == 43


def test_a_key_without_limits_of_its_own_is_written_without_them() -> None:
    assert str(ApiKey("lab", HASH)) == f"lab:{HASH}"
    assert ApiKeys.read("") == ApiKeys.read(" , ") == ()


def test_a_limit_of_bytes_may_have_a_unit() -> None:
    [key] = ApiKeys.read(f"lab:{HASH}:bytes=5TB;day=7")
    assert key.limits == (("bytes", 5 * 10**12), ("day", 7))
    assert str(key) == f"lab:{HASH}:bytes=5000000000000;day=7"


@pytest.mark.parametrize(
    "text",
    [
        f"lab:{HASH}:day=5B",
        f"lab:{HASH}:bytes=5T",
        "lab",
        "lab:",
        f":{HASH}",
        f"a b:{HASH}",
        f"{'n' * 41}:{HASH}",
        f"lab:{HASH[:-1]}",
        f"lab:{HASH.upper()}",
        f"lab:{HASH}:",
        f"lab:{HASH}:hour=1",
        f"lab:{HASH}:day",
        f"lab:{HASH}:day=-1",
        f"lab:{HASH}:day={10**15}",
        f"lab:{HASH}:day=1;",
        f"lab:{HASH}:day=1:day=2",
        f"lab:{HASH},lab:{'0' * 64}",
    ],
)
def test_a_wrong_list_is_refused_without_quoting_a_hash(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        ApiKeys.read(text)
    assert HASH[:20] not in str(caught.value).lower()


def test_the_key_that_is_wrong_is_named() -> None:
    for text, words in (
        (f"lab:{HASH}:hour=1", "^the limits of the key lab are any of minute, day, "),
        ("lab:", "^the key lab needs its SHA-256"),
        (f"lab:{HASH},lab:{'0' * 64}", "^two keys have the name 'lab'$"),
    ):
        with pytest.raises(ValueError, match=words):
            ApiKeys.read(text)


def test_a_token_in_the_place_of_a_name_is_not_quoted() -> None:
    token, _ = api_keys.make("lab")
    with pytest.raises(ValueError, match="the name of a key") as caught:
        ApiKeys.read(token)
    assert token not in str(caught.value)


def test_a_hash_is_not_shown_where_a_key_is() -> None:
    assert HASH not in repr(ApiKeys.read(f"lab:{HASH}"))
