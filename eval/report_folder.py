"""A report on disk: the page, and its figures for papers."""

import hashlib
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.embeddings import TABLE
from eval.figures import FILES as FIGURES
from eval.figures import draw, draw_evidence
from eval.files import MANIFEST, already_made, new_folder, write_json
from eval.folders import read_manifest
from eval.pictures import Pictures, sheets
from eval.projection import project
from eval.report import Measured, content, shown_photos
from eval.report_page import as_script, encoded, packed, sheets_content, write_page

KIND, PAGE = "report", "report.html"
FILES = {MANIFEST, PAGE, *FIGURES}
"""What a folder of a report holds."""

MOST = 24_000_000
"""Bytes of a page, about; what all else leaves of them is for the small photos of the map."""

SMALL_PHOTOS = 12_000_000
"""Bytes that these take at most; in base64 a third more."""

SIDE = 224
"""The longer side of a photo that is shown as evidence."""


@dataclass(frozen=True)
class Wanted:
    """A folder with a page that is to be made.

    Attributes:
        out: the folder.
        kind: of what.
        made_from: digests of what its inputs say of themselves and of their photos, and the options.
    """

    out: Path
    kind: str
    made_from: dict[str, Any]

    @classmethod
    def of(
        cls, out: Path, inputs: Sequence[Path], overwrite: bool, *, kind: str, files: Collection[str], **options: Any
    ) -> "Wanted | None":
        """What is to be made; none where it is there already.

        Args:
            out: the folder.
            inputs: embeddings or index folders.
            overwrite: make it anew even if it is there.
            kind: of what it is.
            files: what it will hold.
            options: what else it is made from.

        Raises:
            InputError: an input is no folder of vectors, or there is something else at ``out``.
        """
        for folder in inputs:
            read_manifest(folder, "embeddings", "index")
        made_from = {"inputs": [_digest(folder) for folder in inputs], **options}
        if already_made(out, kind, made_from, overwrite, names=files):
            print(f"{out} is made already", file=sys.stderr)
            return None
        return cls(out, kind, made_from)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Yield a folder to fill; it takes its place when the block ends without an error."""
        with new_folder(self.out) as folder:
            yield folder
            write_json(folder / MANIFEST, {"kind": self.kind, "made_from": self.made_from})
        print(f"written: {self.out}", file=sys.stderr)


def write_report(folder: Path, measured: Measured, folders: Sequence[Path]) -> None:
    """Write the page and its figures into a folder.

    Args:
        folder: where they go.
        measured: what they are about.
        folders: where its photos are known.
    """
    pictures = Pictures.of(folders, measured.sets)
    said = content(measured, folders[0].resolve().name)
    places = project(_vectors(measured), progress=True)
    page = {**said, "points": _packed(measured, said["points"], places)}
    large = pictures.jpegs(shown_photos(said), SIDE)
    page["pictures"] = encoded(large)
    room = min(SMALL_PHOTOS, (MOST - len(as_script(page).encode())) * 3 // 4)
    small = sheets(pictures, measured.mapped, room, progress=True)
    page |= {"sheets": sheets_content(small), "missing": small.missing, "asked": small.asked}
    write_page(folder / PAGE, f"{said['name']}: Fieldmark report", page, "report.js")
    draw(said, places, folder)
    draw_evidence(said, large, folder)


def _packed(measured: Measured, points: dict[str, Any], places: NDArray[np.float32]) -> dict[str, Any]:
    """The points of the map with their places, arrays in base64."""
    arrays = {name: points[name] for name in ("codes", "beside", "similarities")}
    arrays |= {"x": places[:, 0], "y": places[:, 1]}
    return {
        **points,
        **{name: packed(values) for name, values in arrays.items()},
        "columns": points["beside"].shape[1],
        "numbers": None if len(measured.mapped) == points["of"] else measured.mapped.tolist(),
    }


def _vectors(measured: Measured) -> Any:
    """The vectors of the photos on the map."""
    if len(measured.sets) == 1 and len(measured.mapped) == len(measured.queries):
        return measured.queries.vectors
    first = len(measured.queries)
    inside, after = measured.mapped[measured.mapped < first], measured.mapped[measured.mapped >= first] - first
    parts = [measured.queries.vectors[inside]]
    if measured.references is not None:
        parts.append(measured.references.vectors[after])
    return np.concatenate(parts)


def _digest(folder: Path) -> str:
    """SHA-256 over what a folder says of itself, and the table of its photos."""
    digest = hashlib.sha256((folder / MANIFEST).read_bytes())
    if (folder / TABLE).exists():
        digest.update((folder / TABLE).read_bytes())
    return digest.hexdigest()
