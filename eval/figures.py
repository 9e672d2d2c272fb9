"""The figures of a report as PNG, for papers."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.contact_sheet import Photo, Row, Tile, contact_sheet

FIGURES = ("recall.png", "similarity.png", "open-set.png", "map.png")
EVIDENCE = "worst.png"
FILES = (*FIGURES, EVIDENCE)
"""The files that there may be: some evaluations have nothing to show in one."""

SHOWN = 5
"""Queries of the evidence."""

DPI = 200
ACCENT, RIGHT, WRONG, INK = "#2c5aa0", "#0f7b5f", "#c4481c", "#1d2422"
"""The colours of ``eval/web/style.css`` on white."""

_LOOK: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8b918d",
    "axes.grid": True,
    "grid.color": "#e4e2da",
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def draw(said: dict[str, Any], places: NDArray[np.float32], folder: Path) -> list[Path]:
    """Draw what there is to draw.

    Args:
        said: the content of a report, as ``eval.report.content`` makes it.
        places: ``[N, 2]``, of the photos on the map.
        folder: where the files go.

    Returns:
        The files.
    """
    from matplotlib import rc_context  # noqa: PLC0415 - only reports draw
    from matplotlib.figure import Figure  # noqa: PLC0415

    between = said["separation"]
    wanted: dict[str, Callable[[Any], None] | None] = {
        "recall.png": (lambda axes: _recall(axes, said["recall"])) if len(said["recall"]) > 1 else None,
        "similarity.png": (lambda axes: _similarity(axes, between)) if between else None,
        "open-set.png": (lambda axes: _open_set(axes, between)) if between else None,
        "map.png": lambda axes: _map(axes, places, np.asarray(said["points"]["codes"])),
    }
    made = []
    with rc_context(_LOOK):
        for name, onto in wanted.items():
            if onto is not None:
                side = (5.0, 5.0) if name == "map.png" else (4.2, 3.0)
                figure = Figure(figsize=side, layout="constrained")
                onto(figure.subplots())
                figure.savefig(folder / name, dpi=DPI, metadata={"Software": None})
                made.append(folder / name)
    return made


def draw_evidence(said: dict[str, Any], photos: Mapping[int, bytes], folder: Path) -> None:
    """Draw the worst queries with what they found, where there are any.

    Args:
        said: as for ``draw``.
        photos: the JPEG of each photo that can be had, by its number.
        folder: where the file goes.
    """
    names, shown = said["class_names"], said["shown"]

    def label(number: int) -> str:
        code = shown[str(number)]["code"]
        return names[code] if code >= 0 else "no label"

    def photo(number: int) -> Photo:
        return Image.open(io.BytesIO(photos[number])) if number in photos else shown[str(number)]["name"]

    def tile(number: int, similarity: float, right: bool) -> Tile:
        return Tile(photo(number), label(number), similarity, "right" if right else "wrong")

    rows = [
        Row(
            photo(one["query"]), label(one["query"]), f"MAP@R {one['score']:.3f}", [tile(*near) for near in one["near"]]
        )
        for one in said["worst"][:SHOWN]
    ]
    if rows:
        contact_sheet(rows, columns=len(rows[0].tiles)).save(folder / EVIDENCE)


def _recall(axes: Any, recall: list[list[float]]) -> None:
    """recall@k with its intervals."""
    ks, means, lows, highs = zip(*recall, strict=True)
    axes.fill_between(ks, lows, highs, color=ACCENT, alpha=0.18, linewidth=0, label="95 % interval")
    axes.plot(ks, means, "o-", color=ACCENT, markersize=4)
    axes.set_xscale("log", base=2)
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.minorticks_off()
    axes.set_ylim(top=1.0)
    axes.set(xlabel="k nearest", ylabel="recall@k")
    axes.legend()


def _similarity(axes: Any, between: dict[str, Any]) -> None:
    """The histograms of similarity with the threshold."""
    kinds = (("same", "nearest of the own class", RIGHT, "-"), ("other", "nearest of another class", WRONG, "--"))
    for name, label, colour, dashes in kinds:
        axes.stairs(between[name], between["edges"], fill=True, color=colour, alpha=0.25)
        axes.stairs(between[name], between["edges"], color=colour, linestyle=dashes, label=label)
    if between["threshold"] is not None:
        label = "threshold of unknown" + between["estimated"] * " (estimate)"
        axes.axvline(between["threshold"], color=INK, linewidth=1, linestyle=":", label=label)
    axes.set(xlabel="similarity (cosine)", ylabel="share of queries")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=8)


def _open_set(axes: Any, between: dict[str, Any]) -> None:
    """Known against unknown photos accepted."""
    unknown, known = zip(*between["curve"], strict=True)
    axes.plot([0, 1], [0, 1], color="#b9beb9", linewidth=1, linestyle=":")
    axes.plot(unknown, known, color=ACCENT, label=f"AUROC {between['auroc']:.3f}")
    if between["threshold"] is not None:
        axes.plot(between["unknown_accepted"], between["known_accepted"], "o", color=INK, label="at the threshold")
    axes.set(xlabel="unknown accepted", ylabel="known accepted", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="lower right")


def _map(axes: Any, places: NDArray[np.float32], codes: NDArray[np.int32]) -> None:
    """The map, coloured by class: hues by the golden angle, so that neighbours in the alphabet differ."""
    from matplotlib.colors import hsv_to_rgb  # noqa: PLC0415

    hues = (codes * 0.381966) % 1
    colours = hsv_to_rgb(np.stack([hues, np.full(len(codes), 0.65), np.full(len(codes), 0.8)], axis=1))
    colours[codes < 0] = 0.8
    size = float(np.clip(4000 / max(1, len(codes)), 0.4, 12))
    axes.scatter(places[:, 0], places[:, 1], s=size, c=colours, linewidths=0, alpha=0.85, rasterized=True)
    axes.set_aspect("equal", "datalim")
    axes.set_axis_off()
