"""``format=md5sum``: GET /check as one line of plain text, which ``md5sum -c`` reads once the task is done."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import Response

from urlsum.errors import InvalidRequest
from urlsum.text import md5sum

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from urlsum.web.task_models import Cancelled, Failed, TaskModel, Waiting

FORMAT = "md5sum"
# File systems allow 255 bytes. A byte may need three characters in the header, whose length is limited too.
NAME_CHARACTERS = 80
NOTES_HEADER = "Urlsum-Notes"

_UNSAFE = re.compile(r"[^A-Za-z0-9._+=@-]")


def wanted(request: Request) -> bool:
    """Whether the caller asks for plain text. Raises InvalidRequest for an unknown format."""
    formats = request.query_params.getlist("format")
    if formats not in ([], [FORMAT]):
        raise InvalidRequest("format", f"The only value of format is {FORMAT}. Leave format out to get JSON or a page.")
    return bool(formats)


def respond(model: TaskModel, request: Request, status: int, headers: Mapping[str, str]) -> Response:
    """One line: md5sum's for a digest, else a status that ``md5sum -c`` does not mistake for one.

    The codes of the notes are in a header, because ``md5sum -c`` warns about every other line.
    """
    all_headers = dict(headers)
    if model.status == "done":
        name = model.name
        if model.notes:
            all_headers[NOTES_HEADER] = ", ".join(note.code for note in model.notes)
        if request.query_params.get("download") == "yes":
            all_headers["Content-Disposition"] = attachment(f"{name[:NAME_CHARACTERS]}.md5")
        return Response(md5sum.line(model.md5, name), status, all_headers, media_type="text/plain")
    return Response(f"urlsum: {model.url}: {_words(model, headers)}\n", status, all_headers, media_type="text/plain")


def attachment(name: str) -> str:
    r"""The Content-Disposition with which a browser saves the response as ``name`` (RFC 6266, 4.3).

    >>> attachment("reads.bam.md5"), attachment("ä.md5")
    ('attachment; filename="reads.bam.md5"', 'attachment; filename="_.md5"; filename*=UTF-8\'\'%C3%A4.md5')
    """
    plain = _UNSAFE.sub("_", name)
    value = f'attachment; filename="{plain}"'
    return value if plain == name else f"{value}; filename*=UTF-8''{quote(name, safe='')}"


def _words(model: Waiting | Failed | Cancelled, headers: Mapping[str, str]) -> str:
    if model.status == "failed":
        return f"{model.error.code}: {model.error.message}"
    if model.status == "cancelled":
        return "cancelled: no MD5"
    done = "" if model.progress.percent is None else f", {model.progress.percent} % done"
    return f"{model.activity}{done}: check again in {headers['Retry-After']} s"
