"""What goes out, as OpenAPI describes it."""

from typing import Any

from pydantic import BaseModel


class Problem(BaseModel):
    """Why there is no answer."""

    error: str


class Candidate(BaseModel):
    """A label with its share of the vote."""

    label: str
    share: float


class Neighbour(BaseModel):
    """A reference that is near a photo: the evidence."""

    rank: int
    id: str
    label: str
    path: str | None
    similarity: float
    same_photo: bool


class Answer(BaseModel):
    """The answer to one photo, or why it cannot be read. What is not calibrated is null."""

    query: str | None = None
    error: str | None = None
    known: bool | None = None
    label: str | None = None
    probability: float | None = None
    level: str | None = None
    taxon: str | None = None
    taxon_probability: float | None = None
    candidates: list[Candidate] = []
    label_set: list[str] | None = None
    coverage: float | None = None
    quality: list[str] = []
    neighbours: list[Neighbour] = []
    generation: int | None = None
    fingerprint: str | None = None
    calibration_stale: bool | None = None
    rerank: dict[str, Any] | None = None


class Generation(BaseModel):
    """The generation of the index that answers."""

    generation: int


class Answers(Generation):
    """Answers to photos, in their order; to photos of one subject a single one."""

    fingerprint: str
    answers: list[Answer]


class LabelCount(BaseModel):
    """A label and how many references have it."""

    label: str
    references: int


class Labels(Generation):
    """Some of the labels, by the alphabet. ``next`` is what to give as ``after`` for more.

    ``exact`` is the label that is itself what is searched for, wherever it stands among them.
    """

    count: int
    labels: list[LabelCount]
    exact: LabelCount | None
    next: str | None


class Reference(BaseModel):
    """A reference."""

    id: str
    label: str
    path: str | None


class References(Generation):
    """Some of the references, the newest first. ``next`` is what to give as ``after`` for more."""

    count: int
    references: list[Reference]
    next: int | None


class Taught(Generation):
    """What has become of photos that were taught."""

    added: int
    already_there: int
    relabelled: int
    ids: list[str]


class Removed(Generation):
    """How many references are gone."""

    removed: int


class Relabelled(Generation):
    """How many references have another label."""

    relabelled: int


class Map(Generation):
    """The references that are on the map: where each lies, the place of its label among ``labels``, and its id."""

    count: int
    labels: list[str]
    points: list[tuple[float, float]]
    codes: list[int]
    ids: list[str]


class Ready(Generation):
    """Whether the service answers, and what is wrong though it does."""

    ready: bool
    problem: str | None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route may answer beside what was asked for."""
    always = (400, 403, 413, 414, 503)
    return {status: {"model": Problem, "description": "What is wrong"} for status in (*always, *statuses)}
