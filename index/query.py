"""The command ``python -m index.query NAME.index PHOTO...``: which class is this, and why."""

import io
import os
import sys
from collections.abc import Iterator
from json import dumps
from math import ceil
from pathlib import Path
from typing import Any

from PIL import Image

from embedder.data.catalog import has_area
from embedder.data.folder import photos_below
from eval.command import run
from eval.contact_sheet import Row, Tile, contact_sheet, kept_photo
from eval.errors import InputError, first_few
from eval.files import replacing
from eval.images import BadImage, Box, open_image, thumbnail
from eval.rerank import METHODS, Method, Rerank, in_words
from eval.stages import profiled, stage
from index.answer import Answer, Neighbour
from index.calibrate import describe
from index.explain import explain_answer
from index.explained import Card, draw
from index.reranking import RerankedIndex
from index.search import Index
from index.taxonomy import LABEL, name_at

WIDEST = 6
"""References beside each other in a picture."""

MOST_PHOTOS, MOST_REFERENCES = 50, 30
"""Photos in a picture, and references of each: more can be neither seen nor held in memory."""

MOST_EXPLAINED = 12
"""Photos that are explained."""

LEAST = 0.005
"""The least share of the vote that people are told of: it would be 0 %."""

PICTURES = {".png": ("PNG", 100_000), ".jpg": ("JPEG", 65_500), ".jpeg": ("JPEG", 65_500), ".webp": ("WEBP", 16_383)}
"""The formats of pictures, with the greatest side in pixels."""


def main(
    index: Path,
    *photos: Path,
    k: int = 10,
    together: bool = False,
    rerank: Method = "none",
    json: bool = False,
    picture: Path | None = None,
    explain: Path | None = None,
    box: tuple[float, float, float, float] | None = None,
    profile: bool = False,
) -> list[Answer | BadImage]:
    """Answer photos with the class of the nearest references, and show these.

    A photo that cannot be read is reported and the others are answered; the exit status is 2 only where none could be.

    Args:
        index: an index folder.
        photos: photos, or folders of photos.
        k: references to look at for each photo.
        together: the photos show one subject: answer them as one query, by their mean similarities.
        rerank: show the references in another order, by what they say of each other; the answer stays as it is.
            alpha-qe searches again with the photo's vector moved towards its nearest references, k-reciprocal prefers
            those that share their surroundings with the photo.
        json: print a list with one object a photo.
        picture: where to draw each photo beside its nearest references (.png, .jpg or .webp).
        explain: where to draw why: what in each photo and in its nearest references makes them similar, and what
            speaks for another label (.png, .jpg or .webp).
        box: left, top, right, bottom of the subject in a single photo, in pixels, such as '[10,20,200,180]'.
        profile: print where the time went.

    Returns:
        An answer for each photo, or why there is none.
    """
    queries = list(_expanded(photos))
    for drawing in filter(None, (picture, explain)):
        _check_picture(drawing, queries)
    if picture and explain and os.path.realpath(picture) == os.path.realpath(explain):
        raise InputError(f"--picture and --explain are both {picture}; give two names")
    _check(queries, k, together=together, explain=explain)
    _check_box(box, queries)
    with profiled(profile):
        subjects = [_readable(queries)] if together else [[photo] for photo in queries]
        answers = _answered(index, subjects, k, METHODS[rerank], json, picture, explain, box)
    if all(isinstance(result, BadImage) for result in answers):
        raise InputError(f"none of the photos could be answered ({len(answers)}); see what is wrong with each above")
    return answers


def _answered(
    index: Path,
    subjects: list[list[Path]],
    k: int,
    by: Rerank | None,
    json: bool,
    picture: Path | None,
    explain: Path | None,
    box: Box | None,
) -> list[Answer | BadImage]:
    """Answer subjects, each of one photo or several, and print and draw what is wanted."""
    with stage("open the index"):
        opened = RerankedIndex.open(index, by) if by else Index.open(index)
    if json:
        if stale := _stale(opened):
            print(stale, file=sys.stderr)
    else:
        print(_heading(opened))
        if by:
            print(f"{in_words(by)}; answers are by similarity")
    answers: list[Answer | BadImage] = []
    for subject in subjects:
        result = opened.query_together(subject, k) if len(subject) > 1 else _answer(opened, subject[0], k, box)
        answers.append(result)
        if isinstance(result, BadImage):
            print(f"left out: {result}", file=sys.stderr)
        elif not json:
            print(f"\n{_text(result)}")
    results = list(zip(subjects, answers, strict=True))
    if json:
        print(dumps([_to_json(subject[0], result) for subject, result in results], indent=2))
    if picture:
        with stage("draw"):
            _draw(opened, results, picture, box)
    if explain:
        with stage("explain"):
            _explain(opened, results, explain, box)
    return answers


