"""Protocols: which photos are trained on, which serve choices, and which are the test."""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

from embedder.data.catalog import ROLE, Catalog
from eval.copies import linked
from eval.errors import InputError

Protocol = Literal["auto", "zero-shot", "closed-set"]
Validation = Literal["auto", "classes", "photos", "none"]
Part = Literal["all", "train", "test", "validation", "query", "gallery"]

ROLES = ("query", "gallery")

HELD_OUT_CLASSES, HELD_OUT_PHOTOS = 0.3, 0.2
"""Shares of the training classes, or of each class's training photos, that are held out for choices."""

LEAST_PARTED = 4
"""Training photos of a class from which on some are held out: two at least, and half are left."""


@dataclass(frozen=True)
class Split:
    """The parts of a catalog; no photo is in two of them.

    Attributes:
        training: trained on.
        validation: held out from training for choices (the best epoch, early stopping); may be empty.
        test: looked at once, for what was chosen; may be empty.
    """

    training: Catalog
    validation: Catalog
    test: Catalog


def split(catalog: Catalog, protocol: Protocol = "auto", validation: Validation = "auto", seed: int = 0) -> Split:
    """Divide a catalog for one training run.

    Args:
        catalog: photos, each with a label.
        protocol: ``zero-shot``: the test classes are never trained on; they are those that the data set declares, or
            else the last half of the classes (as CUB-200-2011 and Stanford Cars are divided; Oh Song et al. 2016,
            section 6). ``closed-set``: photos of the official test split are the test, all others are for training.
            ``auto``: zero-shot where the data set declares it, else closed-set.
        validation: ``classes`` holds out the training classes that the data set declares for that, or else the last
            30 %; ``photos`` holds out 20 % of each class's training photos, at least 2 of 4 or more, and keeps together
            photos of one ``group``, and what is said of one photo, also of several classes; ``none`` trains on
            everything, as the last run after all choices does; ``auto`` is classes under the zero-shot protocol, else
            photos, or none where no class has photos to spare.
        seed: of the choice of photos.

    Raises:
        InputError: a photo has no label, the published classes of the zero-shot protocol are not there, fewer than two
            classes remain to train on, or nothing is held out although it should be.
    """
    catalog.check_labelled("training")
    trainable, test = sides(catalog, protocol)
    held_out = np.zeros(len(catalog), dtype=bool)
    if validation == "classes" or (validation == "auto" and is_zero_shot(catalog, protocol)):
        held_out = _held_out_classes(catalog, protocol, trainable)
    elif validation in {"photos", "auto"}:
        held_out = _held_out_photos(catalog, trainable, seed)
    training = catalog.select(trainable & ~held_out)
    if len(training.classes) < 2:
        remain = f"{len(training.classes)} of its {len(catalog.select(trainable).classes)} training classes remain"
        advice = ", or take data.validation photos or none" if validation in {"auto", "classes"} else ""
        raise InputError(
            f"{catalog.root}: {remain} with data.validation {validation}; two at least are needed: add classes{advice}"
        )
    if validation == "photos" and not held_out.any():
        raise InputError(
            f"{catalog.root}: data.validation photos holds out nothing: of each class half must be left, at least "
            f"{LEAST_PARTED} be there, and what is one photo or one group stays together; take data.validation none"
        )
    return Split(training, catalog.select(held_out), catalog.select(test))


def part(catalog: Catalog, which: Part, protocol: Protocol = "auto") -> Catalog:
    """One part of a catalog, as the commands' ``--split`` names it.

    Args:
        catalog: photos.
        which: ``train`` are all training photos, validation classes included; ``validation`` are those classes;
            ``query`` and ``gallery`` are test photos of which the first are searched for among the second.
        protocol: as for ``split``.

    Raises:
        InputError: the part is empty, or it is the ``validation`` of the closed-set protocol, where each run holds out
            photos of its own.
    """
    if which == "all":
        return catalog
    if which == "validation" and not is_zero_shot(catalog, protocol):
        raise InputError(
            f"{catalog.root} has no validation part of its own: under the closed-set protocol each training run holds "
            "out photos by its seed; take --split test, or --protocol zero-shot for held-out classes"
        )
    if which in ROLES:
        return _of_role(catalog, which)
    trainable, test = sides(catalog, protocol)
    masks = {"train": trainable, "test": test}
    mask = masks[which] if which in masks else _held_out_classes(catalog, protocol, trainable)
    if not mask.any():
        raise InputError(
            f"{catalog.root} has no {which} photos; a folder marks them by {which}/CLASS/, a table by a column 'split'"
        )
    return catalog.select(mask)


