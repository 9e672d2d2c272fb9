"""What was seen of some photos as one page that needs nothing else: tables, and the photos themselves."""

import io
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from html import escape
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from PIL import Image, ImageDraw

from embedder.data.catalog import Catalog
from embedder.data.checked import Checked
from embedder.data.findings import Entry, Finding
from embedder.data.photo_facts import THUMBNAIL
from embedder.prefetch import prefetched
from eval.cores import available_cores
from eval.errors import InputError, counted
from eval.files import make_folder, replacing
from eval.images import BadImage, open_image, thumbnail
from eval.report_page import policy, web

PAGE = "index.html"
MADE_BY = '<meta name="generator" content="fieldmark embedder.data.check">'

MOST_ENTRIES, MOST_PHOTOS = 60, 6
"""Findings of a kind that are shown with their photos, and photos of each."""

STYLE = """
h1 { overflow-wrap: anywhere; } table { border-collapse: collapse; }
td, th { padding: .15rem .75rem .15rem 0; text-align: right; } .card { overflow-x: auto; }
td:first-child, th:first-child, td.text { text-align: left; }
.entries { display: grid; column-gap: 1.25rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); }
.entry { border-top: 1px solid var(--line); padding: .6rem 0; } .entry > p { overflow-wrap: anywhere; }
.wide { grid-column: 1 / -1; }
.photos { display: flex; flex-wrap: wrap; gap: 10px; align-items: flex-start; }
figure { margin: .4rem 0 0; width: 160px; font-size: 12px; line-height: 1.35; overflow-wrap: anywhere; }
figcaption { color: var(--faint); }
figure img { display: block; max-width: 160px; max-height: 160px; border-radius: 6px; }
.sample img { height: 96px; width: auto; border-radius: 6px; } ul { padding-left: 1.2rem; overflow-wrap: anywhere; }
.none { display: grid; place-items: center; text-align: center; width: 160px;
  height: 90px; background: var(--sunken); border-radius: 6px; }
"""
"""What this page has besides ``eval/web/style.css``."""


def check_folder(folder: Path) -> None:
    """Refuse a folder whose page is somebody's own, or that cannot be written into; make it where there is none.

    Raises:
        InputError: it is a file, or has an ``index.html`` that this command has not made, or may not be written into.
    """
    page = folder / PAGE
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give a folder for the report")
    if page.exists() and MADE_BY not in page.read_text(encoding="utf-8", errors="replace")[:1000]:
        raise InputError(f"{page} exists and is no report of embedder.data.check; give another folder")
    try:
        make_folder(folder)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{folder} cannot be written into ({error.strerror}); give another folder") from None


def write_report(folder: Path, checked: Checked, shown: Mapping[str, Sequence[int]]) -> None:
    """Write the page, in the place of an earlier one.

    Args:
        folder: where to.
        checked: what was seen.
        shown: rows of each class that are shown, if they have a thumbnail.
    """
    with replacing(folder / PAGE) as beside, beside.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in _page(checked, shown))


