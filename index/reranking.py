"""Better evidence for those who ask for it: an index whose neighbours are put into another order."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.neighbours import Neighbours
from eval.rerank import KReciprocal, Rerank, reranked, to_json
from eval.rows import taken
from index.answer import Answer, Asked, Neighbour
from index.search import Index
from index.store import Store

DEFAULT = KReciprocal()


class RerankedIndex(Index):
    """An index that shows other references, or in another order, by what the references say of each other.

    What it answers stays as it is, and so do the promises of its calibration: known or not, label, probability and
    label set are by the nearest references. Re-ranking finds more of the right class, but its first ones are right less
    often, and so is their vote (docs/results.md). ``RerankedIndex.open("birds.index").query("photo.jpg")``.

    Attributes:
        rerank: how.
    """

    def __init__(self, store: Store, rerank: Rerank = DEFAULT) -> None:
        """Use ``open`` instead."""
        super().__init__(store)
        self.rerank = rerank

    @classmethod
    def open(cls, folder: Path | str, rerank: Rerank = DEFAULT) -> "RerankedIndex":
        """Open an index folder; see ``Index.open``."""
        return cls(Store.open(Path(folder)), rerank)

    def _judged(self, neighbours: list[Neighbour], asked: Asked) -> Answer:
        """The answer of ``Index``, which shows the re-ranked references.

        The photo itself, where it is among them, takes no part and stays first.
        """
        answer = super()._judged(neighbours, asked)
        found = self._evidence(asked.unit, asked.k, asked.own_ids)
        shown = self.neighbours(found.rows[0], found.similarities[0] * asked.length, asked.own_ids)
        return replace(answer, neighbours=shown[: asked.k], rerank=to_json(self.rerank))

    def _evidence(self, unit: NDArray[np.float32], k: int, own_ids: Collection[str | None]) -> Neighbours:
        """The own photos and then ``k`` others, re-ranked: ``[1, K]``."""
        own, others = self._apart(
            self.search(unit[None], max(k, self.rerank.candidates) + self.most_rows(own_ids)), own_ids
        )

        def search(moved: NDArray[np.float32]) -> NDArray[np.int64]:
            return self._apart(self.search(moved, k), own_ids)[1].rows

        best = reranked(unit[None], others, self.rerank, self.vectors, search)
        return Neighbours(np.hstack([own.rows, best.rows]), np.hstack([own.similarities, best.similarities]))

    def _apart(self, found: Neighbours, own_ids: Collection[str | None]) -> tuple[Neighbours, Neighbours]:
        """The neighbours ``[1, K]`` that are the query's own photos, and the others."""
        names = taken(self.table["id"], found.rows[0]).to_pylist()
        own = np.array([name in own_ids for name in names], bool)
        parts = [Neighbours(found.rows[:, which], found.similarities[:, which]) for which in (own, ~own)]
        return parts[0], parts[1]
