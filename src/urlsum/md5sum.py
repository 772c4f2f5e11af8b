"""A digest and a file's name as a line of md5sum, fit for ``md5sum -c``."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

# What a line cannot hold as it is: GNU coreutils then begins it with a backslash. It escapes carriage returns as well
# since 9.0, which older versions do not read; no name here has any.
# https://www.gnu.org/software/coreutils/manual/html_node/md5sum-invocation.html
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n"})


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
    """A segment of a URL's path as a file's name, percent-decoded.

    The segment stays encoded where the decoded text would not name one file (a slash, ``..``), would not be text, or
    would control a terminal. Only the line break is let through, because md5sum has an escape for it.
    """
    try:
        name = unquote(segment, errors="strict")
    except UnicodeDecodeError:
        return segment
    plain = name.replace("\n", "").isprintable() and "/" not in name and name not in (".", "..")
    return name if plain else segment


def line(md5: str, name: str) -> str:
    r"""``md5`` and ``name`` as md5sum prints them, the line break at the end included.

    A file that is called ``-`` is named by its path, because md5sum takes the name alone for its standard input.

    >>> line("d41d8cd98f00b204e9800998ecf8427e", "a b"), line("d41d8cd98f00b204e9800998ecf8427e", "a\nb")
    ('d41d8cd98f00b204e9800998ecf8427e  a b\n', '\\d41d8cd98f00b204e9800998ecf8427e  a\\nb\n')
    """
    name = "./-" if name == "-" else name
    written = name.translate(_ESCAPES)
    return f"{'' if written == name else chr(92)}{md5}  {written}\n"