def _check(queries: list[Path], k: int, *, together: bool, explain: Path | None) -> None:
    """Refuse what cannot be done before any of it is."""
    if not queries:
        raise InputError("there are no photos to answer; give one at least")
    if k < 1:
        raise InputError(f"k is {k}; it must be at least 1")
    if together and explain:
        raise InputError("explain is of each photo by itself; leave out --together, or --explain")


def _check_picture(picture: Path, queries: list[Path]) -> None:
    """Refuse what no picture can be written to."""
    if picture.suffix.lower() not in PICTURES:
        raise InputError(f"{picture} is no name for a picture; it must end in {', '.join(PICTURES)}")
    if picture.is_dir():
        raise InputError(f"{picture} is a folder; give the picture another name")
    if os.path.realpath(picture) in map(os.path.realpath, queries):
        raise InputError(f"{picture} is one of the photos to answer; give the picture another name")


def _check_box(box: Box | None, queries: list[Path]) -> None:
    """Refuse a box that is none, or of which photo nobody knows."""
    if box and len(queries) > 1:
        raise InputError(f"box is of one photo, and {len(queries)} are given; ask them one by one")
    if box and not has_area(box):
        raise InputError(
            f"box is {', '.join(f'{one:g}' for one in box)}; it must be left, top, right, bottom in pixels, with "
            "left < right and top < bottom"
        )


def _expanded(photos: tuple[Path, ...]) -> Iterator[Path]:
    """The photos, with every folder replaced by the photos below it; an empty one stays, to be told."""
    for photo in photos:
        below = sorted(photos_below(photo)) if photo.is_dir() else []
        yield from [photo.joinpath(*parts) for parts in below] or [photo]


def _answer(index: Index, photo: Path, k: int, box: Box | None) -> Answer | BadImage:
    """The answer to a photo, or why there is none."""
    if photo.is_dir():
        return BadImage(photo, "holds no photos")
    try:
        return index.query(photo, k, box)
    except BadImage as error:
        return error


def _readable(photos: list[Path]) -> list[Path]:
    """Those of some photos of a subject that can be read, the others being told; the first where none can."""
    readable, problems = [], []
    for photo in photos:
        try:
            open_image(photo)
            readable.append(photo)
        except BadImage as error:
            problems.append(error)
    if not readable:
        return photos[:1]
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
    return readable


def _to_json(photo: Path, result: Answer | BadImage) -> dict[str, Any]:
    """What ``--json`` prints for one photo."""
    return {"query": str(photo), "error": result.reason} if isinstance(result, BadImage) else result.to_json()


def _heading(index: Index) -> str:
    """What is said once, about all answers."""
    head = f"{index.folder}: {index.count} references, generation {index.generation}"
    if index.calibration is None:
        return f"{head}, uncalibrated: shares of the vote are not probabilities, and no photo is called unknown"
    return "\n".join(filter(None, (f"{head}, {describe(index.calibration)}", _stale(index))))


def _stale(index: Index) -> str:
    """That a calibration says less than it did; nothing where it does not."""
    if index.calibration is None or not index.calibration.is_stale(index.manifest):
        return ""
    changed = index.calibration.changed(index.manifest)
    return f"stale: {changed:.0%} of the references have changed since it was calibrated; run index.calibrate"


def _text(answer: Answer) -> str:
    """An answer for people."""
    lines = [str(answer.query), f"  {_named(answer)}"]
    if answer.label_set is not None and answer.known:
        named = first_few(answer.label_set, most=10) or "none; it fits no label as well as most references fit theirs"
        lines.append(f"  {answer.coverage:.0%} label set: {named}")
    lines += [f"  {remark}" for remark in answer.quality]
    width = max(len(neighbour.label) for neighbour in answer.neighbours)
    alone = all(neighbour.same_photo for neighbour in answer.neighbours)
    lines += [_line(neighbour, width, alone) for neighbour in answer.neighbours]
    return "\n".join(lines)


