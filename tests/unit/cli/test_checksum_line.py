"""The lines of a list, each also given to the md5sum of this machine, with a file that is called as the URL."""

from __future__ import annotations

import io
import random
import shutil
import subprocess
import time
from functools import cache
from typing import TYPE_CHECKING

import pytest

from urlsum.cli import checksum_line, lines
from urlsum.cli.checksum_line import Unverified
from urlsum.cli.outcome import HashRequest
from urlsum.text.expected_md5 import S3_MULTIPART

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://files.example/a"
MD5 = "900150983cd24fb0d6963f7d28e17f72"  # of "abc" (RFC 1321, A.5)
BASE64 = "kAFQmDzST7DWlj99KOF/cg=="  # the same
SHA1 = "a9993e364706816aba3e25717850c26c9cd0d89d"
SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

VERIFIED, UNREADABLE, UNVERIFIED, MALFORMED, IGNORED = "verified", "unreadable", "unverified", "malformed", "ignored"
# As md5sum says of a line that it does not verify; it knows no difference between the two.
THEIRS = {UNVERIFIED: MALFORMED}

# What urlsum makes of a line, and md5sum too.
SAME = [
    (f"{MD5}  {URL}", VERIFIED),
    (f"{MD5} *{URL}", VERIFIED),
    (f"{MD5} {URL}", VERIFIED),
    (f"{MD5}\t{URL}", VERIFIED),
    (f"{MD5}\t*{URL}", VERIFIED),
    (f"{MD5}  {URL}\r", VERIFIED),
    (f"{MD5.upper()}  {URL}", VERIFIED),
    (f" \t{MD5}  {URL}", VERIFIED),
    (f"\\{MD5}  {URL}", VERIFIED),
    (f" \\{MD5} *{URL}\r", VERIFIED),
    (f"MD5 ({URL}) = {MD5}", VERIFIED),
    (f"MD5({URL})= {MD5}", VERIFIED),
    (f"MD5({URL})={MD5}", VERIFIED),
    (f"MD5 ({URL})\t=\t{MD5.upper()}\r", VERIFIED),
    (f" \t\\MD5 ({URL}) = {MD5}", VERIFIED),
    ("", IGNORED),
    ("\r", IGNORED),
    ("# a comment", IGNORED),
    (f"#{MD5}  {URL}", IGNORED),
    (f"{MD5}  {URL}/other", UNREADABLE),
    (f"{MD5}  https://other.example/a", UNREADABLE),
    (f"{MD5}  a.bam", UNREADABLE),
    (f"{MD5}  s3://bucket/a", UNREADABLE),
    (f"{MD5}  -", UNREADABLE),
    (f"{MD5} *", UNREADABLE),
    (f"{MD5}  <{URL}>", UNREADABLE),
    (f"{MD5}  {URL}  {URL}", UNREADABLE),
    (f"{MD5}  {URL} # a comment", UNREADABLE),
    (f"{MD5}  MD5 ({URL})", UNREADABLE),
    (f"{MD5}  {URL}\r{MD5}  {URL}", UNREADABLE),
    (f"\\{MD5}  {URL}\\\\b", UNREADABLE),
    (f"\\{MD5}  {URL}\\n", UNREADABLE),
    (f"\\{MD5}  {URL}\\r", UNREADABLE),
    (f"\\MD5 ({URL}\\\\) = {MD5}", UNREADABLE),
    (f"{MD5}  {URL}\\", UNREADABLE),
    (f"MD5 ({URL}) = x) = {MD5}", UNREADABLE),
    (f"MD5 (stdin) = {MD5}", UNREADABLE),
    (" ", MALFORMED),
    (" # a comment", MALFORMED),
    (f" # {MD5}  {URL}", MALFORMED),
    ("nonsense", MALFORMED),
    ("MD5SUMS of the release", MALFORMED),
    ("f(x) = y", MALFORMED),
    ("<html><head><title>502 Bad Gateway</title></head>", MALFORMED),
    ('{"message": "Not Found"}', MALFORMED),
    ("20261127  a.bam", MALFORMED),
    ("2026-11-27 10:00:00  a.bam", MALFORMED),
    ("-----BEGIN PGP SIGNED MESSAGE-----", MALFORMED),
    ("Hash: SHA256", MALFORMED),
    ("ゲノム", MALFORMED),
    (MD5, UNVERIFIED),
    (f"{MD5} ", UNVERIFIED),
    (f"{MD5}{URL}", UNVERIFIED),
    (f"{MD5[1:]}  {URL}", UNVERIFIED),
    (f"{MD5[1:]}  a.bam", UNVERIFIED),
    (f"{MD5}0  {URL}", UNVERIFIED),
    (f"g{MD5[1:]}  {URL}", UNVERIFIED),
    (f"0x{MD5}  {URL}", UNVERIFIED),
    (f"{URL}  {MD5}", UNVERIFIED),
    (f"a.bam  {MD5}", UNVERIFIED),
    (f"{MD5},{URL}", UNVERIFIED),
    (f'{{"url": "{URL}", "md5": "{MD5}"}}', UNVERIFIED),
    (f'<a href="{URL}">a</a>', UNVERIFIED),
    (URL, UNVERIFIED),
    (f"\\\\{MD5}  {URL}", UNVERIFIED),
    (f"\\ {MD5}  {URL}", UNVERIFIED),
    (f"\\{MD5}  {URL}\\x", UNVERIFIED),
    (f"\\{MD5}  {URL}\\", UNVERIFIED),
    (f"MD5 ({URL}) = {MD5[1:]}", UNVERIFIED),
    (f"MD5 ({URL}) = {MD5}0", UNVERIFIED),
    (f"MD5 ({URL}) = {MD5} (text)", UNVERIFIED),
    (f"MD5 ({URL}) {MD5}", UNVERIFIED),
    (f"MD5 ({URL}", UNVERIFIED),
    (f"MD5 {URL} = {MD5}", UNVERIFIED),
    (f"MD5  ({URL}) = {MD5}", UNVERIFIED),
    (f"MD5-1({URL})= {MD5}", UNVERIFIED),
    (f"MD5-1 (a.bam) = {MD5}", UNVERIFIED),
    (f"HMAC-MD5({URL})= {MD5}", UNVERIFIED),
    (f"{MD5}-12  {URL}", UNVERIFIED),
    (f"{URL}#md5=abc", UNVERIFIED),
    (f"{URL}#{SHA256}", UNVERIFIED),
    (f"{URL}#top", UNVERIFIED),
    (f"352441c2  {URL}", UNVERIFIED),
    (f"{SHA1}  {URL}", UNVERIFIED),
    (f"{SHA1}  a.bam", UNVERIFIED),
    (f"{SHA256} *{URL}", UNVERIFIED),
    (f"SHA256 ({URL}) = {SHA256}", UNVERIFIED),
    (f"SHA2-256({URL})= {SHA256}", UNVERIFIED),
    (f"BLAKE2b-128 (a.bam) = {MD5}", UNVERIFIED),
    (f"(stdin)= {MD5}", UNVERIFIED),
    (f"{MD5}\0  {URL}", UNVERIFIED),
    (f"3,{MD5},{SHA256},/data/a.bam", UNVERIFIED),
    ("90 01 50 98 3c d2 4f b0 d6 96 3f 7d 28 e1 7f 72", UNVERIFIED),
]
# Where they differ: the line, md5sum's view, ours, and why.
DIFFERENT = [
    (f"{MD5}  {URL} ", UNREADABLE, VERIFIED, "a name may end with a blank, a URL cannot"),
    (f"{MD5}  {URL}\t\r", UNREADABLE, VERIFIED, "so with a tab"),
    (f"{MD5}  {URL}\r\r", UNREADABLE, VERIFIED, "so with a carriage return"),
    (f"{MD5}  {URL}\xa0", UNREADABLE, VERIFIED, "so with the no-break space of a web page"),
    (f"{MD5}  {URL}\u3000", UNREADABLE, VERIFIED, "so with the space of Chinese and Japanese"),
    (f"{MD5}  {URL}\u200b", UNREADABLE, VERIFIED, "so with a space that has no width"),
    (f"{MD5}   {URL}", UNREADABLE, VERIFIED, "a URL does not begin with a blank either"),
    (f"{MD5}\t\t{URL}", UNREADABLE, VERIFIED, "columns of a table"),
    (f"{MD5} \t{URL}", UNREADABLE, VERIFIED, "columns of a table"),
    (f"MD5 ( {URL}\t) = {MD5}", UNREADABLE, VERIFIED, "blanks around the URL do not count here either"),
    (f"\\{MD5}  {URL} ", UNREADABLE, VERIFIED, "nor in an escaped line"),
    (f"{MD5}\xa0\xa0{URL}", MALFORMED, VERIFIED, "no-break spaces of a web page between digest and URL"),
    (f"\xa0{MD5}  {URL}", MALFORMED, VERIFIED, "and before them"),
    (f"\ufeff{MD5}  {URL}", MALFORMED, VERIFIED, "a byte-order mark"),
    (f"\ufeff\ufeff{MD5}  {URL}", MALFORMED, VERIFIED, "two of them"),
    (f"\ufeffMD5 ({URL}) = {MD5}", MALFORMED, VERIFIED, "one before a tag"),
    ("\ufeff# a comment", MALFORMED, IGNORED, "one before a comment"),
    ("\ufeff", MALFORMED, IGNORED, "one before nothing"),
    (f"MD5 ({URL}) = {MD5} ", MALFORMED, VERIFIED, "a blank at the end of a line says nothing"),
    (f"md5 ({URL}) = {MD5}", MALFORMED, VERIFIED, "the tag as Solaris writes it"),
    (f"md5:{MD5}  {URL}", MALFORMED, VERIFIED, "the digest as Zenodo writes it"),
    (f"{BASE64}  {URL}", MALFORMED, VERIFIED, "base64, as clouds write it"),
    (f"{BASE64}  a.bam", MALFORMED, UNREADABLE, "base64, as clouds write it"),
    (f"MD5 ({URL}) = {BASE64}", MALFORMED, VERIFIED, "openssl's form with base64"),
    (f"{URL}#{MD5}", MALFORMED, UNREADABLE, "a line of conda: a URL with a fragment"),
    ("@EXPLICIT", MALFORMED, IGNORED, "the first line of conda"),
    (f"{MD5}  {URL}#{SHA1[:32]}", UNREADABLE, UNVERIFIED, "two digests that contradict each other"),
    (f"{MD5}  {URL}\0.part", VERIFIED, UNVERIFIED, "md5sum reads up to the NUL; a URL has none"),
    (f"{MD5}  https://files.example/\udcff", UNREADABLE, UNVERIFIED, "bytes of another encoding"),
    (f"MD5 () = {MD5}", UNREADABLE, UNVERIFIED, "a name that is empty"),
]  # fmt: skip

