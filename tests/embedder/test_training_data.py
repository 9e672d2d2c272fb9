import numpy as np
import pytest
from PIL import Image

from embedder.config import AugmentSettings, Config, DataSettings
from embedder.ranks import ALONE
from embedder.training_data import TrainingData, load_training_data, read_split
from eval.errors import InputError


@pytest.fixture
def table(tmp_path):
    """A table of two photos a class, with keypoints of which it does not say what they are."""
    rows = ["path,label,keypoints"]
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,kind{number % 2},30 10 1  25 8 1  5 20 1")
    (tmp_path / "photos.csv").write_text("\n".join(rows))
    return tmp_path / "photos.csv"


def config(table, names, **augment):
    data = DataSettings(root=str(table), validation="none", size=16, keypoint_names=names)
    return Config(data, AugmentSettings(**augment))


def loaded(settings) -> TrainingData:
    return load_training_data(settings, ALONE, *read_split(settings, ALONE))


def test_keypoints_of_a_table_have_the_names_that_the_settings_say(table):
    data = loaded(config(table, ["beak", "left eye", "tail"], pose_head=1.0, pose_axis=(0.0, 20.0)))
    assert data.photos.keypoint_names == ("beak", "left eye", "tail")
    assert data.views.view((0, 0, 0)).shape == (16, 16, 3)
    assert data.views.keypoints((0, 0, 0))[:, 2].tolist() == [1, 1, 0]


def test_without_names_or_with_too_few_it_is_said_before_the_first_step(table):
    with pytest.raises(InputError, match=r"augment\.pose_head needs to know which keypoint is which"):
        loaded(config(table, [], pose_head=1.0))
    with pytest.raises(InputError, match=r"0\.png has 3 keypoints, and 2 have names \(beak, tail\)"):
        loaded(config(table, ["beak", "tail"]))


@pytest.mark.parametrize(("options", "other"), [({"pose_crop": 0.5}, ["keypoints"]), ({}, [])])
def test_keypoints_that_pose_views_are_part_of_what_is_trained_on(table, options, other):
    """So a run is not resumed with other views than it began with."""
    before = loaded(config(table, [], **options))
    table.write_text(table.read_text().replace("30 10 1", "30 11 1", 1))
    after = loaded(config(table, [], **options))
    assert [name for name, digest in before.digests.items() if after.digests[name] != digest] == other


def test_what_is_scarce_is_said(table, capsys):
    loaded(config(table, ["beak", "left eye", "tail"], pose_head=1.0))
    assert capsys.readouterr().err == ""
    rows = table.read_text().replace(" 1\n", " 0\n").replace("25 8 1", "25 8 0").splitlines()
    table.write_text("\n".join([*rows[:-1], rows[-1].replace("kind1", "kind2").replace("25 8 0", "25 8 1")]))
    loaded(config(table, ["beak", "left eye", "tail"], pose_head=1.0))
    said = capsys.readouterr().err
    assert "classes with a single photo to train on, of which views must do: 2 (kind1, kind2)" in said
    assert "augment.pose_head changes nothing in 3 of 4 photos: two points of the head cannot be seen in them" in said