def _of_role(catalog: Catalog, role: str) -> Catalog:
    """The test photos that a data set searches for, or among."""
    roles = catalog.table[ROLE].to_pylist() if ROLE in catalog.table.column_names else []
    mask = np.array([one == role for one in roles], dtype=bool)
    if not mask.any():
        raise InputError(
            f"{catalog.root} has no {role} photos: its test photos are searched for among each other (--split test); a "
            f"table tells them apart by a column {ROLE!r} of {' and '.join(ROLES)}"
        )
    return catalog.select(mask)


def is_zero_shot(catalog: Catalog, protocol: Protocol) -> bool:
    """Whether the test classes are apart."""
    return protocol == "zero-shot" or (protocol == "auto" and catalog.class_split is not None)


def sides(catalog: Catalog, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """Which rows may be trained on, and which are the test: two masks [N]."""
    if not is_zero_shot(catalog, protocol):
        test = np.zeros(len(catalog), dtype=bool)
        if "split" in catalog.table.column_names:
            test = np.array([name == "test" for name in catalog.table["split"].to_pylist()])
        return ~test, test
    catalog.check_labelled("the zero-shot protocol")
    declared = catalog.class_split
    if declared is not None:
        return _of_classes(catalog, declared.training + declared.validation), _of_classes(catalog, declared.test)
    if catalog.no_split:
        raise InputError(f"{catalog.root}: {catalog.no_split}")
    half = (len(catalog.classes) + 1) // 2
    return catalog.codes < half, catalog.codes >= half


def _held_out_classes(catalog: Catalog, protocol: Protocol, trainable: np.ndarray) -> np.ndarray:
    """Which rows are of held-out training classes: a mask [N]. Never one class alone, whose recall@k is always 1."""
    if catalog.class_split is not None and is_zero_shot(catalog, protocol):
        return _of_classes(catalog, catalog.class_split.validation)
    codes = np.unique(catalog.codes[trainable])
    return trainable & np.isin(catalog.codes, codes[-max(2, round(HELD_OUT_CLASSES * len(codes))) :])


def _of_classes(catalog: Catalog, names: tuple[str, ...]) -> np.ndarray:
    """Which rows are of some classes: a mask [N]."""
    chosen = set(names)
    return np.array([label in chosen for label in catalog.labels], dtype=bool)


def _held_out_photos(catalog: Catalog, trainable: np.ndarray, seed: int) -> np.ndarray:
    """Which rows are held-out photos of the training classes: a mask [N]; those of smaller classes are trained on."""
    total = np.bincount(catalog.codes[trainable], minlength=len(catalog.classes))
    units, keys = _units(catalog, np.flatnonzero(trainable & (total >= LEAST_PARTED)[catalog.codes]))
    order = sorted(range(len(units)), key=lambda unit: hashlib.sha256(f"{seed}/{keys[unit]}".encode()).digest())
    of_class: dict[int, list[int]] = {}
    for unit in order:
        for code in {*catalog.codes[units[unit]].tolist()}:
            of_class.setdefault(code, []).append(unit)
    held_out, left = np.zeros(len(catalog), dtype=bool), total.copy()
    for code, several in sorted(of_class.items()):
        wanted = max(2, round(HELD_OUT_PHOTOS * total[code]))
        for rows in [units[unit] for unit in several if not held_out[units[unit][0]]]:
            if total[code] - left[code] >= wanted:
                break
            codes, counts = np.unique(catalog.codes[rows], return_counts=True)
            if (left[codes] - counts >= total[codes] / 2).all():
                held_out[rows] = True
                left[codes] -= counts
    return held_out


def _units(catalog: Catalog, rows: np.ndarray) -> tuple[list[np.ndarray], list[str]]:
    """The rows in lists of what stays together, each with the least of its names: whatever has a path or a group in
    common, perhaps of several classes, is one.
    """
    if not len(rows):
        return [], []
    groups = catalog.table["group"].to_pylist() if "group" in catalog.table.column_names else [None] * len(catalog)
    paths = catalog.paths
    firsts: dict[tuple[str, str], int] = {}
    pairs = []
    for row in rows.tolist():
        pairs.append((row, firsts.setdefault(("path", paths[row]), row)))
        if groups[row]:
            pairs.append((row, firsts.setdefault(("group", groups[row]), row)))
    members, components = linked(np.array(pairs, np.int64).reshape(-1, 2).T)
    order = np.argsort(components, kind="stable")
    units = np.split(members[order], np.flatnonzero(np.diff(components[order])) + 1)
    return units, [min(groups[row] or paths[row] for row in unit.tolist()) for unit in units]
