"""Is what an index says of unknown photos true? Classes that it has never seen, and photos that it does not hold.

    python -m bench.unknowns EMBEDDER birds100:ROOT [--draws 20]

The test classes of a data set, which the embedder was not trained on, are indexed. In each draw half of the classes are
left out, and half of the photos of the others; what is left is calibrated. Then all that was left out is asked. Photos
of the classes left out should be taken for known as often as promised (a class is drawn, then a photo of it), and the
label sets of the other ones should hold the right label as often as promised.
"""

import argparse
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np

from bench.answers import calibrated
from index import Index
from index.build import main as build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embedder", type=Path)
    parser.add_argument("images")
    parser.add_argument("--draws", type=int, default=20)
    options = parser.parse_args()
    print(
        "| false accepts: asked | stated | seen | known accepted: stated | seen | coverage: promised | seen | labels |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        with redirect_stdout(StringIO()):
            everything = build(options.embedder, options.images, out=Path(temporary) / "all.index", split="test")
        for rate, coverage in ((0.05, 0.9), (0.1, 0.8), (0.2, 0.95), (None, 0.9)):
            found = [one_draw(everything, seed, rate, coverage) for seed in range(options.draws)]
            stated, seen, known_stated, known_seen, held, labels = np.mean(found, axis=0)
            print(
                f"| {'default' if rate is None else f'{rate:.0%}'} | {stated:.1%} | {seen:.1%} | {known_stated:.1%} | "
                f"{known_seen:.1%} | {coverage:.0%} | {held:.1%} | {labels:.2f} |",
                flush=True,
            )


def one_draw(everything: Path, seed: int, rate: float | None, coverage: float) -> tuple[float, ...]:
    """False accepts, stated and seen; known photos accepted, stated and seen; coverage of label sets and their size."""
    whole = Index.open(everything)
    draw = np.random.default_rng(seed)
    classes = np.unique(whole.labels.astype(str))
    unknown = np.isin(whole.labels.astype(str), draw.permutation(classes)[: len(classes) // 2])
    asked = unknown | (draw.random(whole.count) < 0.5)
    index = calibrated(everything, asked, false_accepts=rate, coverage=coverage, seed=seed)
    assert index.calibration is not None
    rows = np.flatnonzero(asked)
    answers = [index.judge(vector) for vector in whole.vectors(rows)]
    known = np.array([answer.known for answer in answers])
    labels = whole.labels[rows]
    false_accepts = [known[labels == one].mean() for one in np.unique(labels[unknown[rows]].astype(str))]
    sets = [
        (label in (one.label_set or []), len(one.label_set or [])) for label, one in zip(labels, answers, strict=True)
    ]
    held, sizes = np.array(sets)[~unknown[rows]].mean(axis=0)
    accepted = float(known[~unknown[rows]].mean())
    stated, known_stated = index.calibration.false_accepts, index.calibration.known_accepted
    return stated, float(np.mean(false_accepts)), known_stated, accepted, held, sizes


if __name__ == "__main__":
    main()
