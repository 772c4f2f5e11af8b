"""The MD5 as people paste it: from tools, download pages and clouds."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urlsum.text import expected_md5
from urlsum.text.expected_md5 import NotMd5

MD5 = "d41d8cd98f00b204e9800998ecf8427e"
BASE64 = "1B2M2Y8AsgTpgAmY7PhCfg=="
OTHER = "0123456789abcdef" * 2
PAIRS = [MD5[at : at + 2] for at in range(0, 32, 2)]
PASTED = [
    MD5,
    MD5.upper(),
    f"  {MD5}\n",
    f"\u00a0{MD5}\u200b\ufeff",
    f"{MD5}  reads.bam",
    f"{MD5} *reads.bam",
    f"{MD5}\treads.bam",
    f"\\{MD5}  a\\nb",
    f"{MD5}  -",
    # The name of a file may be a digest, too.
    f"{MD5}  {OTHER}.bam",
    f"{MD5} {OTHER}",
    f"{MD5}  https://example.org/{OTHER}/reads.bam",
    f"MD5 (reads (1).bam) = {MD5}",
    f"MD5(reads.bam)= {MD5}",
    # Zenodo, Dataverse, pip.
    f"md5:{MD5}",
    f"MD5: {MD5}",
    f"md5={MD5}",
    f"MD5 checksum: {MD5.upper()}",
    f"reads.bam: {MD5}",
    # Header fields and consoles: S3 of one part, Azure, Google Cloud.
    f'ETag: "{MD5}"',
    f'"{MD5}"',
    BASE64,
    f"Content-MD5: {BASE64}",
    f"x-goog-hash: crc32c=AAAAAA==,md5={BASE64}",
    f"x-goog-hash: md5={BASE64}",
    f'"contentMd5": "{BASE64}",',
    f"    Hash (md5):\t\t{BASE64}",
    f"Hashes [base64] for reads.bam:\n\tHash (crc32c):\t\tAAAAAA==\n\tHash (md5):\t\t{BASE64}",
    f"md5-{BASE64}",
    f"Repr-Digest: md5=:{BASE64}:",
    f'ETag: "{MD5}"\r\nContent-MD5: {BASE64}',
    ":".join(PAIRS),
    " ".join(PAIRS).upper(),
]


@pytest.mark.parametrize("text", PASTED)
def test_each_usual_form_is_read(text: str) -> None:
    assert expected_md5.read(text) == MD5


@given(st.binary(max_size=20))
def test_base64_is_read_in_both_alphabets_and_where_a_form_lost_its_plus_signs(content: bytes) -> None:
    digest = hashlib.md5(content)
    plain, url_safe = (each(digest.digest()).decode() for each in (base64.b64encode, base64.urlsafe_b64encode))
    for text in (plain, url_safe, plain.replace("+", " ")):
        assert expected_md5.read(text) == digest.hexdigest()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "an MD5 is 32 hexadecimal digits"),
        ("hello", "an MD5 is 32 hexadecimal digits"),
        (MD5[:-1], "31 hexadecimal digits"),
        (MD5 + "0", "33 hexadecimal digits"),
        (f"{MD5}-12", "S3 multipart upload, not an MD5"),
        (f'"{MD5}-1"', "S3 multipart upload, not an MD5"),
        (f'ETag: "{MD5}-10000"', "S3 multipart upload, not an MD5"),
        ("0" * 8, "this is CRC-32"),
        ("0" * 40, "this is SHA-1 "),
        ("0" * 64, "this is SHA-256 "),
        (f"{'0' * 64}  {MD5}", "this is SHA-256 "),
        (f"sha256 {'0' * 64}", "this is SHA-256 "),
        (f"sha256:{'0' * 64}", "this is SHA256;"),
        ("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "this is SHA-256 in base64"),
        (f'W/"{MD5[:8]}"', "a weak ETag is not an MD5"),
        # The last digit of 16 bytes has four bits that are zero.
        ("1B2M2Y8AsgTpgAmY7PhCfh==", "an MD5 is 32 hexadecimal digits"),
        # Digests that belong to something else: a path, a name, another file.
        (f"https://example.org/{MD5}/reads.bam", "an MD5 is 32 hexadecimal digits"),
        (f"{MD5}.bam", "an MD5 is 32 hexadecimal digits"),
        (f"reads-{MD5}.bam", "an MD5 is 32 hexadecimal digits"),
        (f"{MD5}  a\n{OTHER}  b", "several MD5s"),
        (f"a {MD5}\nb {OTHER}", "several MD5s"),
        # Letters that a pattern without case would take for ASCII.
        ("1B2M2Y8A\u017fgTpgAmY7PhCfg==", "an MD5 is 32 hexadecimal digits"),
        ("\uff10" * 32, "an MD5 is 32 hexadecimal digits"),
    ],
)
def test_what_is_no_md5_is_named_as_far_as_it_is_known(text: str, words: str) -> None:
    with pytest.raises(NotMd5) as caught:
        expected_md5.read(text)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512"])
def test_the_digest_of_another_tool_is_called_by_its_name(name: str) -> None:
    digest = hashlib.new(name.replace("-", ""), b"").digest()
    with pytest.raises(NotMd5, match=f"^this is {name} "):
        expected_md5.read(digest.hex())
    if name != "SHA-384":  # 48 bytes need no padding, and 64 letters may be anything
        with pytest.raises(NotMd5, match=f"^this is {name} in base64"):
            expected_md5.read(base64.b64encode(digest).decode())


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert len(expected_md5.read(text)) == 32
    except NotMd5 as exc:
        assert str(exc).isprintable()  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    "fragment", [f"md5={MD5}", f"md5:{MD5}", MD5, MD5.upper(), f"MD5={MD5}", f"egg=a&md5={MD5}", f"md5={MD5}&sha256=1"]
)
def test_a_fragment_names_the_expected_md5(fragment: str) -> None:
    assert expected_md5.of_url(f"https://example.org/a#{fragment}") == MD5
    assert expected_md5.of_url(f"https://example.org/a#{fragment}", MD5) == MD5
    with pytest.raises(NotMd5, match="another MD5"):
        expected_md5.of_url(f"https://example.org/a#{fragment}", OTHER)


@pytest.mark.parametrize("encoded", [BASE64, BASE64.replace("=", "%3D")])
def test_a_fragment_may_be_base64(encoded: str) -> None:
    assert expected_md5.of_url(f"https://example.org/a#md5={encoded}") == MD5


@pytest.mark.parametrize("fragment", ["", "top", "L10-L20", "page=2", f"sha256={'0' * 64}", MD5[:-1], f"a{MD5}"])
def test_any_other_fragment_names_none(fragment: str) -> None:
    assert expected_md5.of_url(f"https://example.org/a#{fragment}") is None
    assert expected_md5.of_url(f"https://example.org/a#{fragment}", OTHER) == OTHER


@pytest.mark.parametrize("fragment", ["md5=abc", "md5=", f"md5:{MD5}-12", f"{MD5}-12"])
def test_a_wrong_md5_in_a_fragment_is_never_dropped_silently(fragment: str) -> None:
    with pytest.raises(NotMd5, match=r"in the URL's fragment is none: "):
        expected_md5.of_url(f"https://example.org/a#{fragment}")


def test_the_query_is_no_fragment() -> None:
    assert expected_md5.of_url(f"https://example.org/a?md5={MD5}") is None
