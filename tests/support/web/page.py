"""Sends requests as a browser does, and parses the pages."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

from tests.support.web.clients import FORM

if TYPE_CHECKING:
    from tests.support.web.clients import Answer, Client

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}
VOID = frozenset({"meta", "link", "input", "wbr"})


class Page(HTMLParser):
    """The elements of a page and its text; fails if the tags do not nest."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        self.feed(answer.body.decode())
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self._open):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def by_id(self, name: str) -> dict[str, str | None]:
        [element] = [attributes for _, attributes in self.elements if attributes.get("id") == name]
        return element

    def field(self, name: str) -> dict[str, str | None]:
        fields = [attributes for attributes in self.all("input") if attributes["name"] == name]
        # Another form of the page may send the same field unseen.
        [element] = [each for each in fields if each["type"] != "hidden"] or fields
        return element


def opened(client: Client, target: str, status: int = 200) -> Page:
    answer = client.request("GET", target, headers=BROWSER)
    assert answer.status == status, answer.body
    return Page(answer)


def sent(client: Client, body: bytes | str, content_type: str = FORM, **headers: str) -> Answer:
    return client.post(body, content_type, **BROWSER, **headers)
