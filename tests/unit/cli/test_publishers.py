"""Lists of checksums as publishers write them."""

from __future__ import annotations

import base64

import pytest

from urlsum.cli import lists
from urlsum.cli.checksum_line import Unverified
from urlsum.cli.outcome import HashRequest

A, B = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
ID = "9751ae2e-5b8a-4f5c-9d7e-2f1b0a3c4d5e"
GDC = f"id\tfilename\tmd5\tsize\tstate\n{ID}\tx y.bam\t{A}\t1024\treleased\n"
ENA = (
    "run_accession\tfastq_ftp\tfastq_md5\tfastq_bytes\tsubmitted_ftp\tsubmitted_md5\n"
    "ERR1\tftp.sra.ebi.ac.uk/vol1/a_1.fastq.gz;ftp.sra.ebi.ac.uk/vol1/a_2.fastq.gz"
    f"\t{A};{B}\t10;20\tftp://ftp.sra.ebi.ac.uk/vol1/a.bam\t{A.upper()}\n"
    "ERR2\t\t\t\t\t\n"
)
TSV_HTTP_DATA = (
    "TsvHttpData-1.0\n"
    f"https://example.org/a\t1357\t{base64.b64encode(bytes.fromhex(A)).decode()}\n"
    "https://example.org/b\t5\n"
    "https://example.org/c\t5\tnonsense\n"
)


UNREADABLE = "an MD5 is 32 hexadecimal digits, like the first column of md5sum's output"


def entries(text: str, base: str | None = None) -> list[HashRequest | str]:
    """The requests, and the reasons of the lines that are none."""
    found = [entry for _, entry in lists.parse(text.splitlines(), base)]
    return [each.reason if isinstance(each, Unverified) else each for each in found]


def test_a_gdc_manifest_names_files_by_ids() -> None:
    assert entries(GDC) == [HashRequest(f"https://api.gdc.cancer.gov/data/{ID}", A, 1024)]


def test_a_gdc_manifest_with_a_base_is_a_folder_of_the_transfer_tool() -> None:
    assert entries(GDC, "https://mirror.example/d/") == [
        HashRequest(f"https://mirror.example/d/{ID}/x%20y.bam", A, 1024)
    ]


def test_a_report_of_ena_has_several_files_in_a_line() -> None:
    assert entries(ENA) == [
        HashRequest("https://ftp.sra.ebi.ac.uk/vol1/a_1.fastq.gz", A, 10),
        HashRequest("https://ftp.sra.ebi.ac.uk/vol1/a_2.fastq.gz", B, 20),
        HashRequest("https://ftp.sra.ebi.ac.uk/vol1/a.bam", A),
    ]


def test_a_report_of_ena_without_matching_checksums_is_not_silent() -> None:
    header = "run_accession\tfastq_ftp\tfastq_md5\n"
    assert entries(header + f"ERR1\ta.example/1;a.example/2\t{A}\n") == [
        "fastq_ftp has 2 files, but fastq_md5 has 1 checksums"
    ]
    assert entries("run_accession\tfastq_ftp\nERR1\ta.example/1\n") == ["this line has a URL, but no MD5"]


def test_a_url_list_of_the_storage_transfer_service() -> None:
    assert entries(TSV_HTTP_DATA) == [
        HashRequest("https://example.org/a", A, 1357),
        "this line has a URL, but no MD5",
        UNREADABLE,
    ]


@pytest.mark.parametrize("header", ["name\turl\tmd5", "name\tDownload_URL\tMD5sum", 'name\t"file_url"\t"md5_checksum"'])
def test_any_table_with_columns_for_url_and_md5(header: str) -> None:
    assert entries(f"# comment\n{header}\nx\thttps://example.org/a\t{A}\ny\thttps://example.org/b\t\n") == [
        HashRequest("https://example.org/a", A),
        "this line has a URL, but no MD5",
    ]


@pytest.mark.parametrize("separator", [",", ";", ", "])
def test_a_spreadsheet_is_a_table(separator: str) -> None:
    rows = [
        ["Name", "URL", '"MD5"'],
        ['"a, b; c"', "https://example.org/a", A],
        ["d", "https://example.org/b", f'"{B}"'],
    ]
    assert entries("".join(f"{separator.join(row)}\r\n" for row in rows)) == [
        HashRequest("https://example.org/a", A),
        HashRequest("https://example.org/b", B),
    ]


def test_a_list_of_md5sum_is_no_table() -> None:
    assert entries(f"{A}\thttps://example.org/a\n") == [HashRequest("https://example.org/a", A)]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("./GCF_1_genomic.fna.gz", "https://host/d/GCF_1_genomic.fna.gz"),
        ("sub/a b.bam", "https://host/d/sub/a%20b.bam"),
        ("50%.txt", "https://host/d/50%25.txt"),
        ("what?#1", "https://host/d/what%3F%231"),
        ("a:b", "https://host/d/a:b"),
        ("ä", "https://host/d/%C3%A4"),
        ("/top", "https://host/top"),
        ("../up", "https://host/up"),
        ("https://other/x?y", "https://other/x?y"),
    ],
)
def test_a_name_is_a_file_beside_the_list(name: str, url: str) -> None:
    assert entries(f"{A}  {name}\n", "https://host/d/MD5SUMS?sig=1") == [HashRequest(url, A)]
