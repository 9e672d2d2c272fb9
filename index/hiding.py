"""What an index's answers are worth, measured on its references: each is searched for among the others.

Hidden are its own photo and group, to see how known ones fare, or its whole class, to see how unknown ones do.
"""

import io
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from eval.calibration import expected_threshold, vote_temperature
from eval.embeddings import CLASS_TRAINED_ON, TRAINED_ON
from eval.errors import InputError
from eval.neighbours import nearest_in_blocks
from eval.quality import sharpness
from index.calibration import VOTERS, Calibration, group_codes, independent
from index.search import Index

MOST_PHOTOS, FEWEST_PHOTOS = 5000, 200
"""References that are drawn, in whole classes; with fewer there is no calibration."""

KNOWN_ACCEPTED = 0.9
"""The share of known photos that count as known where nobody asks for a rate of false accepts."""

MOST_OF_A_CLASS = 250
"""References that are drawn of one class, so that there are always many classes."""

MOST_PICTURES = 500
"""References whose sharpness is measured; it takes a second."""


@dataclass(frozen=True)
class _Hidden:
    """The references that were drawn, each searched for among the others.

    Attributes:
        rows: ``[Q]``.
        codes: ``[Q]``, their classes.
        similarities: ``[Q, VOTERS]`` of the nearest of another photo and group; -inf where there are fewer.
        labels: ``[Q, VOTERS]`` codes of these.
        strangers: ``[Q]``, the similarity of the nearest reference of another class and group; -inf for none.
    """

    rows: NDArray[np.int64]
    codes: NDArray[np.int64]
    similarities: NDArray[np.float64]
    labels: NDArray[np.int64]
    strangers: NDArray[np.float64]


def calibrate(
    index: Index, file: str, *, false_accepts: float | None = None, coverage: float = 0.9, seed: int = 0
) -> tuple[Calibration, pa.Table]:
    """Measure what an index's answers are worth.

    Args:
        index: what is calibrated.
        file: the name for the scores that label sets need.
        false_accepts: the share of photos of other classes that may be taken for known, in (0, 1). C classes can show
            no less than 1 / (C + 1), which is then the rate. None for the least whole percentage at which
            ``KNOWN_ACCEPTED`` of the known photos still count as known.
        coverage: of label sets, in (0, 1).
        seed: of the draw of classes.

    Returns:
        The calibration, and its scores.

    Raises:
        InputError: there is nothing to calibrate with: fewer than ``FEWEST_PHOTOS`` references that the embedder was
            not trained on, it is not known which those are, or all are of one class.
    """
    names, codes = np.unique(index.labels.astype(str), return_inverse=True)
    rows, trained_on = _drawn(index, codes, seed)
    groups = group_codes(index.table, index.manifest.shared_ids)
    hidden = _search(index, rows, codes, groups)
    relevant = hidden.labels == hidden.codes[:, None]
    lone = independent(codes[index.kept], groups[index.kept])[codes[rows]] == 1
    if lone.all():
        raise InputError("no class has references of two groups; add more photos of each")
    strangers = np.isfinite(hidden.strangers)
    if not strangers.any():
        raise InputError(f"all references are of one class, {names[codes[rows[0]]]}; add others")
    known = hidden.similarities[~lone, 0]
    rate, threshold = _threshold(hidden.strangers[strangers], hidden.codes[strangers], known, false_accepts)
    voters = np.where(np.isfinite(hidden.similarities), hidden.similarities, -1e3)
    temperature = vote_temperature(voters[~lone], relevant[~lone])
    weights = np.exp((voters - voters.max(axis=1, keepdims=True)) / temperature)
    right = ((weights * relevant).sum(axis=1) / weights.sum(axis=1))[~lone]
    calibration = Calibration(
        file=file,
        photos=len(rows),
        classes=len(np.unique(hidden.codes)),
        lone=int(lone.sum()),
        classes_trained_on=trained_on,
        asked=false_accepts,
        false_accepts=rate,
        threshold=threshold,
        known_accepted=float((known > threshold).mean()),
        temperature=temperature,
        coverage=coverage,
        least_sharp=_least_sharp(index, rows, seed),
        scores=int((~lone).sum()),
        references=int(index.kept.sum()),
    )
    return calibration, pa.table({"row": rows[~lone], "right": right, "group": groups[rows[~lone]]})


