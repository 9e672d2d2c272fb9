"""What an index's answers are worth, measured on its references: each is searched for among the others.

Hidden are its own photo and group, to see how known ones fare, or its whole class, to see how unknown ones do.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from eval.calibration import expected_threshold
from eval.contact_sheet import kept_photo
from eval.embeddings import CLASS_TRAINED_ON, TRAINED_ON
from eval.errors import InputError
from eval.groups import group_codes, independent
from eval.quality import sharpness
from index.calibration import COVERAGE, SURE, By, Calibration, scores_table, with_joined
from index.copies import joined_groups
from index.hidden import measured
from index.search import Index

Numbers = NDArray[np.int64]

MOST_PHOTOS, FEWEST_PHOTOS = 5000, 200
"""References that are drawn, in whole classes; with fewer there is no calibration."""

KNOWN_ACCEPTED = 0.9
"""The share of known photos that count as known where nobody asks for a rate of false accepts."""

MOST_OF_A_CLASS = 250
"""References that are drawn of one class, so that there are always many classes."""

MOST_PICTURES = 500
"""References whose sharpness is measured; it takes a second."""


class NothingToCalibrate(InputError):  # noqa: N818 (it is what is found of the references)
    """There are no references by which promises could be measured."""


def calibrate(
    index: Index,
    file: str,
    *,
    by: By = "neighbours",
    false_accepts: float | None = None,
    coverage: float = COVERAGE,
    sure: float = SURE,
    seed: int = 0,
) -> tuple[Calibration, pa.Table]:
    """Measure what an index's answers are worth.

    Args:
        index: what is calibrated.
        file: the name for the scores.
        by: who votes.
        false_accepts: the share of photos of other classes to take for known, in (0, 1), of which C classes can show no
            less than 1 / (C + 1). None for the least whole percentage at which ``KNOWN_ACCEPTED`` of the known pass.
        coverage: of label sets, in (0, 1).
        sure: the probability from which on a label or a genus is sure enough, from 0.5 to 1.
        seed: of the draw of classes, 0 or more.

    Returns:
        The calibration and its scores.

    Raises:
        InputError: a rate or the seed is out of its range.
        NothingToCalibrate: too few references were not trained on, or all are of one class or copies of each other.
    """
    _check_asked(false_accepts, coverage, sure, seed)
    names, codes = index.classes
    _check_several(names)
    rows, trained_on = _drawn(index, codes, seed)
    groups = group_codes(index.table, index.manifest.shared_ids)
    joined = joined_groups(index, rows, groups)
    groups = with_joined(groups, *joined)
    lone = _lone(index, rows, codes, groups)
    found = measured(index, by, rows, codes, groups, lone)
    known, others = found.known[~lone], np.isfinite(found.strangers)
    rate, threshold = _threshold(found.strangers[others], codes[rows[others]], known, false_accepts)
    calibration = Calibration(
        file=file,
        photos=len(rows),
        classes=len(np.unique(codes[rows])),
        lone=int(lone.sum()),
        classes_trained_on=trained_on,
        asked=false_accepts,
        false_accepts=rate,
        threshold=threshold,
        known_accepted=float((known > threshold).mean()),
        coverage=coverage,
        least_sharp=_least_sharp(index, rows, seed),
        scores=int((~lone).sum()) + len(joined[0]),
        references=index.count,
        by=by,
        sure=sure,
        copies=int(np.isin(groups[rows], joined[1]).sum()),
        **found.temperatures,
    )
    return calibration, scores_table(rows[~lone], found.right[~lone], groups[rows[~lone]], joined)


def _check_several(names: list[str]) -> None:
    """Refuse an index of one class or none."""
    if not names:
        raise NothingToCalibrate("the index holds no reference; add some")
    if len(names) == 1:
        raise NothingToCalibrate(f"all references are of one class, {names[0]}; add others")


def _check_asked(false_accepts: float | None, coverage: float, sure: float, seed: int) -> None:
    """Refuse rates that are none before anything is measured."""
    for name, rate in (("false_accepts", false_accepts), ("coverage", coverage)):
        if rate is not None and not 0 < rate < 1:
            raise InputError(f"{name} is {rate}; it must be above 0 and below 1, such as 0.05 for 5 %")
    if not 0.5 <= sure <= 1:
        raise InputError(f"sure is {sure}; it must be from 0.5 to 1, for two labels could both be sure otherwise")
    if seed < 0:
        raise InputError(f"seed is {seed}; it must be 0 or more")


def _threshold(
    strangers: NDArray[np.float64], codes: Numbers, known: NDArray[np.float64], asked: float | None
) -> tuple[float, float]:
    """The rate of false accepts, as ``calibrate`` takes it, and the threshold for it."""
    least = 1 / (len(np.unique(codes)) + 1)

    def at(rate: float) -> tuple[float, float]:
        return max(rate, least), expected_threshold(strangers, codes, max(rate, least))

    if asked is not None:
        return at(asked)
    low, high = 0, 99
    while high - low > 1:  # the higher the rate, the fewer known photos are refused
        middle = (low + high) // 2
        _, threshold = at(middle / 100)
        low, high = (low, middle) if (known > threshold).mean() >= KNOWN_ACCEPTED else (middle, high)
    return at(high / 100)


def _drawn(index: Index, codes: Numbers, seed: int) -> tuple[Numbers, bool | None]:
    """References to hide, in whole classes, and whether the embedder was trained on others of their classes.

    None where that is not known. Of a class that is larger than ``MOST_OF_A_CLASS`` there are so many.
    """
    trained_on, class_trained_on = (_column(index, name) for name in (TRAINED_ON, CLASS_TRAINED_ON))
    if (trained_on[index.kept] < 0).all():
        raise NothingToCalibrate(
            "which photos the embedder was trained on is not known; take a run folder, which lists them"
        )
    unseen = index.kept & (trained_on == 0)
    if unseen.sum() < FEWEST_PHOTOS:
        raise NothingToCalibrate(
            f"{unseen.sum()} references are photos that the embedder was not trained on; {FEWEST_PHOTOS} are the least"
            ", so add more that are new to it (index.add)"
        )
    new = unseen & (class_trained_on == 0)
    usable = new if new.sum() >= FEWEST_PHOTOS else unseen
    draw = np.random.default_rng(seed)
    of_class = _by_class(np.flatnonzero(usable), codes)
    chosen: list[Numbers] = []
    room = MOST_PHOTOS
    for one in draw.permutation(len(of_class)):
        photos = draw.permutation(of_class[one])[:MOST_OF_A_CLASS]
        if len(photos) <= room:
            chosen.append(photos)
            room -= len(photos)
        if room == 0:
            break
    rows = np.sort(np.concatenate(chosen))
    classes = class_trained_on[rows]
    return rows, True if (classes == 1).any() else None if (classes < 0).any() else False


def _by_class(rows: Numbers, codes: Numbers) -> list[Numbers]:
    """Rows by their class, the classes in the order of their codes."""
    order = rows[np.argsort(codes[rows], kind="stable")]
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)


def _column(index: Index, name: str) -> Numbers:
    """A column of yes, no and unknown: 1, 0 and -1 for each row."""
    if name not in index.table.column_names:
        return np.full(index.manifest.rows, -1)
    return np.asarray(index.table[name].cast(pa.int64()).fill_null(-1).to_numpy())


def _least_sharp(index: Index, rows: Numbers, seed: int) -> float | None:
    """The sharpness that all but 1 % of some references reach, by a sample of their thumbnails."""
    some = np.random.default_rng(seed).permutation(rows)[:MOST_PICTURES]
    pictures = (kept_photo(index.thumbnail(int(row))) for row in some)
    found = [sharpness(picture) for picture in pictures if not isinstance(picture, str)]
    return float(np.quantile(found, 0.01)) if found else None


def _lone(index: Index, rows: Numbers, codes: Numbers, groups: Numbers) -> NDArray[np.bool_]:
    """Which of some references have no other one of their class that is not of their group.

    Raises:
        NothingToCalibrate: all of them.
    """
    lone = np.asarray(independent(codes[index.kept], groups[index.kept])[codes[rows]] == 1)
    if lone.all():
        raise NothingToCalibrate(
            "no class has two references that are neither of one group nor copies of each other; add more photos"
        )
    return lone
