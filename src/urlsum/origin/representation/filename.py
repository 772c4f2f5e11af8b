"""Finds the name of a file: from Content-Disposition, else from the best segment of its URLs."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from urlsum.text.md5sum import decoded, name_of

# The limit of ext4, XFS, APFS and NTFS for one name, in bytes or (NTFS) in UTF-16 units.
MAX_NAME_BYTES = 255
# A name of 255 bytes in two spellings, each percent-encoded, needs no more.
MAX_DISPOSITION_CHARACTERS = 2048
# RFC 8187, 3.2.1 knows UTF-8 only; RFC 5987 before it had ISO-8859-1 as well.
CHARSETS = frozenset({"utf-8", "iso-8859-1"})
# Signed URLs name the Content-Disposition of their response: S3 and Google Cloud Storage the first, Azure the second.
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
# https://learn.microsoft.com/en-us/rest/api/storageservices/create-service-sas
DISPOSITION_PARAMETERS = ("response-content-disposition", "rscd")

# Segments by which an API names the bytes of any file: Zenodo serves reads.bam at .../reads.bam/content, SourceForge
# at .../reads.bam/download.
_GENERIC = re.compile(
    r"access|archives?|assets?|attachments?|binary|bitstreams?|blobs?|bytes|contents?|current|data|datafile|default|dl"
    r"|downloads?|export|fetch|files?|get|head|items?|latest|main|master|media|objects?|open|original|public|raw"
    r"|resources?|retrieve|revisions?|serve|share|source|stable|stream|uc|versions?|view"
    # Archives that a server makes on the fly.
    r"|7z|bz2|gz|t[gx]z|tar|tarball|xz|zip|zipball|zst",
    re.IGNORECASE,
)
# Extensions of programs that send files with other names.
_PROGRAMS = frozenset({"action", "ashx", "asp", "aspx", "cfm", "cgi", "dll", "do", "jsp", "jspx", "php"})
# Numbers, UUIDs and digests name a record, not a file.
_OPAQUE = re.compile(r"[0-9]+|[0-9A-Fa-f-]{16,}")
# The longest usual extension, safetensors, has 11 characters.
MAX_EXTENSION_CHARACTERS = 16
# The deepest API seen: .../reads.bam/versions/3/content.
GENERIC_SEGMENTS = 3
# Names that Windows reserves for devices, with any extension.
# https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
_DEVICE = re.compile(r"(?:con|prn|aux|nul|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])(?:\..*)?", re.IGNORECASE | re.DOTALL)
# A percent sign that begins no octet (RFC 3986, 2.1), and its stand-in while the email package decodes: a noncharacter,
# which no ext-value can contain.
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_STAND_IN = "\ufdd0"
# Encoded words of RFC 2047, which some servers send although RFC 6266 does not allow them.
_ENCODED_WORD = re.compile(r"=\?[^? ]+\?[BbQq]\?[^?]*\?=")

# How well a segment names a file.
NOTHING, OPAQUE, WORD, FILE = range(4)


def filename(disposition: str | None, final_url: str, submitted_url: str) -> str:
    """The name of a file whose response has this Content-Disposition; at most 255 bytes of UTF-8.

    A segment with an extension beats a word without one, and a word beats a number, a digest or a word such as
    ``download``; among equals the final URL wins. A redirect to storage ends at a digest as often as at the file's own
    name, so neither URL is always the better one.

    >>> filename(None, "https://host/8f14e45fceea167a5a36dedd4bea2543", "https://host/reads.bam?download=1")
    'reads.bam'
    """
    for text in (disposition, _signed_disposition(final_url), _signed_disposition(submitted_url)):
        if text and (name := of_disposition(text)):
            return name
    final = _best(final_url)
    submitted = final if submitted_url == final_url else _best(submitted_url)
    takes_final = final[0] > submitted[0] or (final[0] == submitted[0] and final[0] >= WORD)
    return _bounded((final if takes_final else submitted)[1])


def of_disposition(text: str) -> str | None:
    r"""The file's name in a Content-Disposition (RFC 6266), sanitised; None without a usable one.

    ``filename*`` beats ``filename`` (4.3), unless it is malformed (RFC 8187, 3.2.3). Of a path only the last component
    counts; backslashes separate as well.

    >>> of_disposition("attachment; filename=\"a.bam\"; filename*=UTF-8''%C3%A4.bam")
    'ä.bam'
    """
    if len(text) > MAX_DISPOSITION_CHARACTERS:
        return None
    from email.message import Message  # noqa: PLC0415 - 2 ms, which most responses do not need

    message = Message()
    message["Content-Disposition"] = _STRAY_PERCENT.sub(_STAND_IN, text)
    parameters = message.get_params(failobj=[], header="Content-Disposition")
    values: list[object] = [value for name, value in parameters if name == "filename"]
    extended = [name for value in values if isinstance(value, tuple) and (name := _extended(*value))]
    plain = [_plain(value) for value in values if isinstance(value, str)]
    return next((name for each in (*extended, *plain) if (name := sanitised(each))), None)


def sanitised(name: str) -> str | None:
    r"""``name`` without characters that a file system rejects or a terminal interprets; None if nothing remains.

    >>> sanitised("../etc/.pass\nwd"), sanitised("NUL.txt"), sanitised("..")
    ('pass_wd', '_NUL.txt', None)
    """
    last = re.split(r"[/\\]", name)[-1]
    # Windows drops dots and spaces at the end; at the start, dots would hide the file.
    shown = "".join(char if char.isprintable() else "_" for char in last).strip(". ")
    if not shown:
        return None
    return _bounded(f"_{shown}" if _DEVICE.fullmatch(shown) else shown)


def has_extension(name: str, extensions: frozenset[str] | None = None) -> bool:
    """Whether ``name`` ends in an extension with a letter, or in the number of a split file (``a.7z.001``).

    With ``extensions`` (lower case), whether its extension is one of these.
    """
    stem, _, extension = name.rpartition(".")
    if extensions is not None:
        return bool(stem) and extension.lower() in extensions
    if not stem.strip(".") or not (extension.isascii() and extension.isalnum()):
        return False
    if extension.isdigit():  # a DOI and a version end in numbers, too: 10.5281, v1.0
        return has_extension(stem) and not stem.rpartition(".")[2].isdigit()
    return len(extension) <= MAX_EXTENSION_CHARACTERS


def _best(url: str) -> tuple[int, str]:
    segments = [segment for segment in urlsplit(url).path.split("/") if segment not in ("", ".", "..")]
    if not segments:
        return NOTHING, name_of(url)
    last = decoded(segments[-1])
    rank = _rank(last)
    if rank == OPAQUE:
        for segment in segments[-2 : -2 - GENERIC_SEGMENTS : -1]:
            name = decoded(segment)
            if (name_rank := _rank(name)) != OPAQUE:
                return (FILE, name) if name_rank == FILE else (rank, last)
    return rank, last


def _rank(name: str) -> int:
    if has_extension(name):
        return OPAQUE if has_extension(name, _PROGRAMS) else FILE
    return OPAQUE if _GENERIC.fullmatch(name) or _OPAQUE.fullmatch(name) else WORD


def _signed_disposition(url: str) -> str | None:
    if "?" not in url:
        return None
    query = parse_qs(urlsplit(url).query)
    return next((query[name][0] for name in DISPOSITION_PARAMETERS if name in query), None)


def _extended(charset: str | None, _language: str | None, value: str) -> str | None:
    """An ext-value of RFC 8187; the email package returns its bytes as Latin-1, without stray percent signs."""
    if (charset or "").lower() not in CHARSETS:
        return None
    try:
        return value.encode("latin-1").decode(charset or "")
    except UnicodeError:
        return None


def _plain(value: str) -> str:
    text = value.replace(_STAND_IN, "%").strip('" \t')  # a quote without its partner
    if not _ENCODED_WORD.search(text):
        return text
    from email.errors import HeaderParseError  # noqa: PLC0415 - as above
    from email.header import decode_header, make_header  # noqa: PLC0415 - as above

    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return text


def _bounded(name: str) -> str:
    """Cut to at most 255 bytes of UTF-8, but keep an extension."""
    raw = name.encode("utf-8", "replace")
    if len(raw) <= MAX_NAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    end = f".{extension}" if dot and len(extension) <= MAX_EXTENSION_CHARACTERS else ""
    kept = (stem if end else name).encode("utf-8", "replace")[: MAX_NAME_BYTES - len(end.encode())]
    return kept.decode("utf-8", "ignore") + end
