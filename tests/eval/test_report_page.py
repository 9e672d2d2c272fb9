import base64
import hashlib
import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from eval.report_page import SCRIPTS, WEB, as_script, encoded, packed, write_page

NASTY = "</script><!--<script>alert(1)</script>&amp;\u2028\u2029<img src=x onerror=alert(2)>"


@pytest.fixture
def page(tmp_path: Path) -> str:
    content = {"name": NASTY, NASTY: [1, None, "ü"]}
    return write_page(tmp_path / "page.html", NASTY, content, "report.js").read_text(encoding="utf-8")


def test_names_stay_text(page: str) -> None:
    assert page.count("<script") == page.count("</script>") == len(SCRIPTS) + 2
    assert "<img" not in page
    (content,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert json.loads(content) == {"name": NASTY, NASTY: [1, None, "ü"]}


def test_nothing_but_its_own_scripts_and_style_may_run(page: str) -> None:
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data: blob:"
    for rule, pattern in (("script-src", r"<script>(.*?)</script>"), ("style-src", r"<style>(.*?)</style>")):
        texts = re.findall(pattern, page, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        assert rules[rule].split() == [f"'sha256-{digest}'" for digest in digests] and digests


def test_it_loads_nothing(page: str) -> None:
    for address in re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"'\s)>]+)""", page):
        assert not address.startswith(("http", "//", "/")), address
    assert set(re.findall(r"https?://[^\s\"'`]+", page)) == {"http://www.w3.org/2000/svg"}


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        as_script({"value": float("nan")})


def test_arrays_are_little_endian() -> None:
    assert base64.b64decode(packed(np.array([1, -2], ">i4"))) == struct.pack("<2i", 1, -2)
    assert base64.b64decode(packed(np.array([[0.5, 2.0]], np.float32)[:, ::-1])) == struct.pack("<2f", 2.0, 0.5)
    assert encoded({3: b"abc"}) == {"3": "YWJj"}


def test_scripts_never_make_markup_of_text() -> None:
    for script in WEB.glob("*.js"):
        text = script.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text), (
            script
        )
        assert text.startswith('"use strict";\n/* '), f"{script} does not say what it gives"
        assert text.count("\n") <= 350
