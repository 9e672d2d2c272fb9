"""Names above the label: where the species is in doubt, its genus may be sure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from eval.vote import Candidate

LEVELS = ("genus", "family", "order")
"""Columns of a catalog, from the deepest up."""

LABEL = "label"
"""The level below them."""

ROUNDING = 1e-9
"""What a sum of probabilities may be off by."""

Taxonomy = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Taxon:
    """What is sure enough of a photo.

    Attributes:
        level: ``label``, or one of ``LEVELS``.
        name: of the label or the taxon.
        probability: the sum of the probabilities of its labels.
    """

    level: str
    name: str
    probability: float


def taxonomy(references: pa.Table, labels: Sequence[str], codes: NDArray[np.int64]) -> Taxonomy:
    """The taxa of each label, by level: those of ``LEVELS`` that the references have.

    A label is of the taxon that more than half of its references are of, those left aside of which it is not known. A
    label without such a majority is of none.

    Args:
        references: the table of an index, N rows.
        labels: the C labels.
        codes: ``[N]``, the label of each row; below 0 for a row that is no reference.
    """
    found: dict[str, dict[str, str]] = {}
    for level in (one for one in LEVELS if one in references.column_names):
        rows = pa.table({"code": codes, "taxon": references[level]})
        rows = rows.filter(pa.array(codes >= 0)).drop_null()
        counts = rows.group_by(["code", "taxon"]).aggregate([([], "count_all")])
        of_label = np.bincount(rows["code"].to_numpy(), minlength=len(labels))
        found[level] = {
            labels[one["code"]]: one["taxon"]
            for one in counts.to_pylist()
            if 2 * one["count_all"] > of_label[one["code"]]
        }
    return found


def deepest(candidates: Sequence[Candidate], taxa: Taxonomy, sure: float) -> Taxon | None:
    """The deepest level of which a taxon is sure enough; None where none is.

    Args:
        candidates: labels with their probabilities, the most probable first.
        taxa: of the labels; a label of no taxon speaks for none.
        sure: the probability from which on.
    """
    best = (likeliest(candidates, level, taxa) for level in (LABEL, *taxa))
    return next((one for one in best if one is not None and one.probability >= sure - ROUNDING), None)


def likeliest(candidates: Sequence[Candidate], level: str, taxa: Taxonomy) -> Taxon | None:
    """The most probable name at one level; None where no label has one."""
    shares: dict[str, float] = {}
    for one in candidates:
        name = name_at(one.label, level, taxa)
        if name is not None:
            shares[name] = shares.get(name, 0.0) + one.share
    best = max(shares, key=lambda name: shares[name], default=None)
    return None if best is None else Taxon(level, best, min(shares[best], 1.0))


def name_at(label: str, level: str, taxa: Taxonomy) -> str | None:
    """What a label is called at a level; None where that is not known."""
    return label if level == LABEL else taxa[level].get(label)
