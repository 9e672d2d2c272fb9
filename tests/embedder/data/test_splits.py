from collections import Counter

import pyarrow as pa
import pytest

from embedder.data.catalog import TYPES, ClassSplit
from embedder.data.splits import part, split
from eval.errors import InputError


def rows(counts):
    """Rows of photos, so many of each class, taking turns."""
    turns = [(number, label) for label, count in counts.items() for number in range(count)]
    return [(f"{label}/{number}.jpg", label) for number, label in sorted(turns)]


def classes(count, photos=3):
    return rows({f"c{number:02}": photos for number in reversed(range(count))})


def names(catalog):
    return sorted(set(catalog.labels))


def assert_partition(catalog, *parts):
    assert sorted(path for each in parts for path in each.paths) == sorted(catalog.paths)


@pytest.fixture
def declared(make_catalog):
    """Six classes whose zero-shot protocol is not in their order, with an official split."""
    official = pa.array(["train", "train", "test"] * 6)
    protocol = ClassSplit(("c05", "c00", "c02"), ("c01", "c04"), ("c03",))
    return make_catalog(sorted(classes(6)), protocol, split=official)


def test_declared_zero_shot_classes(declared):
    for protocol in ("auto", "zero-shot"):
        parts = split(declared, protocol)
        assert names(parts.training) == ["c00", "c02", "c05"]
        assert names(parts.validation) == ["c01", "c04"]
        assert names(parts.test) == ["c03"]
        assert_partition(declared, parts.training, parts.validation, parts.test)


def test_labels_start_at_0_in_every_part(declared):
    parts = split(declared)
    for each in (parts.training, parts.validation, parts.test):
        assert sorted(set(each.codes)) == list(range(len(names(each))))


def test_without_validation_all_training_classes_are_trained_on(declared):
    parts = split(declared, validation="none")
    assert names(parts.training) == ["c00", "c01", "c02", "c04", "c05"]
    assert len(parts.validation) == 0


@pytest.mark.parametrize(
    ("count", "training", "validation", "test"), [(200, 70, 30, 100), (196, 69, 29, 98), (9, 3, 2, 4)]
)
def test_zero_shot_without_a_declaration_halves_the_classes_in_their_order(
    make_catalog, count, training, validation, test
):
    catalog = make_catalog([(f"{number}.jpg", f"c{number}") for number in reversed(range(count))])
    parts = split(catalog, "zero-shot")
    assert [*parts.training.classes, *parts.validation.classes, *parts.test.classes] == catalog.classes
    assert [len(parts.training), len(parts.validation), len(parts.test)] == [training, validation, test]


def test_closed_set_takes_the_official_split(declared):
    parts = split(declared, "closed-set", "none")
    assert names(parts.training) == names(parts.test) == declared.classes
    assert parts.test.table["split"].to_pylist() == ["test"] * 6
    assert_partition(declared, parts.training, parts.test)


def test_auto_is_closed_set_without_a_declaration_and_holds_out_photos(make_catalog):
    catalog = make_catalog(rows({"four": 4, "ten": 10, "one": 1}))
    parts = split(catalog)
    assert len(parts.test) == 0
    assert_partition(catalog, parts.training, parts.validation)
    assert Counter(parts.validation.labels) == {"four": 2, "ten": 2}
    assert split(catalog, seed=5).validation.paths == split(catalog, "closed-set", "photos", seed=5).validation.paths


def test_auto_holds_out_classes_under_the_zero_shot_protocol(declared):
    assert names(split(declared).validation) == names(split(declared, "zero-shot", "classes").validation)
    assert len(split(declared).validation) > 0


def test_auto_holds_out_nothing_where_no_class_has_photos_to_spare(make_catalog):
    catalog = make_catalog(rows({"two": 2, "three": 3}))
    parts = split(catalog)
    assert len(parts.validation) == 0
    assert_partition(catalog, parts.training)


def test_closed_set_holds_out_training_photos_of_classes_alone(declared):
    parts = split(declared, "closed-set", "classes")
    assert names(parts.validation) == ["c04", "c05"]
    assert set(parts.validation.table["split"].to_pylist()) == {"train"}
    assert names(parts.test) == declared.classes


def test_held_out_photos_are_a_fifth_of_each_class_and_at_least_two(make_catalog):
    counts = {"one": 1, "three": 3, "four": 4, "ten": 10, "many": 50}
    catalog = make_catalog(rows(counts))
    parts = split(catalog, validation="photos")
    held_out = Counter(parts.validation.labels)
    assert held_out == {"four": 2, "ten": 2, "many": 10}
    assert_partition(catalog, parts.training, parts.validation)


def test_held_out_photos_depend_on_seed_and_path_alone(make_catalog):
    photos = classes(4, 20)
    chosen = set(split(make_catalog(photos), validation="photos", seed=3).validation.paths)
    assert set(split(make_catalog(photos[::-1]), validation="photos", seed=3).validation.paths) == chosen
    assert set(split(make_catalog(photos), validation="photos", seed=4).validation.paths) != chosen


