"""The command ``python -m index.calibrate NAME.index``: what may be promised about an index's answers."""

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from pyarrow import feather

from eval.command import run
from index.calibration import COVERAGE, SURE, By, Calibration
from index.commit import staging, writing
from index.hiding import NothingToCalibrate, calibrate
from index.journal import Change
from index.manifest import Manifest
from index.search import Index
from index.segment import check_vectors
from index.store import Store

Rate = float | Literal["auto"]

VOTES: dict[By, str] = {
    "neighbours": "",
    "prototypes": ", answering by prototypes",
    "both": ", answering by neighbours and prototypes",
}
"""Who votes, as it is told."""


def main(
    index: Path,
    *,
    by: By | None = None,
    false_accepts: Rate | None = None,
    coverage: float | None = None,
    sure: float | None = None,
    seed: int = 0,
) -> Calibration:
    """Measure on an index's references when a photo is unknown, how probable an answer is, and which labels to name.

    An index is calibrated when it is built; this does it anew, after changes or for other rates. What is not said is as
    the last time.

    Args:
        index: an index folder.
        by: who votes on a photo from now on: its nearest references (at first), the prototypes of classes (the mean of
            each class's references), or both.
        false_accepts: the expected share of photos of other classes like the index's that are taken for known; auto
            (at first) is the least at which nine of ten known photos still count as known, where there is such a rate.
        coverage: how often label sets are to hold the right label (at first 0.9); only 2 * coverage - 1 is guaranteed.
        sure: the probability from which on a label is sure enough (at first 0.9); below it the answer is the genus,
            family or order that is, where the references have such columns.
        seed: of the draw of up to 5,000 references, in whole classes of up to 250.

    Returns:
        What was measured.
    """
    Index.open(index)  # where there is none, nothing is made
    with staging(index) as new_files, writing(index) as writer:
        opened = Index.open(index)
        asked = _asked(opened, by, false_accepts, coverage, sure)
        after = calibrated(opened, new_files, writer.generation, *asked, seed)
        found = Calibration.of(after.calibration or {})
        rates = {name: getattr(found, name) for name in ("false_accepts", "coverage", "sure")}
        writer.commit(after, Change("calibrate", details={"answers_by": found.by, **rates}), new_files)
    print(f"{index}: {describe(found)}")
    return found


def _asked(
    index: Index,
    by: By | None = None,
    false_accepts: Rate | None = None,
    coverage: float | None = None,
    sure: float | None = None,
) -> tuple[By, float | None, float, float]:
    """What ``calibrate`` takes: what is None is as the last time."""
    last = _last_asked(index)
    if false_accepts is None:
        false_accepts = last["false_accepts"]
    return (
        by or last["by"],
        None if false_accepts == "auto" else false_accepts,
        last["coverage"] if coverage is None else coverage,
        last["sure"] if sure is None else sure,
    )


def _last_asked(index: Index) -> dict[str, Any]:
    """What the calibration was asked for, or the one before, or the build."""
    if last := index.calibration:
        return {"by": last.by, "false_accepts": last.asked, "coverage": last.coverage, "sure": last.sure}
    by = index.manifest.made_from.get("by", "neighbours")
    return {"by": by, "false_accepts": None, "coverage": COVERAGE, "sure": SURE, **index.manifest.asked}


def calibrated(
    index: Index,
    new_files: Path,
    generation: int,
    by: By = "neighbours",
    false_accepts: float | None = None,
    coverage: float = COVERAGE,
    sure: float = SURE,
    seed: int = 0,
) -> Manifest:
    """The generation in which an index is calibrated.

    Args:
        index: as it is or will be.
        new_files: where the scores go.
        generation: which names their file.
        by: as for ``calibrate``.
        false_accepts: likewise.
        coverage: likewise.
        sure: likewise.
        seed: likewise.

    Raises:
        InputError: the index is damaged, or (``NothingToCalibrate``) there is nothing to calibrate with.
    """
    check_vectors(index.manifest, index.folder)
    file = f"calibration-{generation:06}.feather"
    found, scores = calibrate(index, file, by=by, false_accepts=false_accepts, coverage=coverage, sure=sure, seed=seed)
    feather.write_feather(scores, new_files / file, compression="uncompressed")
    return replace(index.manifest, calibration=asdict(found), asked={}, changes=0)


def calibrated_if_possible(after: Manifest, folder: Path, new_files: Path, generation: int) -> Manifest:
    """A generation that is to be committed, calibrated as the last time; standard error is told.

    Args:
        after: the generation; where there is nothing to calibrate with, it is left uncalibrated.
        folder: the index folder.
        new_files: where its new files are.
        generation: its number.
    """
    index = Index(Store.of(after, folder, new_files))
    try:
        found = calibrated(index, new_files, generation, *_asked(index))
    except NothingToCalibrate as error:
        print(f"uncalibrated: {error}", file=sys.stderr)
        return replace(after, calibration=None, asked=_last_asked(index))
    print(describe(Calibration.of(found.calibration or {})), file=sys.stderr)
    return found


def say_unmeasured(folder: Path) -> None:
    """Tell on standard error that where nothing has changed, nothing was measured anew."""
    print(f"nothing has changed, so nothing is measured anew; python -m index.calibrate {folder} does", file=sys.stderr)


def describe(calibration: Calibration) -> str:
    """What a calibration promises, in a sentence."""
    of = f"{calibration.photos} photos of {calibration.classes} classes{VOTES[calibration.by]}"
    if calibration.copies:
        of += f" ({calibration.copies} have near copies, which were left out with them)"
    asked = calibration.asked
    few = f" ({asked:.1%} would take more classes)" if asked is not None and asked < calibration.false_accepts else ""
    known = (
        f"of photos of other classes like these {calibration.false_accepts:.1%} are expected to be taken for known"
        f"{few}, and {calibration.known_accepted:.1%} of known ones are"
    )
    if calibration.classes_trained_on is not False:
        was = "was" if calibration.classes_trained_on else "may have been"
        known += f"; the embedder {was} trained on these classes, and takes others for known more often"
    least = max(0.0, 2 * calibration.coverage - 1)
    sets = f"label sets hold the right label of {calibration.coverage:.0%} of known photos or so, {least:.0%} at least"
    if calibration.lone:
        sets += "; nothing of this is about known photos of classes of one reference"
        sets += f", which {calibration.lone} of these are"
    return f"calibrated on {of}: {known}; {sets}"


if __name__ == "__main__":
    run(main)
