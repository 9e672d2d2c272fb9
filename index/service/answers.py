"""The routes that answer photos: search and explain."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from eval.errors import InputError
from eval.images import BadImage
from eval.vote import VOTERS
from index.answer import Answer
from index.explain import Explanation
from index.explain import explain as explain_photo
from index.service.batching import Question
from index.service.current import Snapshot
from index.service.running import Running, Service, SnapshotTaken
from index.service.schemas import Answers, problems
from index.service.uploads import Prepared, Upload, decoding, kept_id, parse_box, uploads

SAME = 0.99
"""The least similarity of a photo and of the same one written anew."""

router = APIRouter(tags=["answers"])

BoxText = Annotated[str | None, Form(description="left,top,right,bottom of the subject in pixels of the upright photo")]


@router.post("/search", response_model=Answers, responses=problems(404, 408, 409, 415, 422))
async def search(
    snapshot: SnapshotTaken,
    service: Running,
    photo: Annotated[list[UploadFile], File(description="one photo or several")],
    k: Annotated[int, Form(ge=1, description="references to show for each photo")] = 10,
    label: Annotated[list[str], Form(description="look among references of these labels alone")] = [],  # noqa: B006
    together: Annotated[bool, Form(description="the photos show one subject: answer them as one")] = False,
    box: BoxText = None,
) -> JSONResponse:
    """Answer photos with the class of the nearest references, and show these."""
    limits = service.settings.limits
    if k > limits.neighbours:
        raise HTTPException(422, f"k is {k}; it may be at most {limits.neighbours}")
    if snapshot.index.count == 0:
        raise HTTPException(409, "the index holds no references; add some")
    labels = tuple(sorted({snapshot.label(one) for one in label if one}))
    place = parse_box(box)
    if place and len(photo) > 1:
        raise HTTPException(422, f"box is of one photo, and there are {len(photo)}; ask about them one by one")
    came = await uploads(photo, limits)
    made = await asyncio.gather(*(_prepared(service, snapshot, one, place) for one in came))
    pairs = list(zip(came, made, strict=True))
    good = [(upload, one) for upload, one in pairs if isinstance(one, Prepared)]
    bad = [(upload, one) for upload, one in pairs if isinstance(one, BadImage)]
    if not good:
        raise HTTPException(415, _told(*bad[0]))
    subjects = [good] if together else [[one] for one in good]
    # A photo itself is seen among the nearest, though fewer may be shown.
    questions = [_question(snapshot, subject, max(k, VOTERS), labels) for subject in subjects]
    found = await _asked(service, questions)
    for number, subject in enumerate(subjects):
        found[number] = await _without_taught(service, questions[number], subject, place, found[number])
    answers = iter([replace(one, neighbours=one.neighbours[:k]) for one in found])
    failed = [{"query": upload.name, "error": error.reason} for upload, error in bad]
    if together:
        told = [next(answers).to_json(), *failed]
    else:
        lost = iter(failed)
        told = [next(answers).to_json() if isinstance(one, Prepared) else next(lost) for one in made]
    index = snapshot.index
    return JSONResponse({"generation": index.generation, "fingerprint": index.fingerprint, "answers": told})


@router.post("/explain", responses=problems(404, 408, 415, 422))
async def explain(
    snapshot: SnapshotTaken,
    service: Running,
    photo: Annotated[UploadFile, File()],
    reference: Annotated[str, Form(description="the id of the reference that the photo is compared with")],
    label: Annotated[str | None, Form(description="of the reference, where its photo has several")] = None,
    rival: Annotated[str | None, Form(description="the id of another reference that it might be instead")] = None,
    rival_label: Annotated[str | None, Form(description="of the rival, where its photo has several")] = None,
    box: BoxText = None,
) -> JSONResponse:
    """Show what of a photo and of a reference makes them similar, and what speaks for a rival."""
    place, limits = parse_box(box), service.settings.limits
    row, other = row_of(snapshot, reference, label), row_of(snapshot, rival, rival_label) if rival else None
    (upload,) = await uploads([photo], limits)

    def work() -> Explanation:
        with decoding(upload.content, limits):
            content, most = upload.content, limits.pixels
            return explain_photo(snapshot.index, content, row, rival=other, box=place, most_pixels=most)

    try:
        explained = await service.decode(work)
    except BadImage as error:
        raise HTTPException(415, _told(upload, error)) from None
    except InputError as error:
        raise HTTPException(422, str(error)) from None
    return JSONResponse(explained.to_json())


def row_of(snapshot: Snapshot, name: str, label: str | None = None) -> int:
    """The reference that an id names, and a label where its photo has several.

    Raises:
        HTTPException: there is none.
    """
    rows = snapshot.rows_of(name, label or None)
    if not rows:
        raise HTTPException(404, "no reference has this id" + (" under this label" if label else ""))
    return rows[0]


async def _prepared(service: Service, snapshot: Snapshot, upload: Upload, box: Any) -> Prepared | BadImage:
    """A photo as the network sees it, or what is wrong with it."""
    try:
        return await service.prepare(snapshot, upload, box)
    except BadImage as error:
        return error


def _question(
    snapshot: Snapshot, subject: Sequence[tuple[Upload, Prepared]], k: int, labels: tuple[str, ...]
) -> Question:
    """What is asked about the photos of one subject."""
    names = [upload.name for upload, _ in subject]
    made = [one for _, one in subject]
    return Question(
        snapshot,
        pixels=[one.pixels for one in made],
        own_ids=frozenset(one.id for one in made),
        k=k,
        labels=labels,
        name=None if None in names else ", ".join(map(str, names)),
        quality=tuple(remark for one in made for remark in one.quality),
    )


async def _asked(service: Service, questions: Sequence[Question]) -> list[Answer]:
    """The answers to questions.

    Raises:
        HTTPException: there can be none.
    """
    try:
        return await asyncio.gather(*map(service.batcher.ask, questions))
    except InputError as error:
        raise HTTPException(422, str(error)) from None


async def _without_taught(
    service: Service, question: Question, subject: Sequence[tuple[Upload, Prepared]], box: Any, answer: Answer
) -> Answer:
    """The answer in which what some photos themselves have become by being taught has no vote either.

    What is taught is written anew, so that its id is not that of the file. A single photo is written anew where a
    reference that was taught is so near that it may be it; several are wherever any was, as their mean may lie far from
    each of them.
    """
    taught = question.snapshot.taught
    if len(subject) == 1:
        taught = taught & {one.id for one in answer.neighbours if one.similarity > SAME and not one.same_photo}
    if not taught:
        return answer
    limits = service.settings.limits
    made = {await service.decode(kept_id, upload.content, box, limits) for upload, _ in subject} & taught
    if made <= question.own_ids:
        return answer
    (answer,) = await _asked(service, [replace(question, own_ids=question.own_ids | made)])
    return answer


def _told(upload: Upload, error: BadImage) -> str:
    """What is wrong with a photo, in a sentence."""
    return f"{upload.name or 'the photo'} {error.reason}"