def _page(checked: Checked, shown: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """The page, line by line."""
    title, style = escape(f"{checked.source}, looked over"), web("style.css") + STYLE
    yield f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{MADE_BY}'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy(style)}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>"
    yield f'<main class="page">\n<header class="masthead"><h1>{title}</h1></header>'
    yield from _overview(checked)
    for one in checked.findings:
        if one.entries:
            yield from _finding(checked, one)
    yield from _samples(checked, shown)
    yield "</main>\n</body>\n</html>"


def _overview(checked: Checked) -> Iterator[str]:
    """How many photos there are, and what was found of them."""
    catalog = checked.looked.catalog
    photos, classes = counted(len(catalog), "photo", "photos"), counted(len(catalog.classes), "class", "classes")
    yield '<section class="card stack">'
    yield f"<p>{photos} of {classes} in {escape(str(catalog.root))}; {escape(checked.protocol)}.</p>"
    yield "<table>\n<tr><th>side<th>photos<th>classes<th>smallest<th>median<th>largest</tr>"
    for one in checked.counts:
        sizes = [*one.classes.values()] or [0]
        numbers = (one.photos, len(one.classes), sizes[0], f"{np.median(sizes):.4g}", sizes[-1])
        yield f"<tr><td>{one.side}{''.join(f'<td>{number}' for number in numbers)}</tr>"
    yield '</table>\n</section>\n<section class="section">\n<h2>What was found</h2>\n<div class="card">\n<table>'
    for found in checked.findings:
        link = f'<a href="#{found.kind}">{found.title}</a>' if found.entries else found.title
        amount = (found.summary or str(len(found.entries))) if found.entries else "nothing"
        yield f'<tr><td>{link}<td class="text">{amount}</tr>'
    for name, why in checked.left.items():
        yield f'<tr class="faint"><td>{name[0].upper()}{name[1:]}<td class="text">not looked for: {escape(why)}</tr>'
    yield "</table>\n</div>\n</section>"


def _finding(checked: Checked, one: Finding) -> Iterator[str]:
    """All that was found of one kind, the first ones with their photos."""
    yield f'<section class="section" id="{one.kind}">\n<h2>{escape(one.headline)}</h2>'
    yield f'<p class="faint">{escape(one.note)}</p>'
    yield '<div class="entries">'
    for entry, pictures in _pictured(checked, one):
        wide = " wide" if len(pictures) > 2 else ""
        yield f'<div class="entry{wide}"><p>{_broken(entry.text)}</p>\n<div class="photos">'
        yield from (_figure(checked.looked.catalog, *picture) for picture in pictures)
        if len(entry.rows) > MOST_PHOTOS:
            yield f'<p class="faint">and {len(entry.rows) - MOST_PHOTOS} more</p>'
        yield "</div></div>"
    yield "</div>"
    if more := one.entries[MOST_ENTRIES:]:
        yield f'<details class="more"><summary>{len(more)} more</summary>\n<ul>'
        yield from (f"<li>{_broken(entry.text)}" for entry in more)
        yield "</ul></details>"
    yield "</section>"


def _pictured(checked: Checked, one: Finding) -> Iterator[tuple[Entry, list[tuple[int, bytes | str]]]]:
    """The first findings of a kind with their photos, opened ahead on all cores."""
    entries, most = one.entries[:MOST_ENTRIES], MOST_PHOTOS * (one.kind != "unreadable")
    rows = (row for entry in entries for row in entry.rows[:most])
    threads = available_cores()
    photo = partial(_marked if one.kind in {"boxes", "keypoints"} else _photo, checked.looked.catalog)
    photos = prefetched(lambda row: (row, photo(row)), rows, threads, ahead=4 * threads)
    for entry in entries:
        yield entry, list(islice(photos, min(len(entry.rows), most)))


def _photo(catalog: Catalog, row: int) -> bytes | str:
    """A thumbnail of what training sees of a photo, or why there is none."""
    try:
        return thumbnail(open_image(catalog.file(row), catalog.box(row), THUMBNAIL), THUMBNAIL)
    except BadImage as error:
        return error.reason


def _marked(catalog: Catalog, row: int) -> bytes | str:
    """A thumbnail of a whole photo with its box and its visible keypoints drawn in."""
    try:
        image = open_image(catalog.file(row))
    except BadImage as error:
        return error.reason
    wide = max(2, max(image.size) // 80)
    draw = ImageDraw.Draw(image)
    for name in {"box", "subject_box"} & {*catalog.table.column_names}:
        if box := catalog.table[name][row].as_py():
            draw.rectangle(box, outline="#d9542b", width=wide)
    for x, y, visible in _points(catalog, row):
        if visible:
            draw.ellipse((x - 2 * wide, y - 2 * wide, x + 2 * wide, y + 2 * wide), fill="#3f6fd1")
    return thumbnail(image, THUMBNAIL)


def _points(catalog: Catalog, row: int) -> list[list[float]]:
    """The keypoints of a photo."""
    return (catalog.table["keypoints"][row].as_py() or []) if "keypoints" in catalog.table.column_names else []


def _figure(catalog: Catalog, row: int, photo: bytes | str) -> str:
    """A photo with its label and its path."""
    label, path = catalog.labels[row], catalog.paths[row]
    shown = _img(photo, escape(path)) if isinstance(photo, bytes) else f'<span class="none">{escape(photo)}</span>'
    title = "" if label is None else f"<b>{_broken(label)}</b><br>"
    return f"<figure>{shown}<figcaption>{title}{_broken(path)}</figcaption></figure>"


def _broken(text: str) -> str:
    """Text that may be broken after the marks in paths and names."""
    return escape(text).replace("/", "/<wbr>").replace("_", "_<wbr>")


def _img(content: bytes, alternative: str) -> str:
    """A picture that is in the page itself."""
    width, height = Image.open(io.BytesIO(content)).size
    source = f"data:image/jpeg;base64,{b64encode(content).decode()}"
    return f'<img loading="lazy" width="{width}" height="{height}" alt="{alternative}" src="{source}">'


def _samples(checked: Checked, shown: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Photos of each class."""
    samples, catalog = checked.looked.facts.samples, checked.looked.catalog
    if not samples:
        return
    yield '<section class="section" id="samples">\n<h2>Photos of each class</h2>'
    if len(shown) < len(catalog.classes):
        yield f'<p class="faint">The first {len(shown)} of {len(catalog.classes)} classes.</p>'
    for name, rows in shown.items():
        yield f'<div class="entry"><p>{escape(name)}</p>\n<div class="photos sample">'
        yield from (_img(samples[row], escape(catalog.paths[row])) for row in rows if row in samples)
        yield "</div></div>"
    yield "</section>"
