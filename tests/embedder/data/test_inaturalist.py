import json

import pytest

from embedder.data import inat2018, inat2021
from embedder.data.catalog import read_catalog
from embedder.data.layout import Counts
from embedder.data.splits import part, split
from eval.errors import InputError

SPECIES = 12
LEVELS = ("genus", "family", "order", "class", "phylum", "kingdom")
COUNTS = Counts(photos=48, classes=SPECIES, training=36, test=12)
SETS = {
    "inat2018": (inat2018, "train_val2018", "train_val2018", "train2018.json", "val2018.json", "categories.json"),
    "inat2021": (inat2021, "train", "val", "train.json", "val.json", None),
    "mini": (inat2021, "train_mini", "val", "train_mini.json", "val.json", None),
}


@pytest.fixture(params=SETS)
def laid_out(touch, monkeypatch, request):
    """Three training photos and a test photo a species, the species not in the order of their numbers."""
    reader, train, test, train_list, test_list, names = SETS[request.param]
    monkeypatch.setattr(reader, "PUBLISHED_MINI" if request.param == "mini" else "PUBLISHED", COUNTS)
    paths = {
        train_list: [f"{train}/Aves/{species}/{photo}.jpg" for species in range(SPECIES) for photo in range(3)],
        test_list: [f"{test}/Aves/{species}/9.jpg" for species in range(SPECIES)],
    }
    folder = touch(path for some in paths.values() for path in some)
    categories = [
        {"id": species, "name": f"Genus{species // 2} species{species}", **levels(species)}
        for species in reversed(range(SPECIES))
    ]
    if names:
        (folder / names).write_text(json.dumps(categories))
    for name, some in paths.items():
        images = [{"id": 100 + row, "file_name": path} for row, path in enumerate(some)]
        each = len(some) // SPECIES
        annotations = [{"image_id": 100 + row, "category_id": row // each} for row in reversed(range(len(some)))]
        (folder / name).write_text(
            json.dumps({"images": images, "annotations": annotations, "categories": [] if names else categories})
        )
    return reader, folder, train_list, names or test_list


def levels(species):
    return {level: f"{level.title()}{species // 2**above}" for above, level in enumerate(LEVELS, 1)}


def changed(file, change):
    contents = json.loads(file.read_text())
    change(contents)
    file.write_text(json.dumps(contents))


def test_what_the_lists_say(laid_out):
    reader, root, *_ = laid_out
    catalog = read_catalog(f"{reader.__name__.rpartition('.')[2]}:{root}")
    assert catalog.labels == [
        *(f"Genus{row // 6} species{row // 3}" for row in range(36)),
        *(f"Genus{row // 2} species{row}" for row in range(12)),
    ]
    assert catalog.classes[0] == "Genus5 species11"
    assert catalog.table["split"].to_pylist() == ["train"] * 36 + ["test"] * 12
    row = {name: catalog.table[name][10].as_py() for name in catalog.table.column_names}
    assert (row["genus"], row["family"], row["order"], row["taxonomic_class"]) == (
        "Genus1",
        "Family0",
        "Order0",
        "Class0",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lists: lists["images"].pop(3), "an annotation is of the image 103, which is not listed"),
        (lambda lists: lists["annotations"].pop(), "says of the image 100 not what it shows"),
        (lambda lists: lists["annotations"][0].update(category_id=77), "of the species 77, which is not listed"),
        (lambda lists: lists["annotations"][0].pop("image_id"), "has no 'image_id' where it is due"),
        (lambda lists: lists.pop("images"), "has no 'images' where it is due"),
        (lambda lists: lists["images"][0].update(file_name="none.jpg"), "of which 1 does not exist"),
    ],
)
def test_lists_that_do_not_fit(laid_out, change, message):
    reader, root, train_list, _ = laid_out
    changed(root / train_list, change)
    with pytest.raises(InputError, match=message):
        reader.read(root)


def test_species_that_lack_something(laid_out):
    reader, root, _, names = laid_out
    changed(root / names, lambda contents: species_of(contents)[3].pop("family"))
    with pytest.raises(InputError, match=r"the species \{'id': 8, .* has no 'family'"):
        reader.read(root)
    changed(root / names, lambda contents: species_of(contents)[3].update(family="F", name="Genus0 species0"))
    with pytest.raises(InputError, match="lists a species twice"):
        reader.read(root)


def species_of(contents):
    return contents["categories"] if isinstance(contents, dict) else contents


