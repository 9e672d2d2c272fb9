"""The figures of a report as PNG, for papers."""

import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.contact_sheet import Photo, Row, Tile, contact_sheet
from eval.lettering import TEXT, font_of, typeface_for

FIGURES = ("recall.png", "similarity.png", "open-set.png", "map.png")
EVIDENCE = ("worst.png", "best.png", "confusions.png")
FILES = (*FIGURES, *EVIDENCE)
"""The files that there may be: some evaluations have nothing to show in one."""

SHOWN = 5
"""Queries, or pairs of classes, of each file of evidence."""

DPI = 200
ACCENT, RIGHT, WRONG, INK, LINE = "#2c5aa0", "#0f7b5f", "#c4481c", "#1d2422", "#dddbd1"
"""The colours of ``eval/web/style.css`` on white."""

NAMED, NEAR = 45, 0.9
"""Names on the map, and the share of a class that its name stands above, as in ``eval/web/map.js``."""

LISTED, ABREAST = 24, 3
"""Classes in the legend of the map at most, where there are no more, and beside each other."""

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
        "map.png": lambda axes: _map(axes, places, np.asarray(said["points"]["codes"]), said["class_names"]),
    }
    made = []
    with rc_context(_LOOK), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name has what no typeface here has
        for name, onto in wanted.items():
            if onto is not None:
                side = (5.0, 5.0) if name == "map.png" else (4.2, 3.0)
                figure = Figure(figsize=side, layout="constrained")
                onto(figure.subplots())
                figure.savefig(folder / name, dpi=DPI, metadata={"Software": None})
                made.append(folder / name)
    return made


def draw_evidence(said: dict[str, Any], photos: Mapping[int, bytes], folder: Path) -> None:
    """Draw the worst and the best queries with what they found, and classes taken for each other, where there are any.

    Args:
        said: as for ``draw``.
        photos: the JPEG of each photo that can be had, by its number.
        folder: where the files go.
    """
    names, shown = said["class_names"], said["shown"]

    def label(number: int) -> str:
        code = shown[str(number)]["code"]
        return names[code] if code >= 0 else "no label"

    def photo(number: int) -> Photo:
        return Image.open(io.BytesIO(photos[number])) if number in photos else shown[str(number)]["name"]

    def tile(number: int, similarity: float, right: bool) -> Tile:
        return Tile(photo(number), label(number), similarity, "right" if right else "wrong")

    def found(one: dict[str, Any]) -> Row:
        near = [tile(*near) for near in one["near"]]
        return Row(photo(one["query"]), label(one["query"]), f"MAP@R {one['score']:.3f}", near)

    def mistaken(pair: dict[str, Any]) -> list[Row]:
        told = f"{pair['forth'] + pair['back']} of {pair['queries']} queries of both are taken for the other"
        return [
            Row(photo(query), label(query), told, [replace(tile(reference, similarity, False), ranked=False)])
            for query, reference, similarity in pair["mistakes"][:1]
        ]

    kinds = ([*map(found, said["worst"][:SHOWN])], [*map(found, said["best"][:SHOWN])])
    pairs = [row for pair in said["confusions"][:SHOWN] for row in mistaken(pair)]
    for name, rows in zip(EVIDENCE, (*kinds, pairs), strict=True):
        if rows:
            contact_sheet(rows, columns=len(rows[0].tiles)).save(folder / name)


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
        label = "threshold (estimate)" if between["estimated"] else "threshold of unknown"
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


def colours(count: int) -> NDArray[np.float64]:
    """Colours of classes ``[count, 3]``, in [0, 1]: those that ``Fieldmark.colours`` in ``eval/web/base.js`` has."""
    place = np.arange(count)
    hue = 0.45 + place * (2 * np.pi / max(count, 1) if count <= 8 else 2.399963)
    lightness = np.full(count, 0.6) if count <= 3 else 0.6 + 0.1 * (place % 3 - 1)
    chroma = 0.135 - 0.02 * (place // 3 % 2)
    a, b = chroma * np.cos(hue), chroma * np.sin(hue)
    to_cone = np.array([[0.3963377774, 0.2158037573], [-0.1055613458, -0.0638541728], [-0.0894841775, -1.291485548]])
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.707614701],
        ]
    )
    linear = np.clip((lightness[:, None] + np.stack([a, b], axis=1) @ to_cone.T) ** 3 @ to_rgb.T, 0, 1)
    value = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.floor(255 * value + 0.5) / 255)


