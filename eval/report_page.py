"""A page as one HTML file that opens from disk: content, photos, style and scripts in it, and nothing from outside."""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.pictures import COLUMNS, Sheets

WEB = Path(__file__).parent / "web"
SCRIPTS = ("base.js", "photos.js", "tables.js", "charts.js", "points.js", "map.js")

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<main class="page" id="content"></main>
<noscript>This page is drawn by the script in it; allow scripts to see it. It loads nothing from anywhere.</noscript>
<script type="application/json" id="data">{content}</script>
{scripts}
</body>
</html>
"""


def write_page(file: Path, title: str, content: dict[str, Any], script: str) -> Path:
    """Write a page.

    No name in the content can become markup, and no script runs but those of ``eval/web``: the policy names their
    digests.

    Args:
        file: the HTML file.
        title: what the browser calls it.
        content: JSON values, which the script finds in the element ``data``.
        script: the file in ``eval/web`` that draws the page, after all the others.
    """
    style = web("style.css")
    scripts = [web(name) for name in (*SCRIPTS, script)]
    page = _PAGE.format(
        policy=policy(style, scripts),
        title=html.escape(title),
        style=style,
        content=as_script(content),
        scripts="\n".join(f"<script>{text}</script>" for text in scripts),
    )
    file.write_text(page, encoding="utf-8")
    return file


def policy(style: str, scripts: Sequence[str] = ()) -> str:
    """The content security policy of a page that has this style, these scripts and its own photos, and nothing else."""
    digests = " ".join(map(_digest, scripts)) or "'none'"
    return (
        f"default-src 'none'; script-src {digests}; style-src {_digest(style)}; img-src data: blob:; base-uri 'none'; "
        "form-action 'none'"
    )


def as_script(content: Any) -> str:
    """JSON that may stand in a page: no character of it can end the element or begin another one."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def packed(values: NDArray[Any]) -> str:
    """The bytes of an array, little-endian, in base64; ``Fieldmark.typed`` takes them."""
    return base64.b64encode(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()).decode()


def encoded(pictures: dict[int, bytes]) -> dict[str, str]:
    """Photos by number, in base64."""
    return {str(number): base64.b64encode(picture).decode() for number, picture in pictures.items()}


def sheets_content(sheets: Sheets) -> dict[str, Any]:
    """Sheets of small photos as ``Fieldmark.Sheets`` takes them."""
    return {
        "pictures": [base64.b64encode(picture).decode() for picture in sheets.pictures],
        "kind": sheets.kind,
        "side": sheets.side,
        "columns": COLUMNS,
        "rows": COLUMNS,
        "places": packed(sheets.places),
        "asked": sheets.asked,
    }


def web(name: str) -> str:
    """A file of ``eval/web``."""
    return (WEB / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """How a content security policy names a script or a style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
