"""A digest and a file's name as a line for ``md5sum -c``."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

# GNU coreutils escapes these characters and begins such a line with a backslash. Since 9.0 it also escapes carriage
# returns, which older versions cannot read; no name here has any.
# https://www.gnu.org/software/coreutils/manual/html_node/md5sum-invocation.html
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n"})
# Parameters of a segment (RFC 3986, 3.3) follow a file's extension, or are the session of a server without cookies
# (Jakarta Servlet, 7.1.3: ";jsessionid=1234"). Any other semicolon may be part of the name.
_PARAMETERS = re.compile(
    r"(.+?\.[0-9A-Za-z]+(?=;[\w.-]+=)|.+?(?=;(?:[a-z]*sess(?:ion)?_?id|sid)=)).*", re.IGNORECASE | re.DOTALL
)


def name_of(url: str) -> str:
    r"""The name of the file at ``url``: the last segment of the path, decoded; without one, the host.

    >>> name_of("https://host/a%20b.bam?version=2"), name_of("https://host:8443/"), name_of("https://host/..%2Fpasswd")
    ('a b.bam', 'host', '..%2Fpasswd')
    """
    parts = urlsplit(url)
    segment = parts.path.rstrip("/").rpartition("/")[2]
    if segment in ("", ".", ".."):
        return parts.hostname or url
    return decoded(segment)


def decoded(segment: str) -> str:
    """A segment of a URL's path as a file's name: without parameters, percent-decoded, the last part of a path.

    Object stores encode the slashes of a key. The segment stays encoded if the decoded text is a path traversal
    (``..``), is not text, or would control a terminal. Only the line break passes, because md5sum can escape it.

    >>> decoded("dir%2Freads.bam"), decoded("reads.bam;jsessionid=1"), decoded("..%2Fpasswd")
    ('reads.bam', 'reads.bam', '..%2Fpasswd')
    """
    if ";" in segment and (match := _PARAMETERS.fullmatch(segment)) and match[1].strip("."):
        segment = match[1]
    try:
        parts = [part for part in unquote(segment, errors="strict").split("/") if part]
    except UnicodeDecodeError:
        return segment
    plain = parts and parts[-1].replace("\n", "").isprintable() and not {".", ".."} & set(parts)
    return parts[-1] if plain else segment


def line(md5: str, name: str) -> str:
    r"""``md5`` and ``name`` as md5sum prints them, including the final line break.

    A file called ``-`` becomes ``./-``, because md5sum reads standard input for the bare name.

    >>> line("d41d8cd98f00b204e9800998ecf8427e", "a b"), line("d41d8cd98f00b204e9800998ecf8427e", "a\nb")
    ('d41d8cd98f00b204e9800998ecf8427e  a b\n', '\\d41d8cd98f00b204e9800998ecf8427e  a\\nb\n')
    """
    name = "./-" if name == "-" else name
    written = name.translate(_ESCAPES)
    return f"{'' if written == name else chr(92)}{md5}  {written}\n"
