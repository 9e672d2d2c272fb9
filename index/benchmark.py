"""The command ``python -m index.benchmark EMBEDDER NAME:ROOT``: a data set's own protocol, beside published figures."""

import sys
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path

from embedder.data.catalog import ROLE, Catalog, read_catalog
from embedder.data.splits import Part, Protocol
from embedder.embed import main as embed
from embedder.runtime import Embedder
from eval.bootstrap import Interval
from eval.command import run
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.evaluation import Evaluation, evaluate
from eval.leaks import Leaks, find_leaks
from eval.metrics import title
from eval.recall import roughness
from index.published import NEIGHBOURS, USUAL_NEIGHBOURS, Figure, published


@dataclass(frozen=True)
class Benchmark:
    """An embedder measured by a data set's own protocol.

    Attributes:
        row: the figure, as the published ones are written.
        intervals: the 95 % interval of each metric.
        leaks: what flatters it.
        left_out: queries that are in no mean.
        unreadable: photos that could not be read, and are in no number.
        published: the figures to stand beside it, of the same data set and protocol.
    """

    row: Figure
    intervals: dict[str, Interval]
    leaks: Leaks
    left_out: int
    unreadable: int
    published: list[Figure]


def main(
    embedder: Path,
    images: str,
    *,
    protocol: Protocol = "auto",
    out: Path = Path("benchmarks"),
    overwrite: bool = False,
    json: bool = False,
) -> Benchmark:
    """Embed a data set's test photos, evaluate them by its own published protocol, and print the row among others.

    Under the zero-shot protocol the test photos search each other, or the queries the gallery where a data set parts
    them; under the closed-set protocol they search the training photos. Figures are printed only beside those of the
    same data set and protocol, and of whole photos or of photos cut to their box, as these here are. Each has its
    backbone, dimension, pixels and pretraining beside it, which account for more of a figure than the method does.

    Args:
        embedder: a run folder or an embedder.onnx; one that was trained with --train.epochs 0 gives the row of the
            frozen backbone.
        images: NAME:ROOT of a known data set.
        protocol: which of a data set's protocols, where it has both; auto takes the zero-shot one.
        out: a folder for the vectors, which are made only once.
        overwrite: make them anew.
        json: print one JSON object instead of a table.

    Returns:
        What was measured.
    """
    model, catalog = Embedder.open(embedder), read_catalog(images)
    protocol = _protocol(catalog, images, protocol)
    name = f"{catalog.name}-{catalog.digest()[:8]}-{model.fingerprint[:8]}"
    photos = "box" if catalog.cut_out or any(catalog.boxes) else "whole"
    queries, *others = [
        _embedded(embedder, images, part, protocol, out / f"{name}-{protocol}-{part}", overwrite)
        for part in _parts(catalog, protocol)
    ]
    references = others[0] if others else None
    evaluation = evaluate(queries, references, NEIGHBOURS.get(catalog.name, USUAL_NEIGHBOURS))
    benchmark = Benchmark(
        row=_row(model, catalog.name, protocol, photos, evaluation),
        intervals=evaluation.intervals(),
        leaks=find_leaks(queries, references, evaluation.rows, evaluation.nearest),
        left_out=evaluation.left_out,
        unreadable=queries.unreadable + (references.unreadable if references else 0),
        published=published(catalog.name, protocol, photos),
    )
    for warning in _warnings(benchmark):
        print(f"warning: {warning}", file=sys.stderr)
    print(dumps(asdict(benchmark)) if json else _table(benchmark))
    return benchmark


def _protocol(catalog: Catalog, images: str, asked: Protocol) -> Protocol:
    """The protocol that a data set declares, or the one of both that is asked for.

    Raises:
        InputError: it declares none: it has neither classes that are apart nor a test split.
    """
    if asked != "closed-set" and catalog.class_split is not None:
        return "zero-shot"
    if asked == "zero-shot":
        raise InputError(f"{images} declares no classes for the zero-shot protocol; leave --protocol away")
    splits = catalog.table["split"].to_pylist() if "split" in catalog.table.column_names else []
    if not {"train", "test"} <= set(splits):
        raise InputError(
            f"{images} declares no protocol: it has no training and test photos; name a known data set, such as "
            "cars98:FOLDER, or mark the photos by train/CLASS/ and test/CLASS/"
        )
    return "closed-set"


