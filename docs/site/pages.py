"""What `make docs` does to the pages beyond Markdown: a hook of mkdocs.

Formulas become MathML, which browsers show by themselves: no script, and no font from elsewhere. A page that would load
something from the network is warned of, and a warning fails the build.
"""

from __future__ import annotations

import html
import logging
import re
from typing import Any

from latex2mathml.converter import convert

_BLOCK = re.compile(r"^```math\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
_PAGE = re.compile(r"`?docs/((?:guides|design|reference|start)/\w+)\.md`?")
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
_LOADED = re.compile(r'<(?:script|img|iframe|source|link)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*"')
_log = logging.getLogger("mkdocs.plugins.pages")  # whose warnings strict mode counts


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Formulas in GitHub's fences stand on lines of their own, and a page that is named by its path is linked to."""
    markdown = _BLOCK.sub(lambda found: f"$$\n{found[1]}$$", markdown)
    up = "../" * page.file.src_uri.count("/")
    parts = _FENCE.split(markdown)
    parts[::2] = [_PAGE.sub(rf"[\1]({up}\1.md)", part) for part in parts[::2]]
    return "".join(parts)


def on_page_content(content: str, **_: Any) -> str:
    return _FORMULA.sub(lambda found: mathml(found[3], display="block" if found[2] == "[" else "inline"), content)


def mathml(formula: str, display: str) -> str:
    """A formula of TeX as MathML; the text that it was stands in it for whoever copies."""
    shown: str = convert(html.unescape(formula).strip(), display=display)
    return shown


def on_post_page(output: str, page: Any, **_: Any) -> str:
    for found in _LOADED.findall(output):
        _log.warning("%s loads something from the network: %s", page.file.src_uri, found)
    return output