def _threshold(
    strangers: NDArray[np.float64], codes: NDArray[np.int64], known: NDArray[np.float64], asked: float | None
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


def _drawn(index: Index, codes: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], bool]:
    """References to hide, in whole classes, and whether the embedder was trained on others of their classes."""
    trained_on, class_trained_on = (_column(index, name) for name in (TRAINED_ON, CLASS_TRAINED_ON))
    if (trained_on[index.kept] < 0).all():
        raise InputError("which photos the embedder was trained on is not known; take a run folder, which lists them")
    unseen = index.kept & (trained_on == 0)
    if unseen.sum() < FEWEST_PHOTOS:
        raise InputError(
            f"{unseen.sum()} references are photos that the embedder was not trained on; {FEWEST_PHOTOS} are the least"
        )
    new = unseen & (class_trained_on == 0)
    usable = new if new.sum() >= FEWEST_PHOTOS else unseen
    draw = np.random.default_rng(seed)
    of_class = _by_class(np.flatnonzero(usable), codes)
    chosen: list[NDArray[np.int64]] = []
    room = MOST_PHOTOS
    for one in draw.permutation(len(of_class)):
        photos = draw.permutation(of_class[one])[:MOST_OF_A_CLASS]
        if len(photos) <= room:
            chosen.append(photos)
            room -= len(photos)
        if room == 0:
            break
    return np.sort(np.concatenate(chosen)), usable is not new


def _by_class(rows: NDArray[np.int64], codes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Rows by their class, the classes in the order of their codes."""
    order = rows[np.argsort(codes[rows], kind="stable")]
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)


def _column(index: Index, name: str) -> NDArray[np.int64]:
    """A column of yes, no and unknown: 1, 0 and -1 for each row."""
    if name not in index.table.column_names:
        return np.full(index.manifest.rows, -1)
    return np.asarray(index.table[name].cast(pa.int64()).fill_null(-1).to_numpy())


def _search(index: Index, rows: NDArray[np.int64], codes: NDArray[np.int64], groups: NDArray[np.int64]) -> _Hidden:
    """Search for each of some references among all of them, and leave its own photo and group out of what is found."""
    there = np.flatnonzero(index.kept)
    references = index.vectors(there)
    of_class, of_group = np.bincount(codes[there]), _sizes(groups, there)
    wanted = np.minimum(np.maximum(of_class[codes[rows]], VOTERS) + of_group[rows] + 1, len(there))
    similarities = np.full((len(rows), VOTERS), -np.inf)
    labels = np.full((len(rows), VOTERS), -1)
    strangers = np.full(len(rows), -np.inf)
    start = 0
    for found in nearest_in_blocks(index.vectors(rows), references, wanted):
        for query, places, values in zip(rows[start:], found.rows, found.similarities, strict=False):
            near = np.where(places >= 0, there[places], query)
            other = (groups[near] != groups[query]) & (near != query)
            near, cosines = near[other], values[other]
            few = min(VOTERS, len(near))
            similarities[start, :few], labels[start, :few] = cosines[:few], codes[near[:few]]
            stranger = np.flatnonzero(codes[near] != codes[query])
            if len(stranger):
                strangers[start] = cosines[stranger[0]]
            start += 1
    return _Hidden(rows, codes[rows], similarities, labels, strangers)


def _least_sharp(index: Index, rows: NDArray[np.int64], seed: int) -> float | None:
    """The sharpness that all but 1 % of some references reach, by a sample of their thumbnails."""
    some = np.random.default_rng(seed).permutation(rows)[:MOST_PICTURES]
    pictures = filter(None, (index.thumbnail(int(row)) for row in some))
    found = [sharpness(Image.open(io.BytesIO(picture))) for picture in pictures]
    return float(np.quantile(found, 0.01)) if found else None


def _sizes(groups: NDArray[np.int64], there: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each row, how many references its group has."""
    return np.bincount(groups[there], minlength=groups.max() + 1)[groups]
