import hashlib
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from embedder.config import AugmentSettings, Config, DataSettings
from embedder.data import photos as module
from embedder.data.catalog import TYPES, Catalog, label_column, read_catalog
from embedder.data.loading import make_loader
from embedder.data.photos import EpochBatches, LostPhoto, TrainingPhotos, check_photos, load_training_photos
from embedder.data.sampler import ClassBalancedSampler
from embedder.ranks import Ranks
from eval.errors import InputError
from eval.images import open_photo

STILL = AugmentSettings(
    crop_share=(1.0, 1.0), crop_aspect=(0.01, 100.0), mirror=0, brightness=0, contrast=0, saturation=0
)
"""Settings under which a view is the whole photo, squashed to a square."""


def make(folder, settings=None, size=24, seed=5):
    catalog, ids, _ = check_photos(read_catalog(folder))
    return catalog, TrainingPhotos(catalog, ids, settings or AugmentSettings(hue=0.1, erase=0.5), size, seed)


def loaded(photos, batches, workers):
    loader = make_loader(photos, batches, workers)
    return [(images, labels.tolist(), rows.tolist()) for images, labels, rows in loader]


def test_any_number_of_workers_gives_the_same_pixels(photo_folder):
    catalog, photos = make(photo_folder)
    batches = EpochBatches(ClassBalancedSampler(catalog.codes, 6, 2, 0), 0, 5)
    alone = loaded(photos, batches, 1)
    assert [images.shape for images, _, _ in alone] == [(6, 24, 24, 3)] * 5
    assert alone[0][0].dtype == torch.uint8
    for epoch, row, view in [key for keys in batches for key in keys][:6]:
        place = alone[0][2].index(row)
        assert np.array_equal(alone[0][0][place], photos.view((epoch, row, view)))
        assert alone[0][1][place] == catalog.codes[row]
    for workers in (0, 2, 5):
        for ours, theirs in zip(loaded(photos, batches, workers), alone, strict=True):
            assert torch.equal(ours[0], theirs[0])
            assert ours[1:] == theirs[1:]


def test_a_view_depends_on_seed_epoch_photo_and_view_alone(photo_folder):
    catalog, photos = make(photo_folder)
    views = {(e, r, v): photos.view((e, r, v)).tobytes() for e in range(2) for r in range(12) for v in range(2)}
    assert len(set(views.values())) == len(views)
    mixed = catalog.select(np.arange(12)[::-1])
    _, ids, _ = check_photos(mixed)
    turned = TrainingPhotos(mixed, ids, AugmentSettings(hue=0.1, erase=0.5), 24, 5)
    for (epoch, row, view), pixels in views.items():
        assert turned.view((epoch, 11 - row, view)).tobytes() == pixels
    assert not np.array_equal(make(photo_folder, seed=6)[1].view((0, 0, 0)), photos.view((0, 0, 0)))


