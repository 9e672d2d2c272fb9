"""Published figures to stand beside one's own: what they were measured with, and where they are from."""

import csv
from dataclasses import dataclass
from importlib.resources import files

TABLE = "published.csv"

NEIGHBOURS = {"sop": (1, 10, 100, 1000), "inshop": (1, 10, 20, 30), "inat2018": (1, 4, 16, 32)}
"""The k of the recall@k that is published for a data set (Oh Song et al. 2016, section 6; Liu et al. 2016; Brown et al.
2020)."""

USUAL_NEIGHBOURS = (1, 2, 4, 8)
"""The same for all other data sets (Oh Song et al. 2016, section 6)."""


@dataclass(frozen=True)
class Figure:
    """One figure, with what it depends on most.

    Attributes:
        data_set: as catalogs name it.
        protocol: ``zero-shot`` or ``closed-set``.
        photos: ``whole``, or ``box`` where the subject's box was cut out, which is easier.
        method: what the network was trained by; ``frozen`` for none.
        backbone: the pretrained network.
        pretraining: what that was trained on; a large unlabelled collection may hold the test photos.
        dimension: of the vectors.
        pixels: side of the network's input.
        recall_at_1: in [0, 1].
        map_at_r: in [0, 1]; None where it is not published.
        source: where the figure stands.
    """

    data_set: str
    protocol: str
    photos: str
    method: str
    backbone: str
    pretraining: str
    dimension: int
    pixels: int
    recall_at_1: float
    map_at_r: float | None
    source: str


def published(data_set: str, protocol: str, photos: str) -> list[Figure]:
    """The figures for a data set under a protocol, of whole photos or of their boxes. Others are never mixed in."""
    with files("index").joinpath(TABLE).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    asked = (data_set, protocol, photos)
    return [_figure(row) for row in rows if (row["data_set"], row["protocol"], row["photos"]) == asked]


def _figure(row: dict[str, str]) -> Figure:
    """A line of the table."""
    recall, precision = row.pop("recall@1"), row.pop("map@r")
    numbers = {name: int(row.pop(name)) for name in ("dimension", "pixels")}
    return Figure(
        **row,  # type: ignore[arg-type]
        **numbers,  # type: ignore[arg-type]
        recall_at_1=float(recall),
        map_at_r=float(precision) if precision else None,
    )
