"""A digest and a file's name as a line of md5sum, fit for ``md5sum -c``."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

# What a line cannot hold as it is: GNU coreutils then begins it with a backslash. It escapes carriage returns as well
# since 9.0, which older versions do not read; no name here has any.
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

    Object stores encode the slashes of a key. The segment stays encoded where the decoded text climbs (``..``), is not
    text, or would control a terminal. Only the line break is let through, because md5sum has an escape for it.

    >>> decoded("dir%2Freads.bam"), decoded("reads.bam;jsessionid=1"), decoded("..%2Fpasswd")
    ('reads.bam', 'reads.bam', '..%2Fpasswd')
    """
    if ";" in segment and (found := _PARAMETERS.fullmatch(segment)) and found[1].strip("."):
        segment = found[1]
    try:
        parts = [part for part in unquote(segment, errors="strict").split("/") if part]
    except UnicodeDecodeError:
        return segment
    plain = parts and parts[-1].replace("\n", "").isprintable() and not {".", ".."} & set(parts)
    return parts[-1] if plain else segment


def line(md5: str, name: str) -> str:
    r"""``md5`` and ``name`` as md5sum prints them, the line break at the end included.

    A file that is called ``-`` is named by its path, because md5sum takes the name alone for its standard input.

    >>> line("d41d8cd98f00b204e9800998ecf8427e", "a b"), line("d41d8cd98f00b204e9800998ecf8427e", "a\nb")
    ('d41d8cd98f00b204e9800998ecf8427e  a b\n', '\\d41d8cd98f00b204e9800998ecf8427e  a\\nb\n')
    """
    name = "./-" if name == "-" else name
    written = name.translate(_ESCAPES)
    return f"{'' if written == name else chr(92)}{md5}  {written}\n"