def test_labels_start_at_0_and_follow_the_rows(photo_folder):
    catalog, photos = make(photo_folder)
    later = catalog.select(catalog.codes >= 1)
    photos = TrainingPhotos(later, ["0"] * len(later), AugmentSettings(), 8, 0)
    assert photos.codes.tolist() == [row // 4 for row in range(8)]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16", "1", "LA"])
def test_pixels_are_rgb_whatever_the_mode(tmp_path, mode):
    name = "a.tif" if mode == "CMYK" else "a.png"
    Image.new(mode, (30, 20)).save(tmp_path / name)
    _, photos = make(tmp_path)
    assert photos.view((0, 0, 0)).shape == (24, 24, 3)


def test_only_the_box_is_seen(tmp_path):
    pixels = np.zeros((40, 60, 3), dtype=np.uint8)
    pixels[10:30, 20:50] = (10, 200, 30)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    box = pa.array([[20, 10, 50, 30], None], TYPES["box"])
    table = pa.table({"path": ["a.png", "a.png"], "label": label_column(["x", "y"]), "box": box})
    catalog, ids, _ = check_photos(Catalog(table, tmp_path, "test"))
    photos = TrainingPhotos(catalog, ids, STILL, 8, 0)
    assert np.unique(photos.view((0, 0, 0)).reshape(-1, 3), axis=0).tolist() == [[10, 200, 30]]
    assert photos.view((0, 1, 0))[0, 0].tolist() == [0, 0, 0]
    content = (tmp_path / "a.png").read_bytes()
    box_bytes = np.array([20, 10, 50, 30], dtype="<f8").tobytes()
    assert ids == [hashlib.sha256(content + extra).hexdigest()[:32] for extra in (box_bytes, b"")]


def spotted(folder, name, shape, place, box=None, **saved):
    """A catalog of one photo with one soft white spot, which is its second keypoint; the first is not visible."""
    across, down = np.meshgrid(np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5)
    spread = min(shape) / 30
    light = 255 * np.exp(-((across - place[0]) ** 2 + (down - place[1]) ** 2) / (2 * spread**2))
    image = Image.fromarray(np.repeat(light[..., None], 3, axis=-1).round().astype(np.uint8))
    if "exif" in saved:
        image = image.transpose(Image.Transpose.ROTATE_90)  # stored on its side
    image.save(folder / name, **saved)
    columns = {
        "path": [name],
        "label": label_column(["wren"]),
        "box": pa.array([box], TYPES["box"]),
        "keypoints": pa.array([[[3.0, 4.0, 0.0], [*place, 1.0]]], TYPES["keypoints"]),
    }
    return Catalog(pa.table(columns), folder, "test", keypoint_names=("left eye", "right eye"))


def lying():
    """EXIF that says that a photo is stored on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("name", "shape", "place", "box", "saved"),
    [
        ("a.png", (90, 60), (40, 22), None, {}),
        ("a.png", (90, 60), (40, 22), (12.7, 5.2, 70.1, 50), {}),
        ("a.png", (90, 60), (40, 22), (-9, -9, 70, 50), {}),
        ("a.jpg", (60, 90), (31, 40), None, {"exif": lying(), "quality": 98}),
        ("a.jpg", (960, 640), (500, 300), None, {"quality": 98}),
        ("a.jpg", (960, 640), (500, 300), (101.5, 63, 901, 603), {"quality": 98}),
        ("a.jpg", (640, 960), (300, 500), (63, 101.5, 603, 901), {"exif": lying(), "quality": 98}),
    ],
)
def test_keypoints_are_where_the_pixels_are(tmp_path, cached, name, shape, place, box, saved):
    """Cut out, upright, decoded at a reduced size, and from the cache of squares."""
    catalog = spotted(tmp_path, name, shape, place, box, **saved)
    settings = AugmentSettings((0.8, 1.0), rotate=10.0, brightness=0.0, contrast=0.0, saturation=0.0)
    data = DataSettings(size=40, cache=str(tmp_path / "cache") if cached else None)
    photos = load_training_photos(catalog, Config(data, settings))[3]
    rows, columns = np.indices((40, 40)) + 0.5
    compared = set()
    for number in range(24):
        light, points = photos.view((0, 0, number))[..., 0].astype(float), photos.keypoints((0, 0, number))
        turned = points[0, 2] == 1  # the left eye is seen in a mirror, the right eye otherwise
        assert points[:, 2].tolist() in ([0, 1], [1, 0])
        expected = points[0 if turned else 1, :2]
        light[light < 200 - 60] = 0  # what lies beyond the photo is grey
        centre = np.array([(light * columns).sum(), (light * rows).sum()]) / light.sum()
        if abs(expected - 20).max() < 16:
            assert abs(centre - expected).max() < 0.5
            compared.add(turned)
    assert compared == {True, False}


def test_what_is_cut_away_cannot_be_seen(tmp_path):
    catalog = spotted(tmp_path, "a.png", (90, 60), (40, 22), (50, 5, 80, 50))
    _, ids, _ = check_photos(catalog)
    photos = TrainingPhotos(catalog, ids, STILL, 24, 0)
    assert photos.keypoints((0, 0, 0))[:, 2].tolist() == [0, 0]
    for augment, message in (
        (AugmentSettings(pose_crop=1.0), "augment.pose_crop needs photos in which a keypoint can be seen"),
        (AugmentSettings(pose_axis=(0.0, 20.0)), "augment.pose_axis needs photos in which a head and a tail can be"),
    ):
        with pytest.raises(InputError, match=message):
            TrainingPhotos(catalog, ids, augment, 24, 0)


def test_photos_without_keypoints_are_refused_before_any_is_decoded(photo_folder, monkeypatch):
    monkeypatch.setattr(module, "check_photos", lambda *_: pytest.fail("decoded"))
    config = Config(augment=AugmentSettings(pose_head=0.2))
    with pytest.raises(InputError, match=r"augment\.pose_head needs keypoints, and the photos in .* have none"):
        load_training_photos(read_catalog(photo_folder), config)


@pytest.mark.parametrize("ahead", [0, 3])
def test_a_photo_that_is_lost_is_named_in_one_line(photo_folder, ahead):
    catalog, photos = make(photo_folder)
    (photo_folder / "raven" / "2.png").unlink()
    batches = EpochBatches(ClassBalancedSampler(catalog.codes, 12, 4, 0), 0, 1)
    with pytest.raises(LostPhoto) as error:
        next(make_loader(photos, batches, ahead=ahead))
    file = photo_folder / "raven" / "2.png"
    assert str(error.value) == f"{file}: does not exist; it could be read when training began"


def test_settings_are_checked(photo_folder):
    with pytest.raises(InputError, match=r"augment\.mirror is 2"):
        make(photo_folder, AugmentSettings(mirror=2))


def test_batches_of_a_run_go_on_from_any_step(photo_folder):
    catalog, _ = make(photo_folder)
    sampler = ClassBalancedSampler(catalog.codes, 4, 2, 0)
    assert sampler.steps == 3
    whole = list(EpochBatches(sampler, 0, 8))
    assert whole[4] == [(1, *draw) for draw in sampler.batches(1)[1]]
    assert [key[0] for batch in whole for key in batch[:1]] == [0, 0, 0, 1, 1, 1, 2, 2]
    for first in range(9):
        rest = EpochBatches(sampler, first, 8)
        assert list(rest) == whole[first:]
        assert len(rest) == 8 - first


@pytest.mark.parametrize("count", [2, 3, 4])
def test_ranks_share_each_batch_out(photo_folder, count):
    """One after another their shares are the whole batch: no photo is left out, none is drawn twice."""
    catalog, _ = make(photo_folder)
    sampler = ClassBalancedSampler(catalog.codes, 4, 2, 0)
    shares = [EpochBatches(sampler, 0, 8, Ranks(rank=rank, count=count)) for rank in range(count)]
    whole = list(EpochBatches(sampler, 0, 8))
    assert [[key for share in batch for key in share] for batch in zip(*shares, strict=True)] == whole
    assert all(len({*catalog.codes[[row for _, row, _ in batch]]}) == 2 for batch in whole)


@pytest.fixture
def mixed_folder(photo_folder):
    """The folder with an unreadable photo in each of two classes, and a class without a readable one."""
    (photo_folder / "crow" / "text.jpg").write_text("not a photo")
    whole = (photo_folder / "rook" / "1.png").read_bytes()
    (photo_folder / "rook" / "1.png").write_bytes(whole[: len(whole) // 2])
    (photo_folder / "jay").mkdir()
    (photo_folder / "jay" / "empty.png").touch()
    return photo_folder


def test_unreadable_photos_are_left_out_with_their_reasons(mixed_folder):
    catalog, ids, left_out = check_photos(read_catalog(mixed_folder))
    assert [entry["path"] for entry in left_out] == ["crow/text.jpg", "jay/empty.png", "rook/1.png"]
    assert left_out[1]["reason"] == "is empty"
    assert all(entry["reason"] for entry in left_out)
    assert catalog.classes == ["crow", "raven", "rook"]
    assert np.bincount(catalog.codes).tolist() == [4, 4, 3]
    assert ids == [hashlib.sha256(catalog.file(row).read_bytes()).hexdigest()[:32] for row in range(11)]


def test_unreadable_photos_can_be_an_error(mixed_folder):
    with pytest.raises(
        InputError, match=r"3 of 14 photos in .* cannot be read \(first: crow/text.jpg: is not an image"
    ):
        check_photos(read_catalog(mixed_folder), "error")


def test_nothing_readable_is_an_error(tmp_path):
    (tmp_path / "a.jpg").write_text("not a photo")
    with pytest.raises(InputError, match="1 of 1 photos"):
        check_photos(read_catalog(tmp_path))


def test_an_empty_catalog_stays_empty(photo_folder):
    assert [len(each) for each in check_photos(read_catalog(photo_folder).select([]))] == [0, 0, 0]


@pytest.mark.parametrize(("pose_head", "decoded"), [(0.0, 40), (1.0, 160)])
def test_photos_are_checked_at_the_size_of_their_views(tmp_path, monkeypatch, pose_head, decoded):
    """At a quarter of their pixels a side, which are five times those of a view; for the head alone, whole."""
    catalog = spotted(tmp_path, "a.jpg", (160, 160), (80, 80), None)
    sides = []

    def open_and_look(*asked):
        name, image = open_photo(*asked)
        sides.append(image.width)
        return name, image

    monkeypatch.setattr(module, "open_photo", open_and_look)
    monkeypatch.setattr(module, "check_keypoints", lambda *_: None)
    settings = AugmentSettings(crop_share=(1.0, 1.0), pose_head=pose_head)
    load_training_photos(catalog, Config(DataSettings(size=8), settings))
    assert sides == [decoded]


@pytest.mark.parametrize("cached", [False, True])
def test_aspects_are_relative_where_that_is_asked_for(tmp_path, cached):
    """Of a photo four times as wide as high, all of it or a square."""
    stripes = np.repeat(np.arange(0, 240, 30, dtype=np.uint8), 40)
    Image.fromarray(np.broadcast_to(stripes, (80, 320))).convert("RGB").save(tmp_path / "a.png")
    columns = {"path": ["a.png"], "label": label_column(["wren"])}
    catalog = Catalog(pa.table(columns), tmp_path, "test")
    seen = {}
    for relative in (True, False):
        settings = replace(STILL, crop_share=(0.95, 1.0), crop_aspect=(0.99, 1.01), relative_aspect=relative)
        data = DataSettings(size=64, fit="squash", cache=str(tmp_path / "cache") if cached else None)
        view = load_training_photos(catalog, Config(data, settings))[3].view((0, 0, 0))
        seen[relative] = len(np.unique(view[32].mean(axis=-1).round(-1) // 30))
    assert seen[True] == 8
    assert seen[False] <= 4


def test_a_head_is_cut_out_of_all_the_pixels_that_a_photo_has(tmp_path):
    """Lines of a pixel each on a head of 80 pixels in a large photo: a view shows them, or an even grey."""
    pixels = np.full((1536, 2048, 3), 128, np.uint8)
    pixels[700:780, 900:980:2] = 255
    pixels[700:780, 901:980:2] = 0
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=100, subsampling=0)
    points = [[[905.0, 705.0, 1.0], [975.0, 775.0, 1.0]]]
    columns = {"path": ["a.jpg"], "label": label_column(["wren"]), "keypoints": pa.array(points, TYPES["keypoints"])}
    catalog = Catalog(pa.table(columns), tmp_path, "test", keypoint_names=("beak", "crown"))
    settings = replace(STILL, pose_head=1.0, mirror=0.0)
    view = load_training_photos(catalog, Config(DataSettings(size=128), settings))[3].view((0, 0, 0))
    assert view[48:80, 48:80].std() > 40
