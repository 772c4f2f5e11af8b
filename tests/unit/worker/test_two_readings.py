from __future__ import annotations

from urlsum.md5 import MD5
from urlsum.task import Proof, Representation
from urlsum.text.remarks import READ_TWICE
from urlsum.worker.two_readings import TwoReadings, proven


def md5(content: bytes) -> MD5:
    result = MD5()
    result.update(content)
    return result


def test_two_complete_readings_of_the_same_bytes_agree() -> None:
    readings = TwoReadings()
    assert not readings.half_done
    assert not readings.agree(md5(b"file"), 4)
    assert readings.half_done
    assert readings.agree(md5(b"file"), 4)


def test_readings_that_differ_never_agree_and_the_next_one_is_a_first() -> None:
    readings = TwoReadings()
    assert not readings.agree(md5(b"old!"), 4)
    assert not readings.agree(md5(b"file"), 4)
    assert not readings.half_done
    assert not readings.agree(md5(b"file"), 4)
    assert readings.agree(md5(b"file"), 4)


def test_a_reading_that_is_not_complete_is_none() -> None:
    for size in (5, None):
        readings = TwoReadings()
        assert not readings.agree(md5(b"file"), size)
        assert not readings.half_done
        assert not readings.agree(md5(b"file"), size)
        assert not readings.agree(md5(b"file"), 4)
        assert not readings.agree(md5(b"file"), size)
        assert not readings.half_done


def test_the_proof_is_the_length_and_a_note() -> None:
    response = Representation(name="f", final_url="https://o.example/f", proof=Proof.ETAG, notes=("web-page",))
    assert proven(response).proof is Proof.LENGTH
    assert proven(response).notes == ("web-page", READ_TWICE)
