"""The lists of the iNaturalist competitions: JSON with ``images``, ``annotations`` and ``categories``.

Van Horn, Mac Aodha, Song, Cui, Sun, Shepard, Adam, Perona and Belongie, "The iNaturalist Species Classification and
Detection Dataset" (2018); Van Horn, Cole, Beery, Wilber, Belongie and Mac Aodha, "Benchmarking Representation Learning
for Natural World Image Collections" (2021).
"""

from pathlib import Path

import pyarrow as pa

from embedder.data.catalog import Catalog, label_column
from embedder.data.layout import Counts, check_counts, check_layout, check_listed
from eval.errors import InputError
from eval.files import read_json

LEVELS = ("genus", "family", "order", "class", "phylum", "kingdom")
ABOVE = {"class": "taxonomic_class"}
"""Names of columns that would be taken for something else."""


def read_lists(
    root: Path,
    name: str,
    lists: dict[str, str],
    *,
    needed: list[str],
    categories: str,
    layout: str,
    published: Counts,
) -> Catalog:
    """Read one of the data sets, with genus, family, order and above of each species.

    Args:
        root: the folder with the lists.
        name: the data set.
        lists: the list of each split, ``train`` and ``test``.
        needed: the folders of photos.
        categories: the file that names the species; a list of them, or a dictionary with ``categories``.
        layout: what the root looks like, in words.
        published: counts.

    Raises:
        InputError: a list or a photo is missing or damaged, an annotation names a photo or a species that is not there,
            a species lacks a level, or the counts are not the published ones.
    """
    check_layout(root, name, [*needed, *lists.values(), categories], layout)
    species = _species(root / categories)
    paths: list[str] = []
    codes: list[int] = []
    splits: list[str] = []
    for split, file in lists.items():
        found = _photos(root / file, species)
        check_listed(root, [path for path, _ in found], root / file)
        paths += [path for path, _ in found]
        codes += [code for _, code in found]
        splits += [split] * len(found)
    names = {code: one["name"] for code, one in species.items()}
    columns = {
        "path": pa.array(paths),
        "label": label_column([names[code] for code in codes], [*names.values()]),
        "split": pa.array(splits),
        **{ABOVE.get(level, level): pa.array([species[code][level] for code in codes]) for level in LEVELS},
    }
    catalog = Catalog(pa.table(columns), root, name)
    check_counts(catalog, published)
    return catalog


def _species(file: Path) -> dict[int, dict[str, str]]:
    """Name and levels of each species by its number."""
    contents = read_json(file)
    rows = contents.get("categories", []) if isinstance(contents, dict) else contents
    species: dict[int, dict[str, str]] = {}
    for row in rows:
        for level in ("id", "name", *LEVELS):
            if not isinstance(row, dict) or row.get(level) in (None, ""):
                raise InputError(f"{file}: the species {row!r:.200} has no {level!r}; load it anew")
        species[row["id"]] = {level: str(row[level]) for level in ("name", *LEVELS)}
    if len({one["name"] for one in species.values()}) < len(rows):
        raise InputError(f"{file} lists a species twice; load it anew")
    return species


def _photos(file: Path, species: dict[int, dict[str, str]]) -> list[tuple[str, int]]:
    """The path and the species of each photo of a list."""
    contents = read_json(file)
    try:
        names = {image["id"]: image["file_name"] for image in contents["images"]}
        codes = {one["image_id"]: one["category_id"] for one in contents["annotations"]}
    except (KeyError, TypeError) as error:
        raise InputError(f"{file} has no {error} where it is due; load it anew") from None
    if other := codes.keys() - names.keys():
        raise InputError(f"{file}: an annotation is of the image {min(other)}, which is not listed; load it anew")
    if missing := names.keys() - codes.keys():
        raise InputError(f"{file} says of the image {min(missing)} not what it shows; load it anew")
    if other := {*codes.values()} - species.keys():
        raise InputError(f"{file}: an annotation is of the species {min(other)}, which is not listed; load it anew")
    return [(path, codes[number]) for number, path in names.items()]