def _parts(catalog: Catalog, protocol: Protocol) -> list[Part]:
    """Which photos search, and which are searched; the first ones search each other where they are alone."""
    if protocol == "closed-set":
        return ["test", "train"]
    return ["query", "gallery"] if ROLE in catalog.table.column_names else ["test"]


def _embedded(
    embedder: Path, images: str, part: Part, protocol: Protocol, folder: Path, overwrite: bool
) -> EmbeddingSet:
    """The vectors of a part of the photos."""
    with redirect_stdout(sys.stderr):  # where the other command would print its path
        return EmbeddingSet.load(
            embed(embedder, images, out=folder, split=part, protocol=protocol, overwrite=overwrite)
        )


def _row(model: Embedder, data_set: str, protocol: str, photos: str, evaluation: Evaluation) -> Figure:
    """What was measured, as a published figure is written."""
    means = evaluation.means()
    return Figure(
        data_set=data_set,
        protocol=protocol,
        photos=photos,
        method=model.summary.get("loss", "unknown") or "frozen",
        backbone=str(model.summary.get("backbone", "unknown")),
        pretraining=str(model.summary.get("pretraining", "unknown")),
        dimension=model.dimension,
        pixels=model.preprocessing.seen,
        recall_at_1=means["recall@1"],
        map_at_r=means["map@r"],
        source="this run",
    )


def _warnings(benchmark: Benchmark) -> list[str]:
    """What a reader of the row must know."""
    found = [*benchmark.leaks.warnings(), *roughness(benchmark.intervals)]
    if benchmark.unreadable:
        found.append(
            f"{benchmark.unreadable} photos could not be read, and are in no number: published figures have all"
        )
    seen, expected = benchmark.leaks.protocol, benchmark.row.protocol
    if seen not in ("unknown", expected) and benchmark.row.method != "frozen":
        found.append(f"the data set's protocol is {expected}, and by the classes trained on this is {seen}")
    return found


def _table(benchmark: Benchmark) -> str:
    """The row among the published ones, the best first."""
    row = benchmark.row
    columns = ("method", "backbone", "pretraining", "dimension", "pixels", "photos", "recall@1", "MAP@R", "source")
    figures = sorted([row, *benchmark.published], key=lambda figure: -figure.recall_at_1)
    lines = [_cells(figure) for figure in figures]
    widths = [max(len(line[column]) for line in (columns, *lines)) for column in range(len(columns))]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (columns, *lines)
    ]
    counts = f"{benchmark.leaks.queries} queries, {benchmark.left_out} left out, {benchmark.unreadable} unreadable"
    head = f"{row.data_set}, {row.protocol}: {counts}"
    found = [
        f"{title(name)} {interval.mean:.4f} [{interval.low:.4f}, {interval.high:.4f}], {interval.classes} classes"
        for name, interval in benchmark.intervals.items()
        if name.startswith("recall@")
    ]
    none = [] if benchmark.published else ["no published figures are known for these photos under this protocol"]
    return "\n".join([head, *found, "", *(line.rstrip() for line in table), *none])


def _cells(figure: Figure) -> tuple[str, ...]:
    """A figure as a line of the table."""
    precision = "" if figure.map_at_r is None else f"{figure.map_at_r:.3f}"
    sizes = (str(figure.dimension), str(figure.pixels))
    names = (figure.method, figure.backbone, figure.pretraining)
    return (*names, *sizes, figure.photos, f"{figure.recall_at_1:.3f}", precision, figure.source)


if __name__ == "__main__":
    run(main)
