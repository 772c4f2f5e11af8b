"""Lists of checksums as publishers of data sets write them: tables whose header names their columns.

- GDC, the Genomic Data Commons: a manifest of its Data Transfer Tool, whose files have ids instead of URLs.
  https://docs.gdc.cancer.gov/Data_Transfer_Tool/Users_Guide/Preparing_for_Data_Download_and_Upload/
- ENA, the European Nucleotide Archive: file reports with one line for a run, whose cells name several files, separated
  by semicolons. https://ena-docs.readthedocs.io/en/latest/retrieval/programmatic-access/file-reports.html
- TsvHttpData-1.0, the URL lists of Google's Storage Transfer Service, with MD5s in base64.
  https://cloud.google.com/storage-transfer/docs/create-url-list
- Any table with a column for URLs and one for MD5s, separated by tabs, commas or semicolons.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from urlsum.cli.checksum_line import NO_MD5, Unverified
from urlsum.cli.outcome import HashRequest
from urlsum.text import expected_md5
from urlsum.text.expected_md5 import NotMd5

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Entry = HashRequest | Unverified
    Parser = Callable[[str], Iterator[Entry]]
    """The entries in one line below the header."""

GDC_FILES = "https://api.gdc.cancer.gov/data/"
TSV_HTTP_DATA = "TsvHttpData-1.0"
# Columns for URLs and for MD5s in tables of other publishers, in lower case.
URL_COLUMNS = ("url", "file_url", "download_url", "https_url", "http_url", "link", "uri")
MD5_COLUMNS = ("md5", "md5sum", "md5_sum", "file_md5", "md5_checksum", "md5_hash", "checksum_md5")
SIZE_COLUMNS = ("size", "bytes", "file_size", "size_bytes", "filesize")
# Of spreadsheets: Excel writes semicolons where a comma is the decimal point.
SEPARATORS = ("\t", ",", ";")
GDC_COLUMNS = {"id", "filename", "md5"}
# The kinds of files in a report of ENA: <kind>_ftp, <kind>_md5 and <kind>_bytes belong together.
_ENA_URLS = re.compile(r"(fastq|submitted|sra|bam)_(?:ftp|http)")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def parser(header: str, base: str | None = None) -> Parser | None:
    """The parser of the lines below ``header``, the first line of a list; None if it is not that of a table.

    ``base`` is the URL of a folder with the files of a GDC manifest, as its Data Transfer Tool stores them.
    """
    if header.strip() == TSV_HTTP_DATA:
        return _transfer_line
    tables = (_table(header.lstrip("\ufeff"), separator, base) for separator in SEPARATORS if separator in header)
    return next(filter(None, tables), None)


def _table(header: str, separator: str, base: str | None) -> Parser | None:
    names = [name.lower() for name in _split(header, separator)]

    def cells(line: str) -> dict[str, str]:
        return dict(zip(names, _split(line, separator), strict=False))  # spreadsheets drop empty cells at the end

    if set(names) >= GDC_COLUMNS:
        return lambda line: _gdc_line(cells(line), base)
    kinds = [name for name in names if _ENA_URLS.fullmatch(name)]
    if kinds:
        return lambda line: _ena_line(kinds, cells(line))
    url, md5 = _first(names, URL_COLUMNS), _first(names, MD5_COLUMNS)
    if url is not None and md5 is not None:
        size = _first(names, SIZE_COLUMNS)
        return lambda line: _table_line(cells(line), url, md5, size)
    return None


def _first(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _split(line: str, separator: str) -> list[str]:
    text = line.rstrip("\r\n")
    if separator == "\t":
        return [cell.strip().strip('"') for cell in text.split(separator)]
    from csv import reader  # noqa: PLC0415 - few tables need it

    # Quotes protect a separator in a cell (RFC 4180, 2.6).
    return [cell.strip() for cell in next(reader([text], delimiter=separator, skipinitialspace=True), [])]


def _entry(url: str, md5: str, size: str | None = None) -> Entry:
    if not md5:
        return Unverified(NO_MD5)
    try:
        return HashRequest(url, expected_md5.read(md5), size=_size(size))
    except NotMd5 as exc:
        return Unverified(str(exc))


def _size(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() else None


def _gdc_line(cells: dict[str, str], base: str | None) -> Iterator[Entry]:
    file_id = cells.get("id", "")
    if not file_id:
        yield Unverified("this line has no id")
        return
    # The Data Transfer Tool stores each file in a folder named by its id.
    path = f"{file_id}/{cells.get('filename', '')}" if base else file_id
    yield _entry((base or GDC_FILES) + quote(path), cells.get("md5", ""), cells.get("size"))


def _ena_line(columns: Sequence[str], cells: dict[str, str]) -> Iterator[Entry]:
    for column in columns:
        kind = column.rpartition("_")[0]
        urls = _parts(cells.get(column, ""))
        md5s, sizes = _parts(cells.get(f"{kind}_md5", "")), _parts(cells.get(f"{kind}_bytes", ""))
        if len(sizes) != len(urls):
            sizes = [""] * len(urls)
        if not md5s:
            md5s = [""] * len(urls)
        if len(md5s) != len(urls):
            yield Unverified(f"{column} has {len(urls)} files, but {kind}_md5 has {len(md5s)} checksums")
            continue
        for url, md5, size in zip(urls, md5s, sizes, strict=True):
            yield _entry(_over_https(url), md5, size)


def _parts(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";")] if cell.strip("; ") else []


def _over_https(path: str) -> str:
    """ENA writes host and path without a scheme, or with ``ftp://``; the host serves the same paths over https."""
    if path.startswith("ftp://"):
        return f"https://{path.removeprefix('ftp://')}"
    return path if _URL.match(path) else f"https://{path}"


def _transfer_line(line: str) -> Iterator[Entry]:
    url, _, rest = line.strip().partition("\t")
    size, _, md5 = rest.partition("\t")
    yield _entry(url, md5.strip(), size.strip())


def _table_line(cells: dict[str, str], url: str, md5: str, size: str | None) -> Iterator[Entry]:
    yield _entry(cells.get(url, ""), cells.get(md5, ""), cells.get(size, "") if size else None)