def test_a_list_that_is_half_loaded(laid_out):
    reader, root, train_list, names = laid_out
    for name in (train_list, names):
        content = (root / name).read_text()
        (root / name).write_text(content[: len(content) // 2])
        with pytest.raises(InputError, match=f"{name} is damaged"):
            reader.read(root)
        (root / name).write_text(content)


def test_what_is_missing_and_other_counts(laid_out, monkeypatch):
    reader, root, train_list, _ = laid_out
    for name in ("PUBLISHED", "PUBLISHED_MINI"):
        monkeypatch.setattr(reader, name, Counts(1, 2, 3, 4), raising=False)
    with pytest.raises(InputError, match=r"it lists 48 photos where inat20.* has 1;"):
        reader.read(root)
    (root / train_list).unlink()
    with pytest.raises(InputError, match=r"is missing; .*visipedia/inat_comp"):
        reader.read(root)


of_2018 = pytest.mark.parametrize("laid_out", ["inat2018"], indirect=True)


@pytest.fixture
def retrieval(laid_out, monkeypatch):
    """The lists of the zero-shot protocol of 2018: all photos of eight species for training, of four for the test."""
    _, root, *_ = laid_out
    monkeypatch.setattr(inat2018, "RETRIEVAL_PHOTOS", {"train": 32, "test": 16})
    monkeypatch.setattr(inat2018, "HELD_OUT", 2)
    sides = {"train": [3, 1, 2, 8, 9, 10, 5, 4], "test": [0, 6, 7, 11]}
    for side, numbers in sides.items():
        paths = [f"train_val2018/Aves/{number}/{photo}.jpg" for number in numbers for photo in (0, 1, 2, 9)]
        (root / f"Inaturalist_{side}_set1.txt").write_text("\n".join(paths) + "\n")
    return root


@of_2018
def test_the_zero_shot_protocol_takes_all_photos_of_the_listed_species(retrieval):
    catalog = inat2018.read(retrieval)
    parts = split(catalog)
    assert [len(one) for one in (parts.training, parts.validation, parts.test)] == [24, 8, 16]
    assert set(parts.test.labels) == {f"Genus{number // 2} species{number}" for number in (0, 6, 7, 11)}
    assert set(parts.validation.labels) == {"Genus2 species5", "Genus2 species4"}
    assert [len(part(catalog, side, "closed-set")) for side in ("train", "test")] == [36, 12]


@of_2018
def test_the_lists_may_lie_in_the_folder_that_they_are_packed_in(retrieval):
    (retrieval / "Inat_dataset_splits").mkdir()
    for file in retrieval.glob("Inaturalist_*"):
        file.rename(retrieval / "Inat_dataset_splits" / file.name)
    assert len(inat2018.read(retrieval).class_split.test) == 4


@of_2018
def test_without_the_lists_it_is_closed_set_and_no_other_species_are_taken_instead(laid_out):
    catalog = inat2018.read(laid_out[1])
    assert len(split(catalog).test) == 12
    for chosen in (split, lambda photos, protocol: part(photos, "test", protocol)):
        with pytest.raises(InputError, match=r"needs Inaturalist_train_set1.txt and .*Andrew-Brown1/Smooth_AP"):
            chosen(catalog.select(range(40)), "zero-shot")


@of_2018
@pytest.mark.parametrize(
    ("side", "line", "message"),
    [
        ("train", None, "train_set1.txt lists 31 photos where 32 are due"),
        ("test", None, "test_set1.txt lists 15 photos where 16 are due"),
        ("train", "train_val2018/Aves/3/7.jpg", r"lists 'train_val2018/Aves/3/7.jpg', which is no photo of inat2018"),
        ("train", "train_val2018/Aves/0/9.jpg", "species Genus0 species0 is both in training and in the test"),
    ],
)
def test_lists_of_the_zero_shot_protocol_that_do_not_fit(retrieval, side, line, message):
    file = retrieval / f"Inaturalist_{side}_set1.txt"
    file.write_text("\n".join([*file.read_text().splitlines()[1:], *filter(None, [line])]))
    with pytest.raises(InputError, match=message):
        inat2018.read(retrieval)


@of_2018
@pytest.mark.parametrize("side", ["train", "test"])
def test_one_list_of_the_zero_shot_protocol_alone(retrieval, side):
    (retrieval / f"Inaturalist_{side}_set1.txt").unlink()
    with pytest.raises(InputError, match=f"{side}_set1.txt is missing; the zero-shot protocol of inat2018 needs"):
        inat2018.read(retrieval)
