"""Why an index finds a photo and a reference alike: what each place of them adds to their similarity."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from embedder.closer import Region
from embedder.places import PlaceShares, Shares, fitted
from embedder.preprocess import Preprocessing
from embedder.runtime import Photo
from eval.errors import InputError
from eval.images import BadImage, Box, open_image, read_header
from index.answer import Answer, Neighbour
from index.references import box_of, reference_photo
from index.search import Index

SAME = 1e-5
"""How far from 1 the cosine of a reference's vector and of what its photo gives by now may be: other cores resize a
photo in other strips, which moves a few pixels by a grey level."""

DIGITS = 7
"""Of the shares, as JSON."""

SHOWN, WIDER = 3, 1000
"""References of an answer's label that explain it, and how many neighbours are looked at where it shows no rival."""

Seen = Literal["photo", "thumbnail", "none"]
"""What an explanation has seen of a reference."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """One of the two photos of an explanation.

    Attributes:
        image: the photo, or its part in a box, as far as it was decoded.
        square: left, top, right, bottom of what the network sees of it, as shares of its width and height.
        region: left, top and side of what the places divide, as shares of that square.
        shares: [h, w], what each place adds to the similarity; they add up to it.
        parts: [M, h, w], where in the region each part is; None of a network that knows none.
    """

    image: Image.Image = field(repr=False)
    square: tuple[float, float, float, float]
    region: Region
    shares: Values = field(repr=False)
    parts: NDArray[np.float32] | None = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """All but the photo as JSON values."""
        return {
            "height": self.shares.shape[0],
            "width": self.shares.shape[1],
            "shares": _listed(self.shares),
            "square": [*self.square],
            "region": [*self.region],
            "parts": _listed(self.parts),
        }


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What of a photo and of a reference makes them similar.

    Attributes:
        generation: of the index.
        row: of the reference in the index.
        id: of its photo.
        label: its class.
        similarity: the cosine of both, as in an answer.
        exact: whether the shares are what the similarity is made of; else they say about where it comes from.
        reference_seen: its photo, or only its thumbnail, of which the pairs are approximate; or none of it, so that
            ``reference`` and ``pairs`` are None.
        query: the photo.
        reference: the reference.
        pairs: [h, w, h', w'], what each place of the photo together with each place of the reference adds to the
            similarity; they add up to it, and their sums over either photo's places are the other one's shares.
        rival: the same for a reference that speaks against this one; None where none is asked for.
        difference: [h, w], what each place of the photo adds to this similarity rather than to the rival's.
    """

    generation: int
    row: int
    id: str
    label: str
    similarity: float
    exact: bool
    reference_seen: Seen
    query: Side
    reference: Side | None
    pairs: Values | None = field(repr=False)
    rival: "Explanation | None" = None
    difference: Values | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, Any]:
        """The explanation as JSON values."""
        return {
            **{name: getattr(self, name) for name in ("generation", "similarity", "exact", "reference_seen")},
            "query": self.query.to_json(),
            "reference": {"id": self.id, "label": self.label, **(self.reference.to_json() if self.reference else {})},
            "pairs": _listed(self.pairs),
            "rival": self.rival and self.rival.to_json(),
            "difference": _listed(self.difference),
        }


def explain(
    index: Index,
    photo: Photo,
    row: int,
    *,
    rival: int | None = None,
    box: Box | None = None,
    images_root: Path | None = None,
    most_pixels: int | None = None,
) -> Explanation:
    """Explain the similarity of a photo and of a reference.

    Args:
        index: what answers.
        photo: a file, the bytes of one, or an image that is open already.
        row: of the reference, as ``Neighbour.row`` gives it.
        rival: row of a reference that speaks against it.
        box: left, top, right, bottom of the subject in pixels of the upright photo; none for all of it.
        images_root: where the references' photos are by now; by default where the index says.
        most_pixels: of a reference's photo, which is not opened where it has more; any by default.

    Raises:
        BadImage: the photo, or its box, cannot be read.
        InputError: there is no such reference.
    """
    where: dict[str, Any] = {"images_root": images_root, "most_pixels": most_pixels}
    return explain_each(index, photo, [row], rival=rival, box=box, **where)[0]