AFTER_THE_URL = "the MD5 must come before the URL"
HTML_OR_JSON = "this is HTML or JSON, not a checksum line"
NUL_BYTES = (
    "the line contains NUL bytes (UTF-16 or UTF-32 without a byte-order mark, the output of md5sum -z, or binary data);"
    " save the list as UTF-8, with line feeds"
)
MALFORMED_LINE = "improperly formatted MD5 checksum line"


def ours(line: str) -> str:
    entry = only(line)
    if entry is None:
        return IGNORED
    if isinstance(entry, Unverified):
        return UNVERIFIED if entry.checksum else MALFORMED
    return VERIFIED if entry == HashRequest(URL, MD5) else UNREADABLE


def only(line: str) -> HashRequest | Unverified | None:
    [text] = lines.read(io.BytesIO(encoded(line))) or [""]
    return checksum_line.parse(text)


def encoded(line: str) -> bytes:
    return line.encode(errors="surrogateescape") + b"\n"


@cache
def md5sum() -> str:
    """The reference. Releases before 9.0 neither ignore a carriage return at the end of a line nor unescape one."""
    path = shutil.which("md5sum")
    if (
        path is None
        or b"GNU coreutils) 9." not in subprocess.run([path, "--version"], capture_output=True, check=False).stdout
    ):
        pytest.skip("this machine has no md5sum of GNU coreutils 9 to compare with")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a file has the URL as its path: to the system, two slashes are one."""
    path: Path = tmp_path_factory.mktemp("md5sum")
    (path / URL).parent.mkdir(parents=True)
    (path / URL).write_text("abc")
    return path


def theirs(line: str, folder: Path) -> str:
    (folder / "list").write_bytes(encoded(line))
    done = subprocess.run(
        [md5sum(), "-c", "-w", "list"],
        cwd=folder,
        stdin=subprocess.DEVNULL,  # what the name - means to md5sum
        capture_output=True,
        check=False,
        env={"LC_ALL": "C"},
    )
    if b"list: 1: improperly formatted" in done.stderr:
        return MALFORMED
    verdicts = {b"OK": VERIFIED, b"FAILED open or read": UNREADABLE, b"FAILED": UNREADABLE, b"": IGNORED}
    return verdicts[done.stdout.rpartition(b": ")[2].rstrip()]


@pytest.mark.parametrize(("line", "expected"), SAME)
def test_a_line_means_what_it_means_to_md5sum(line: str, expected: str, folder: Path) -> None:
    assert ours(line) == expected
    assert theirs(line, folder) == THEIRS.get(expected, expected)


@pytest.mark.parametrize(("line", "reference", "expected"), [case[:3] for case in DIFFERENT])
def test_a_difference_from_md5sum_is_meant(line: str, reference: str, expected: str, folder: Path) -> None:
    assert ours(line) == expected
    assert theirs(line, folder) == reference
    assert THEIRS.get(expected, expected) != reference


# What urlsum may make of a random line that md5sum reads so.
ALLOWED = {
    VERIFIED: {VERIFIED},
    IGNORED: {IGNORED},
    UNREADABLE: {UNREADABLE, UNVERIFIED, VERIFIED},
    MALFORMED: {MALFORMED, UNVERIFIED, UNREADABLE, VERIFIED, IGNORED},
}
PIECES = [MD5, MD5.upper(), URL, SHA256, "MD5", "MD5 (", "MD5(", "(", ")", ") = ", ")= ", "=", " ", "  ", " *", "\t"]
PIECES += ["\\", "\\n", "#", "\r", "a.bam", "\xa0", "\ufeff"]
BEFORE = ("", "", "", " ", "\t ", "\\", "\\\\", "#", "\ufeff")
BETWEEN = ("  ", " *", " ", "\t", "\t*", "   ", "\\", ",")
AFTER = ("", "", "", "\r", " ", "\\n", "\\x", "#")
EQUALS = (" = ", "= ", "=", " =\t", " ", ":")


def test_no_random_line_that_md5sum_takes_is_lost(folder: Path) -> None:
    draw = random.Random(645)
    met = set()
    for _ in range(300):
        middle = "".join(draw.choices(PIECES, k=draw.randint(1, 5)))
        before, between, after = (draw.choice(each) for each in (BEFORE, BETWEEN, AFTER))
        usual = draw.choice([f"{MD5}{between}{URL}", f"MD5 ({URL}{draw.choice(AFTER)}){draw.choice(EQUALS)}{MD5}"])
        line = draw.choice([middle, f"{MD5}{middle}{URL}", f"{MD5} {middle}", *[f"{before}{usual}{after}"] * 3])
        reading, reference = ours(line), theirs(line, folder)
        met.add((reading, reference))
        assert reading in ALLOWED[reference], line
        holds_digest = any(each in line for each in (MD5, MD5.upper(), SHA256))
        assert reading != IGNORED or line.lstrip("\ufeff").startswith("#") or not line.strip("\ufeff\r"), line
        assert reading != MALFORMED or not holds_digest or line.lstrip(" \t\r\ufeff\xa0\\").startswith("#"), line
    assert len(met) > 6


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"{SHA256}  {URL}", "this is SHA-256 (64 hexadecimal digits); urlsum verifies only MD5"),
        (f"{SHA1}  {URL}", "this is SHA-1 (40 hexadecimal digits); urlsum verifies only MD5"),
        (f"{SHA256}{SHA256}  {URL}", "this is SHA-512 (128 hexadecimal digits); urlsum verifies only MD5"),
        (f"{SHA256}{MD5}  {URL}", "this is SHA-384 (96 hexadecimal digits); urlsum verifies only MD5"),
        (f"{SHA256[:56]}  {URL}", "this is SHA-224 (56 hexadecimal digits); urlsum verifies only MD5"),
        (f"{SHA256[:8]}  {URL}", "this is CRC-32 (8 hexadecimal digits); urlsum verifies only MD5"),
        (f"SHA256 ({URL}) = {SHA256}", "this is SHA256; urlsum verifies only MD5"),
        (f"SHA2-256({URL})= {SHA256}", "this is SHA2-256; urlsum verifies only MD5"),
        (f"{URL} {MD5}", AFTER_THE_URL),
        (f"{MD5}-12  {URL}", S3_MULTIPART),
        (f"MD5 ({URL}) = {MD5}-12", MALFORMED_LINE),
        (f"{URL}#{MD5}-12", f"the MD5 in the URL's fragment is none: {S3_MULTIPART}"),
        (f"{URL}#md5=abc", "the MD5 in the URL's fragment is none: this has 3 hexadecimal digits; an MD5 has 32"),
        (f"{URL}#{SHA256}", "this is SHA-256 (64 hexadecimal digits); urlsum verifies only MD5"),
        (f"{MD5}  {URL}#{SHA1[:32]}", f"the URL's fragment has another MD5 ({SHA1[:32]}); leave one of the two out"),
        (f"MD5 ({URL}) = {MD5[1:]}", "the MD5 is not 32 hexadecimal digits"),
        (f"MD5 () = {MD5}", "this is an MD5 without a URL"),
        (
            f"\\{MD5}  {URL}\\t",
            r"the line begins with a backslash, and its URL contains an escape other than \\, \n or \r",
        ),
        (f"<a href='{URL}'>", HTML_OR_JSON),
        (f"{MD5}  {URL}\udce9", "the line contains bytes that are invalid in this list's encoding; save it as UTF-8"),
        (
            f"{MD5}\0  {URL}",
            NUL_BYTES,
        ),
        (f"{URL}#sha256:{'0' * 64}", "this is SHA-256 (64 hexadecimal digits); urlsum verifies only MD5"),
        (f"{URL}#sha1={'0' * 40}", "this is SHA-1 (40 hexadecimal digits); urlsum verifies only MD5"),
        (f"{URL}\t1024\t{MD5}", AFTER_THE_URL),
        (f"<{URL}> {MD5}", AFTER_THE_URL),
        (f'"{URL}" *{MD5}', AFTER_THE_URL),
        (f"MD5  ({URL}) = {MD5}", MALFORMED_LINE),  # two blanks, which md5sum does not read either
        (f"MD5\t ({URL}) = {MD5}", MALFORMED_LINE),
        (f"md5: {URL} {MD5}", MALFORMED_LINE),
        (f"MD5 {URL} = {MD5}", MALFORMED_LINE),
        (f"MD5 [{URL}] = {MD5}", MALFORMED_LINE),
        (f"({URL})= {MD5}", MALFORMED_LINE),
        (f"SHA256  ({URL}) = {SHA256}", MALFORMED_LINE),
        (f"MD5-1({URL})= {MD5}", MALFORMED_LINE),  # no tool writes it
        (f"MD5SUM ({URL}) = {MD5}", MALFORMED_LINE),
        (f"f ({URL}) = {MD5}", MALFORMED_LINE),
        (f"a/b (x) = {BASE64}", MALFORMED_LINE),
        (f"sha256 ({URL}) = {SHA256}", "this is sha256; urlsum verifies only MD5"),
        (f"SHA-256({URL})= {SHA256}", "this is SHA-256; urlsum verifies only MD5"),
        (f"SHA512/256({URL})= {SHA256}", "this is SHA512/256; urlsum verifies only MD5"),
        (f"SHA3-256({URL})= {SHA256}", "this is SHA3-256; urlsum verifies only MD5"),
        (f"SHAKE128({URL})= {MD5}", "this is SHAKE128; urlsum verifies only MD5"),
        (f"BLAKE2b-128 ({URL}) = {MD5}", "this is BLAKE2b-128; urlsum verifies only MD5"),
        (f"RMD160 ({URL}) = {SHA1}", "this is RMD160; urlsum verifies only MD5"),
        (f"SM3 ({URL}) = {SHA256}", "this is SM3; urlsum verifies only MD5"),
        (f"MD4({URL})= {MD5}", "this is MD4; urlsum verifies only MD5"),
        (f"MD5-SHA1({URL})= {MD5}{SHA1}", "this is MD5-SHA1; urlsum verifies only MD5"),
        (f"HMAC-MD5({URL})= {MD5}", "this is HMAC-MD5; urlsum verifies only MD5"),
        (f"<!-- {URL} -->", HTML_OR_JSON),
        (f'[{{"url": "{URL}"}}]', HTML_OR_JSON),
        (f'{{"url": "{URL}", "md5": "{MD5}"}}', HTML_OR_JSON),
        (f"[2026-11-27 10:00] {URL} {MD5}", MALFORMED_LINE),
        (f"[a]({URL})", MALFORMED_LINE),
        (f"<- {URL}", MALFORMED_LINE),
        (URL, "this line has a URL, but no MD5"),
    ],
)
def test_a_line_that_cannot_be_verified_says_why(line: str, reason: str) -> None:
    assert only(line) == Unverified(reason)


@pytest.mark.parametrize("fragment", [MD5, MD5.upper(), f"md5={MD5}", f"md5:{MD5}", f"egg=a&md5={MD5}"])
def test_a_fragment_names_the_digest_and_stays_in_the_name(fragment: str) -> None:
    expected = HashRequest(f"{URL}#{fragment}", MD5)
    assert only(f"{URL}#{fragment}") == only(f"{MD5}  {URL}#{fragment}") == expected


def test_escapes_of_md5sum_are_undone_once() -> None:
    assert only(rf"\{MD5}  https://a.example/b\\nc\nd\r\\") == HashRequest("https://a.example/b\\nc\nd\r\\", MD5)
    assert only(rf"{MD5}  https://a.example/b\\c") == HashRequest(r"https://a.example/b\\c", MD5)


@pytest.mark.parametrize("size", [0, 1])
def test_a_line_may_be_as_long_as_its_bound_says(size: int) -> None:
    line = f"{MD5}  ".ljust(lines.MAX_LINE_CHARACTERS + size, "a")
    entry = checksum_line.parse(line)
    assert entry == (Unverified("the line has more than 32768 characters") if size else HashRequest(line[34:], MD5))


@pytest.mark.parametrize(
    "piece", ["a", " ", "\\", "\\\\", "(", ")", ") = ", "=", "00 ", "a://", "MD5 (", "0", f"{MD5} ", "\xa0", "\u3030"]
)
def test_no_line_takes_longer_than_its_length(piece: str) -> None:
    count = lines.MAX_LINE_CHARACTERS // len(piece) - 10
    began = time.process_time()
    for line in (piece * count, f"\\{piece * count}x", f"MD5 ({piece * count}", f"{MD5}  x{piece * (count - 6)}x"):
        checksum_line.parse(line)
    # Quadratic time would be seconds; this is milliseconds.
    assert time.process_time() - began < 0.5
