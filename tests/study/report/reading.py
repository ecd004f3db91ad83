"""A page as its readers get it: tags that nest, visible text, tables by their headings."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

VOID = {"meta", "br", "link", "img", "hr", "input"}
BREAKING = {"p", "li", "td", "th", "h1", "h2", "h3", "dt", "dd", "div", "figcaption", "small", "tr", "br", "strong"}


class PageReader(HTMLParser):
    """Checks that tags nest, and collects what the tests ask about. Minus signs and spaces are plain in `words`."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in BREAKING:
            self.pieces.append("\n")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag in BREAKING:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not {"style", "head"} & set(self.open):
            self.pieces.append(data.replace("\n", " "))

    @property
    def lines(self) -> list[str]:
        """The text, a paragraph, cell or item a line."""
        text = "".join(self.pieces).replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")
        return [re.sub(r"\s+", " ", line).strip() for line in text.split("\n") if line.strip()]

    @property
    def words(self) -> str:
        return "\n".join(self.lines)

    def table(self, label: str) -> list[list[str]]:
        """The rows of the table of that name, header left out; a cell's lines are joined by " | "."""
        found = self._part(label, "tbody")
        if found is None:
            return []
        rows = re.findall(r"<tr[^>]*>(.*?)</tr>", found, re.DOTALL)
        return [[_text(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)] for row in rows]

    def columns(self, label: str) -> list[str]:
        """The headings of the table of that name, their lines joined likewise."""
        return [_text(cell) for cell in re.findall(r"<th[^>]*>(.*?)</th>", self._part(label, "thead") or "", re.DOTALL)]

    def _part(self, label: str, part: str) -> str | None:
        found = re.search(rf'aria-label="{label}">.*?<{part}>(.*?)</{part}>', self.html, re.DOTALL)
        return found[1] if found else None


def _text(html: str) -> str:
    bare = unescape(re.sub(r"<[^>]+>", "\n", html)).replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")
    return " | ".join(part.strip() for part in bare.split("\n") if part.strip())
