"""What an index answers to a photo."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.vote import Candidate


@dataclass(frozen=True)
class Neighbour:
    """A reference that is near a query: the evidence.

    Attributes:
        rank: 1 for the nearest.
        id: of the reference's photo.
        label: its class.
        path: its photo, relative to the index's ``images_root``; None where it has none.
        similarity: cosine with the query, in [-1, 1].
        same_photo: whether it is the query's own photo, byte for byte. A reference that is a box of a photo is another
            subject (the box is part of its id), so it is never the same photo as a whole one.
        row: its place in the index, to find its thumbnail.
    """

    rank: int
    id: str
    label: str
    path: str | None
    similarity: float
    same_photo: bool
    row: int


@dataclass(frozen=True)
class Asked:
    """What an index is asked about one photo, or several of one subject.

    Attributes:
        unit: ``[D]``, the vector, or the direction of the mean of several.
        length: of that mean, at most 1.
        own_ids: name the photos, to know them among the references.
        k: neighbours to show.
    """

    unit: NDArray[np.float32]
    length: float
    own_ids: Collection[str | None]
    k: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer to one photo, with its evidence. What is not calibrated is None.

    Attributes:
        query: the photo's path; None where it came as bytes or as an image.
        known: whether the photo shows a class of the index, by the similarity of what is nearest.
        label: the class with the most votes, of those of ``taxon`` where that is a genus or higher; None where the
            photo is unknown.
        probability: that ``label``, or else the first of the candidates, is right, if the photo shows a class of the
            index.
        level: the deepest level at which a name is sure enough: ``label``, or ``genus``, ``family`` or ``order`` where
            the references have such columns; None where none is, or the photo is unknown.
        taxon: the name at that level.
        taxon_probability: the sum of the probabilities of its labels, if the photo shows a class of the index.
        candidates: classes that have a share of the vote, the largest share first.
        label_set: the labels that hold the right one with the stated coverage, if the photo shows a class of the index;
            may be empty.
        coverage: of the label set.
        quality: what is wrong with the photo itself, too small or too blurred to show a class; a sentence each. Not to
            be confused with a good photo of something unknown.
        neighbours: the nearest references, nearest first.
        generation: of the index.
        fingerprint: of the embedder.
        calibration_stale: whether so many references have changed since the index was calibrated that what is promised
            may no longer hold.
        rerank: how the neighbours were put into another order, with the reference set; None where they stand by
            similarity. All else is judged by similarity in any case.
    """

    query: str | None = None
    known: bool | None = None
    label: str | None = None
    probability: float | None = None
    level: str | None = None
    taxon: str | None = None
    taxon_probability: float | None = None
    candidates: list[Candidate] = field(default_factory=list)
    label_set: list[str] | None = None
    coverage: float | None = None
    quality: list[str] = field(default_factory=list)
    neighbours: list[Neighbour]
    generation: int
    fingerprint: str
    calibration_stale: bool | None
    rerank: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The answer as JSON values."""
        contents = asdict(self)
        for neighbour in contents["neighbours"]:
            del neighbour["row"]
        return contents
