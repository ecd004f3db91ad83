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
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
_LOADED = re.compile(r'<(?:script|img|iframe|source)\b[^>]*\bsrc="(?:https?:)?//[^"]*"|<link\b[^>]*\bhref="(?:https?:)?//[^"]*"')
_log = logging.getLogger("mkdocs.plugins.pages")  # whose warnings strict mode counts


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A fenced block of GitHub's kind is a formula on lines of its own."""
    return _BLOCK.sub(lambda found: f"$$\n{found[1]}$$", markdown)


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