def test_groups_stay_together(make_catalog):
    photos = classes(3, 24)
    groups = [f"{label}-{int(path.split('/')[1][:-4]) // 3}" for path, label in photos]
    groups[0] = None
    catalog = make_catalog(photos, group=pa.array(groups))
    for seed in range(5):
        parts = split(catalog, validation="photos", seed=seed)
        apart = set(parts.validation.table["group"].to_pylist()) & set(parts.training.table["group"].to_pylist())
        assert apart <= {None}
        assert all(5 <= count <= 7 for count in Counter(parts.validation.labels).values())


def test_what_is_of_several_classes_is_on_one_side(make_catalog):
    photos = [(f"{label}{number}.jpg", label) for label in "ab" for number in range(12)]
    photos += [(f"both{number}.jpg", label) for number in range(8) for label in "ab"]
    photos += [(f"{label}-of-pair{number}.jpg", label) for number in range(6) for label in "ab"]
    groups = [path.partition("-of-")[2] or None for path, _ in photos]
    boxes = [[0, 0, 1, 1 + number % 2] for number in range(len(photos))]
    catalog = make_catalog(photos, group=pa.array(groups), box=pa.array(boxes, TYPES["box"]))
    for seed in range(5):
        parts = split(catalog, validation="photos", seed=seed)
        training, validation = (
            [*zip(one.paths, one.table["group"].to_pylist(), strict=True)] for one in (parts.training, parts.validation)
        )
        assert not {path for path, _ in training} & {path for path, _ in validation}
        assert not {group for _, group in training if group} & {group for _, group in validation if group}
        held_out = Counter(parts.validation.labels)
        assert all(5 <= held_out[label] <= 10 for label in "ab")
        assert any("both" in path for path, _ in validation) or any(group for _, group in validation)


def test_classes_too_small_to_be_parted_do_not_keep_others_together(make_catalog):
    """Each of five cameras has taken ten kinds, and one that no other has: that one is trained on."""
    photos = [
        (f"{camera}/{kind}/{n}.jpg", f"kind-{kind}") for camera in "abcde" for kind in range(10) for n in range(4)
    ]
    photos += [(f"{camera}/rare.jpg", f"rare-{camera}") for camera in "abcde"]
    catalog = make_catalog(photos, group=pa.array([path[0] for path, _ in photos]))
    parts = split(catalog, validation="photos")
    assert Counter(parts.validation.labels) == {f"kind-{kind}": 4 for kind in range(10)}
    assert {f"rare-{camera}" for camera in "abcde"} <= {*parts.training.labels}


def test_a_large_group_does_not_take_most_of_its_class(make_catalog):
    """A burst of eight of ten photos is trained on, whichever photos are drawn first."""
    photos = classes(2, 10)
    group = pa.array([f"burst-{label}" if int(path.split("/")[1][:-4]) < 8 else path for path, label in photos])
    for seed in range(9):
        parts = split(make_catalog(photos, group=group), validation="photos", seed=seed)
        assert Counter(parts.validation.labels) == {"c00": 2, "c01": 2}


def test_a_class_of_one_group_keeps_its_training_photos(make_catalog):
    photos = classes(3, 8)
    group = pa.array([label if label == "c00" else path for path, label in photos])
    parts = split(make_catalog(photos, group=group), validation="photos")
    assert Counter(parts.training.labels) == {"c00": 8, "c01": 6, "c02": 6}


@pytest.mark.parametrize(
    ("count", "validation", "message"),
    [
        (3, "classes", "1 of its 3 training classes remain .* or take data.validation photos or none"),
        (1, "none", "1 of its 1 training classes remain .* add classes$"),
        (
            2,
            "photos",
            "data.validation photos holds out nothing: of each class half must be left, at least 4 be there",
        ),
    ],
)
def test_too_little_to_train_on(make_catalog, count, validation, message):
    with pytest.raises(InputError, match=message):
        split(make_catalog(classes(count)), "closed-set", validation)


def test_every_photo_trained_on_needs_a_label(make_catalog):
    with pytest.raises(InputError, match="training needs a label for every photo, and 1 of 4"):
        split(make_catalog([*classes(3, 1), ("x.jpg", None)]))


def test_parts_for_the_commands(declared, make_catalog):
    assert part(declared, "all") is declared
    assert names(part(declared, "train")) == ["c00", "c01", "c02", "c04", "c05"]
    assert names(part(declared, "validation")) == ["c01", "c04"]
    assert names(part(declared, "test")) == ["c03"]
    assert set(part(declared, "train", "closed-set").table["split"].to_pylist()) == {"train"}
    assert set(part(declared, "test", "closed-set").table["split"].to_pylist()) == {"test"}
    assert part(make_catalog([("a.jpg", None)]), "train").paths == ["a.jpg"]
    with pytest.raises(InputError, match="has no test photos; a folder marks them by test/CLASS/"):
        part(make_catalog(classes(2)), "test")
    with pytest.raises(InputError, match="has no validation part of its own"):
        part(declared, "validation", "closed-set")


def test_parts_are_those_of_training(declared, make_catalog):
    for catalog in (declared, make_catalog(classes(9))):
        for protocol in ("zero-shot", "closed-set"):
            parts = split(catalog, protocol, "classes")
            if protocol == "zero-shot":
                assert part(catalog, "validation", protocol).paths == parts.validation.paths
            both = sorted([*parts.training.paths, *parts.validation.paths])
            assert sorted(part(catalog, "train", protocol).paths) == both