def _map(axes: Any, places: NDArray[np.float32], codes: NDArray[np.int32], names: list[str]) -> None:
    """The map as on the page: coloured by class, each named above its points; few classes are in a legend, too."""
    from matplotlib.colors import to_rgb  # noqa: PLC0415 - only reports draw
    from matplotlib.font_manager import FontProperties  # noqa: PLC0415

    palette = np.concatenate([colours(len(names)), [to_rgb(LINE)]])  # the last for -1, no class
    size = float(np.clip(4000 / max(1, len(codes)), 0.4, 12))
    axes.scatter(*places.T, s=size, c=palette[codes], linewidths=0, alpha=0.85, rasterized=True)
    axes.set_aspect("equal", "datalim")
    axes.set_axis_off()
    found, counts = np.unique(codes[codes >= 0], return_counts=True)
    typeface = typeface_for("".join(names[code] for code in found))
    file = typeface and str(font_of(typeface, TEXT).path)  # which Pillow has found
    font = FontProperties(fname=file) if file else FontProperties()
    if len(found) <= LISTED:
        _list_classes(axes, [(names[code], palette[code]) for code in found], font)
    axes.figure.draw_without_rendering()  # lays it out: names are put where there is room
    largest = found[np.argsort(-counts, kind="stable")]
    _name_classes(axes, [(names[code], places[codes == code]) for code in largest], font)


def _list_classes(axes: Any, classes: list[tuple[str, NDArray[np.float64]]], font: Any) -> None:
    """The legend of the map, below it, in a figure that is as much higher."""
    from matplotlib.lines import Line2D  # noqa: PLC0415 - only reports draw

    dots = [Line2D([], [], marker="o", linestyle="", markersize=4, color=tuple(colour)) for _, colour in classes]
    wide, high = axes.figure.get_size_inches()
    axes.figure.set_size_inches(wide, high + 0.16 * -(-len(classes) // ABREAST))
    legend = axes.figure.legend(
        dots,
        [" "] * len(classes),
        loc="outside lower left",
        ncols=ABREAST,
        handletextpad=0.1,
        columnspacing=0.8,
        prop=font,
    )
    for text, (name, _) in zip(legend.get_texts(), classes, strict=True):
        text.set(text=_short(name, 24), parse_math=False, fontsize=6)


def _name_classes(axes: Any, classes: list[tuple[str, NDArray[np.float32]]], font: Any) -> None:
    """Names above their points, inside of the map, none over another one: the first ones have the room."""
    from matplotlib.patheffects import withStroke  # noqa: PLC0415 - only reports draw

    bounds = axes.get_window_extent()
    taken: list[Any] = []
    for name, points in classes:
        middle = np.median(points, axis=0)
        near = points[np.argsort(np.hypot(*(points - middle).T))[: int(np.ceil(NEAR * len(points)))]]
        text = axes.annotate(
            _short(name, 28), (middle[0], near[:, 1].max()), (0, 2.5), textcoords="offset points",
            ha="center", va="bottom", fontproperties=font, fontsize=6, color=INK, parse_math=False,
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
        )  # fmt: skip
        box = text.get_window_extent()
        aside = max(bounds.x0 - box.x0, 0) + min(bounds.x1 - box.x1, 0)
        box = box.translated(aside, 0)
        if len(taken) == NAMED or any(box.overlaps(other) for other in taken):
            text.remove()
            continue
        text.xyann = (aside * 72 / axes.figure.dpi, 2.5)
        taken.append(box)


def _short(name: str, most: int) -> str:
    """A name that has room."""
    return name if len(name) <= most else name[: most - 1] + "…"