def explain_each(
    index: Index,
    photo: Photo,
    rows: Sequence[int],
    *,
    rival: int | None = None,
    box: Box | None = None,
    images_root: Path | None = None,
    most_pixels: int | None = None,
) -> list[Explanation]:
    """Explain the similarities of a photo and of several references; see ``explain``."""
    wanted = [*rows, *([] if rival is None else [rival])]
    for row in wanted:
        if not (0 <= row < len(index.kept) and index.kept[row]):
            raise InputError(f"row {row} is no reference of {index.folder}; take one that an answer names")
    places, preprocessing = PlaceShares.open(index.embedder), index.embedder.preprocessing

    def seen(image: Image.Image, boxed: bool) -> _Photo:
        return _Photo(image, places.of(preprocessing(image, index.embedder.cores, boxed)))

    query = seen(open_image(photo, box, preprocessing.enough), box is not None)
    made = []
    for row in wanted:
        image, kind = _reference(index, row, images_root, most_pixels)
        reference = seen(image, box_of(index, row) is not None) if image else None
        made.append(_explained(index, row, query, reference, kind))
    if rival is None:
        return made
    *made, against = made
    return [replace(one, rival=against, difference=one.query.shares - against.query.shares) for one in made]


def answered(answer: Answer) -> str:
    """The label that an answer gives, or comes nearest to giving."""
    return answer.label or answer.candidates[0].label


def explain_answer(index: Index, photo: Photo, answer: Answer, box: Box | None = None) -> list[Explanation]:
    """Explain an answer by the nearest references of its label, and by the best rival, though the answer shows none."""
    rival, own = best_rival(answer), _of_its_label(answer)
    if not (rival and own):
        wider = index.query(photo, WIDER, box)
        rival, own = best_rival(wider), _of_its_label(wider)
    rows = [one.row for one in own[:SHOWN]]
    return explain_each(index, photo, rows, rival=rival.row if rival else None, box=box)


def _of_its_label(answer: Answer) -> list[Neighbour]:
    """The neighbours of the answered label; the photo itself explains nothing, unless it is all that there is."""
    own = [one for one in answer.neighbours if one.label == answered(answer)]
    return [one for one in own if not one.same_photo] or own


def best_rival(answer: Answer) -> Neighbour | None:
    """The nearest neighbour of another label than the answered one; None where all are of that."""
    others = [one for one in answer.neighbours if one.label != answered(answer) and not one.same_photo]
    return max(others, key=lambda one: one.similarity, default=None)


class _Photo(NamedTuple):
    """A photo, and what its places add to its vector."""

    image: Image.Image
    shares: Shares


def _reference(index: Index, row: int, root: Path | None, most: int | None) -> tuple[Image.Image | None, Seen]:
    """What there is to see of a reference."""
    with suppress(BadImage):
        if found := reference_photo(index, row, root):
            header = read_header(found[0])
            if most is None or header.width * header.height <= most:
                return open_image(*found, index.embedder.preprocessing.enough), "photo"
    thumbnail = index.thumbnail(row)
    return (open_image(thumbnail), "thumbnail") if thumbnail else (None, "none")


def _explained(index: Index, row: int, query: _Photo, reference: _Photo | None, seen: Seen) -> Explanation:
    """The explanation of one similarity."""
    vector, preprocessing = index.vectors(np.array([row]))[0].astype(np.float64), index.embedder.preprocessing
    exact, other, pairs = query.shares.exact, None, None
    if reference:
        shares = fitted(reference.shares.shares, vector)
        same = reference.shares.vector @ vector > 1 - SAME
        exact = exact and reference.shares.exact and seen == "photo" and bool(same)
        other = _side(reference, shares @ query.shares.vector, preprocessing)
        pairs = np.tensordot(query.shares.shares, shares, (2, 2))
    return Explanation(
        generation=index.generation,
        row=row,
        id=index.table["id"][row].as_py(),
        label=index.label(row),
        similarity=float(query.shares.vector @ vector),
        exact=exact,
        reference_seen=seen,
        query=_side(query, query.shares.shares @ vector, preprocessing),
        reference=other,
        pairs=pairs,
    )


def _side(photo: _Photo, shares: Values, preprocessing: Preprocessing) -> Side:
    """One photo of an explanation, of which each place adds its share."""
    width, height = photo.image.size
    left, top, right, bottom = preprocessing.square(width, height)
    square = (left / width, top / height, right / width, bottom / height)
    return Side(photo.image, square, photo.shares.region, shares, photo.shares.parts)


def _listed(values: NDArray[np.floating] | None) -> Any:
    """An array as lists; None where there is none."""
    return None if values is None else np.round(values.astype(np.float64), DIGITS).tolist()
