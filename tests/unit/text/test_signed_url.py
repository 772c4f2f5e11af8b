"""Which parts of a URL are hidden from those who did not submit it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urlsum.text import md5sum
from urlsum.text.format import shown_url
from urlsum.text.signed_url import public_url

FILE = "https://host.example/data/reads.bam"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

SIGNED = [
    # AWS, versions 4 and 2, and CloudFront
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2Fb&X-Amz-Date=20261127T000000Z&X-Amz-Signature=1",
    "x-amz-security-token=1",
    "AWSAccessKeyId=1&Expires=1&Signature=1",
    "Expires=1&Signature=1&Key-Pair-Id=1",
    "Policy=1",
    # Google, Azure, Alibaba, Tencent, Huawei, OpenStack Swift, Backblaze
    "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Signature=1",
    "GoogleAccessId=1&Expires=1&Signature=1",
    "sv=2026-01-01&se=2026-12-01&sr=b&sp=r&sig=1",
    "sv=2026-01-01&sp=r",
    "SE=2026&SV=2026",
    "OSSAccessKeyId=1",
    "x-oss-signature=1",
    "q-sign-algorithm=sha1&q-ak=1",
    "x-cos-security-token=1",
    "AccessKeyId=1",
    "temp_url_sig=1&temp_url_expires=1",
    "X-Bz-Content-Sha1=1",
    # content delivery networks
    "hdnts=exp=1~acl=/*~hmac=1",
    "hdnea=1",
    "__token__=1",
    "__gda__=1",
    "md5=a&expires=1800000000",
    "h=a&e=1800000000",
    "st=a&e=1800000000",
    "verify=1800000000-a&expires=1",
    # file sharing
    "rlkey=1&dl=1",
    "resourcekey=0-1",
    "authkey=1",
    "tempauth=1",
    "private_token=1",
    "job-token=1",
    # APIs
    "token=1",
    "TOKEN=1",
    "tok%65n=1",
    "access_token=1",
    "accessToken=1",
    "refreshtoken=1",
    "downloadToken=1",
    "api_key=1",
    "apikey=1",
    "apiKey=1",
    "key=1",
    "client_secret=1",
    "password=1",
    "user=a&pwd=b",
    "jwt=1",
    "code=1&state=2",
    "oauth_consumer_key=1",
    "SAMLResponse=1",
    "PHPSESSID=1",
    "JSESSIONID=1",
    "sid=1",
    "ticket=ST-1",
    "hmac=1",
    "sign=1",
    # a secret by its value
    f"x={JWT}",
    JWT,
    "x=0123456789abcdef0123456789ABCDEF",
    "0123456789abcdef0123456789abcdef0",
    "d=3HL4kqtJvjVBH40Nrjfkd0Ab",
    "d=" + "Ab1%2B" * 6 + "%3D",
    # anywhere in it
    "a=b&c=d&sig=1",
    "a=b;sig=1",
    "sig=1&a=b",
    "a=b?token=1",
    "&&token=1",
]
OPEN = [
    "",
    "version=2",
    "dl=1",
    "download=true&format=bam",
    "path=/a/b/reads_1.fastq.gz",
    "file=NA12878.wgs.hg38.bam&part=3",
    "id=0e4fac17-f367-4807-8c28-8a059a2f82ac",
    "config=a",
    "design=a",
    "author=b",
    "assignment=b",
    "e=5",
    "expires=1",
    "sv=2",
    "sp=2",
    "code=NA12878",
    "state=final",
    "page=1&size=100",
    "name=GRCh38_full_analysis_set_plus_decoy_hla.fa",
    "q=search&lang=en",
    "acc=GSM1234567&format=file&file=GSM1234567%5Fa.CEL.gz",
    "a",
    "a=%41%41%41" + "%41" * 300,
    # Long, but without letters of both cases and digits.
    "id=ABCDEFGHIJKLMNOPQRSTUVWX0123",
    "id=ghijklmnopqrstuvwxyzghij0123",
    "id=GHIJKLMNOPQRSTUVghijklmnopqr",
]


@pytest.mark.parametrize("parameters", SIGNED)
def test_a_query_or_fragment_with_a_signature_is_hidden_as_a_whole(parameters: str) -> None:
    assert public_url(f"{FILE}?{parameters}") == f"{FILE}?…"
    assert public_url(f"{FILE}?version=2#{parameters}") == f"{FILE}?version=2#…"
    assert public_url(f"{FILE}?{parameters}#{parameters}") == f"{FILE}?…#…"
    assert shown_url(f"{FILE}#{parameters}") == FILE


@pytest.mark.parametrize("digits", ["0123456789abcdef0123456789ABCDEF", "md5=0123456789abcdef0123456789abcdef"])
def test_the_expected_md5_in_a_fragment_is_no_secret_and_in_a_query_it_may_be_one(digits: str) -> None:
    for fragment in (digits, digits.replace("=", ":")):
        assert public_url(f"{FILE}#{fragment}") == f"{FILE}#{fragment}"
        assert public_url(f"{FILE}#{fragment}&token=1") == f"{FILE}#…"
    assert public_url(f"{FILE}?{digits}") == f"{FILE}?…"
    assert public_url(f"{FILE}#md5=1B2M2Y8AsgTpgAmY7PhCfg==") == f"{FILE}#md5=1B2M2Y8AsgTpgAmY7PhCfg=="


@pytest.mark.parametrize("parameters", OPEN)
def test_any_other_query_or_fragment_is_shown(parameters: str) -> None:
    for url in (f"{FILE}?{parameters}", f"{FILE}#{parameters}", f"{FILE}?{parameters}#{parameters}"):
        assert public_url(url) == url


@pytest.mark.parametrize("parameters", [*SIGNED, *OPEN])
def test_of_a_url_that_was_issued_to_urlsum_no_query_is_shown(parameters: str) -> None:
    assert public_url(f"{FILE}?{parameters}", query_is_secret=True) == f"{FILE}?…"


def test_a_url_without_query_is_shown_as_it_is() -> None:
    assert public_url(FILE, query_is_secret=True) == FILE


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@host.example/a.bam", "https://…@host.example/a.bam"),
        ("https://secret@host.example/a.bam", "https://…@host.example/a.bam"),
        ("https://a@b@host.example", "https://…@host.example"),
        ("https://host.example//b@c/a.bam", "https://host.example//b@c/a.bam"),
        ("https://host.example/a.bam;jsessionid=secret", "https://host.example/a.bam;jsessionid=…"),
        ("https://host.example/a;PHPSESSID=secret/b.bam", "https://host.example/a;PHPSESSID=…/b.bam"),
        ("https://h/hdnts=exp=1~acl=x~hmac=secret/a.bam", "https://h/hdnts=…~acl=x~hmac=…/a.bam"),
        ("https://h/token=secret/a.bam", "https://h/token=…/a.bam"),
        ("https://h/year=2026/key=3/a.parquet", "https://h/year=2026/key=3/a.parquet"),
        ("https://h/a;v=2.bam", "https://h/a;v=2.bam"),
    ],
)
def test_userinfo_and_secrets_in_the_path_are_hidden(url: str, shown: str) -> None:
    assert public_url(url) == shown
    assert shown_url(url) == shown
    assert "secret" not in public_url(f"{url}?sig=secret")


URLS = st.builds(
    "https://{}host/{}?{}#{}".format,
    st.sampled_from(["", "user:pass@"]),
    st.text("ab/;~=.", max_size=12),
    st.sampled_from([*SIGNED, *OPEN]),
    st.sampled_from([*SIGNED, *OPEN]),
)


@given(URLS)
def test_what_is_shown_stays_as_it_is_and_names_the_same_file(url: str) -> None:
    shown = public_url(url)
    assert public_url(shown) == shown
    assert shown_url(shown) == shown_url(url)
    assert md5sum.name_of(shown) == md5sum.name_of(url)


@pytest.mark.parametrize("name", ["reads.bam;jsessionid=secret", "reads.bam;sid=secret", "a%20b.bam"])
def test_the_name_of_the_file_is_not_affected(name: str) -> None:
    url = f"https://host.example/{name}?token=secret"
    assert md5sum.name_of(public_url(url)) == md5sum.name_of(url)


@given(st.text(max_size=200))
def test_any_text_has_a_form_to_show(url: str) -> None:
    public_url(url)


@pytest.mark.parametrize("piece", ["a=b&", "aA1-", "%41", "=", "&", ";a=", "eyJ.", "token", "A", "f0"])
def test_the_longest_url_takes_no_time(piece: str) -> None:
    url = "https://h/" + (piece * 8192)[:4096] + "?" + (piece * 8192)[:4096]
    started = time.process_time()
    public_url(url)
    assert time.process_time() - started < 0.25