def _named(answer: Answer) -> str:
    """What the photo shows, as far as that is sure, and what else it may be."""
    first = answer.candidates[0]
    shares = [f"{one.label} {one.share:.0%}" for one in answer.candidates[:4] if one is first or one.share >= LEAST]
    if answer.taxon and answer.level != LABEL:
        return f"{answer.level} {answer.taxon}, {answer.taxon_probability:.0%} (in doubt: {', '.join(shares)})"
    share = f"{first.share:.0%}" if answer.known else f"{first.share:.0%} of the vote"
    named = f"{first.label if answer.label else f'unknown; most like {first.label}'}, {share}"
    return f"{named} (then {', '.join(shares[1:])})" if shares[1:] else named


def _line(neighbour: Neighbour, width: int, alone: bool) -> str:
    """One reference for people: rank, similarity, label, path; where there are no others, the photo itself votes."""
    remark = f"  (the same photo{'' if alone else ': no vote'})" if neighbour.same_photo else ""
    name = neighbour.path or neighbour.id
    return f"  {neighbour.rank:3}  {neighbour.similarity:6.3f}  {neighbour.label:{width}}  {name}{remark}"


def _draw(index: Index, results: list[tuple[list[Path], Answer | BadImage]], picture: Path, box: Box | None) -> None:
    """Write the contact sheet; the references come from the index, so that their photos need not be there."""
    rows = [_row(index, subject, result, box) for subject, result in results[:MOST_PHOTOS]]
    shown = max(1, *(len(row.tiles) for row in rows))
    _save(contact_sheet(rows, columns=ceil(shown / ceil(shown / WIDEST))), picture)
    if len(results) > MOST_PHOTOS:
        print(f"left out of the picture: {len(results) - MOST_PHOTOS} of {len(results)} photos", file=sys.stderr)
    references = max((len(result.neighbours) for _, result in results if isinstance(result, Answer)), default=0)
    if references > MOST_REFERENCES:
        print(f"left out of the picture: all but {MOST_REFERENCES} references of each photo", file=sys.stderr)


def _save(sheet: Image.Image, picture: Path) -> None:
    """Write a picture, as large as its format takes."""
    name, side = PICTURES[picture.suffix.lower()]
    sheet.thumbnail((side, side))
    with replacing(picture) as beside:
        sheet.save(beside, name)
    print(f"drawn: {picture}", file=sys.stderr)


def _explain(index: Index, results: list[tuple[list[Path], Answer | BadImage]], picture: Path, box: Box | None) -> None:
    """Write what makes photos and their nearest references similar."""
    cards: list[Card] = []
    answered = [(subject[0], result) for subject, result in results if isinstance(result, Answer)]
    for photo, answer in answered[:MOST_EXPLAINED]:
        row = _row(index, [photo], answer, box)
        cards.append(Card(row.title, row.subtitle, explain_answer(index, photo, answer, box)))
    if cards:
        _save(draw(cards), picture)
    if len(answered) > len(cards):
        print(f"left out of the explanations: {len(answered) - len(cards)} of {len(answered)} photos", file=sys.stderr)


def _row(index: Index, photos: list[Path], result: Answer | BadImage, box: Box | None) -> Row:
    """The first photo of a subject with its nearest references, those of the answer framed."""
    if isinstance(result, BadImage):
        return Row(result.reason, "no answer", photos[0].name, [])
    level = result.level or LABEL
    answer = result.taxon or result.candidates[0].label
    voters = [one for one in result.neighbours if not one.same_photo] or result.neighbours
    tiles = [
        Tile(
            image=kept_photo(index.thumbnail(neighbour.row)),
            caption="the same photo: no vote" if neighbour.same_photo else neighbour.label,
            similarity=neighbour.similarity,
            frame="same" if name_at(neighbour.label, level, index.taxa) == answer and neighbour in voters else "other",
        )
        for neighbour in result.neighbours[:MOST_REFERENCES]
    ]
    small = Image.open(io.BytesIO(thumbnail(open_image(photos[0], box))))
    remarks = [remark.removeprefix(f"{photos[0]}: ").partition(":")[0] for remark in result.quality]
    others = [f"one of {len(photos)} photos of it"] if len(photos) > 1 else remarks
    name = " · ".join(["/".join(photos[0].parts[-2:]), *others])
    first = result.candidates[0]
    share = f"{first.share:.0%}" if result.known else f"{first.share:.0%} of the vote"
    if result.label is None:
        return Row(small, "unknown", f"most like {first.label}, {share} · {name}", tiles)
    if result.taxon and result.level != LABEL:
        sure = f"{result.taxon_probability:.0%}, in doubt: {first.label} {share} · {name}"
        return Row(small, f"{result.level} {result.taxon}", sure, tiles)
    return Row(small, result.label, f"{share} · {name}", tiles)


if __name__ == "__main__":
    run(main)
