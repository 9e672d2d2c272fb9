import io
import json
import shutil
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.folders import checksum, flat_header
from eval.images import photo_id, thumbnail
from eval.pictures import COLUMNS, SIDES, Pictures, sheets

COLOURS = ["#c03020", "#20a040", "#3050c0", "#c0b020", "#804090", "#208090"]


@pytest.fixture
def plain(tmp_path: Path, random_vectors) -> tuple[Path, EmbeddingSet]:
    """An embeddings folder of six photos, each of one colour; the second is cut to a box of another colour."""
    (tmp_path / "photos").mkdir()
    for row, colour in enumerate(COLOURS):
        image = Image.new("RGB", (80, 60), colour)
        if row == 1:
            image.paste(Image.new("RGB", (20, 20), "white"), (10, 10))
        image.save(tmp_path / "photos" / f"{row}.png")
    boxes = [[10.0, 10.0, 30.0, 30.0] if row == 1 else None for row in range(6)]
    table = pa.table(
        {
            "id": list("abcdef"),
            "label": list("aabbcc"),
            "path": [f"{row}.png" for row in range(6)],
            "box": pa.array(boxes, pa.list_(pa.float32(), 4)),
        }
    )
    one = EmbeddingSet(random_vectors(6), table, "f")
    one.save(tmp_path / "vectors", made_from={}, images_root=tmp_path / "photos", left_out=[])
    return tmp_path / "vectors", one


def index_folder(folder: Path, embeddings: EmbeddingSet, photos: list[bytes], deleted: list[int], cut: int = 4) -> Path:
    """An index folder as ``index.build`` makes it, in two segments, as far as ``eval`` reads it."""
    folder.mkdir()
    cuts, files, segments = [0, cut, len(photos)], {}, []
    for number, (start, end) in enumerate(pairwise(cuts), 1):
        names = [f"vectors-{number}.faiss", f"references-{number}.feather", f"thumbnails-{number}.bin"]
        sizes = np.array([len(photo) for photo in photos[start:end]])
        table = embeddings.table.slice(start, end - start).drop_columns("box")
        table = table.append_column("thumbnail_offset", pa.array(np.cumsum(sizes) - sizes))
        pa.feather.write_feather(
            table.append_column("thumbnail_size", pa.array(sizes)), folder / names[1], compression="uncompressed"
        )
        header = flat_header(end - start, embeddings.vectors.shape[1])
        (folder / names[0]).write_bytes(header + embeddings.vectors[start:end].tobytes())
        (folder / names[2]).write_bytes(b"".join(photos[start:end]))
        segments.append(dict(zip(("vectors", "references", "thumbnails"), names, strict=True)) | {"count": end - start})
    manifest = {
        "kind": "index", "format": 1, "fingerprint": "f", "dimension": embeddings.vectors.shape[1], "files": files,
        "segments": segments, "label_changes": {}, "deleted": deleted,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps({**manifest, "checksum": checksum(manifest)}))
    return folder


def middle(image: Image.Image) -> tuple[int, ...]:
    return image.getpixel((image.width // 2, image.height // 2))


def near(one: tuple[int, ...], colour: str) -> bool:
    return bool(np.abs(np.subtract(one, Image.new("RGB", (1, 1), colour).getpixel((0, 0)))).max() <= 12)


def test_photos_are_found_cut_and_counted_through_all_folders(plain) -> None:
    folder, one = plain
    pictures = Pictures.of([folder, folder], [one, one])
    for number in (0, 2, 6, 8, 11):
        assert near(middle(pictures.open(number, 60)), COLOURS[number % 6])
    assert pictures.open(1, 60).size == (20, 20) and near(middle(pictures.open(7, 60)), "white")
    with pytest.raises(IndexError):
        pictures.open(12, 60)


def test_photos_of_an_index_are_its_thumbnails(plain, tmp_path: Path) -> None:
    """Also where some of its references are deleted, and where the photos themselves are gone."""
    _, one = plain
    photos = [thumbnail(Image.new("RGB", (90, 50), colour)) for colour in COLOURS]
    index = index_folder(tmp_path / "made.index", one, photos, deleted=[0, 4])
    read = EmbeddingSet.load(index)
    assert read.ids == list("bcdf")
    pictures = Pictures.of([index], [read])
    shown = [middle(pictures.open(row, 50)) for row in range(4)]
    assert all(near(one, COLOURS["abcdef".index(name)]) for one, name in zip(shown, "bcdf", strict=True))
    with pytest.raises(InputError, match="has been changed meanwhile"):
        Pictures.of([index], [one])


def test_an_index_that_was_written_anew_meanwhile_is_told(plain, tmp_path: Path) -> None:
    """With as many references, but its thumbnails lie elsewhere in their files."""
    _, one = plain
    photos = [thumbnail(Image.new("RGB", (90, 50), colour)) for colour in COLOURS]
    folder = index_folder(tmp_path / "made.index", one, photos, deleted=[])
    read = EmbeddingSet.load(folder)
    shutil.rmtree(folder)
    index_folder(folder, one, photos, deleted=[], cut=len(photos) - 1)
    with pytest.raises(InputError, match="has been changed meanwhile"):
        Pictures.of([folder], [read])


def test_photos_that_have_moved_are_missing(plain) -> None:
    folder, one = plain
    (folder.parent / "photos" / "3.png").unlink()
    pictures = Pictures.of([folder], [one])
    assert pictures.open(3, 60) is None
    assert sorted(pictures.jpegs(range(6), 32)) == [0, 1, 2, 4, 5]
    made = sheets(pictures, np.arange(6), 10**6)
    assert made.places.tolist() == [0, 1, 2, -1, 4, 5]
    assert (made.asked, made.missing) == (6, 1)


def test_a_photo_that_is_another_one_by_now_is_not_shown_for_it(plain) -> None:
    """Where the ids are of photos' contents; who else names photos may change them."""
    folder, one = plain
    photos = [(folder.parent / "photos" / f"{row}.png").read_bytes() for row in range(6)]
    boxes = [box and tuple(box) for box in one.table["box"].to_pylist()]
    ids = [photo_id(*both) for both in zip(photos, boxes, strict=True)]
    named = EmbeddingSet(one.vectors, one.table.set_column(0, "id", pa.array(ids)), "f")
    root = folder.parent / "photos"
    named.save(folder.parent / "named", made_from={"catalog": "c"}, images_root=root, left_out=[])
    (folder.parent / "photos" / "3.png").write_bytes(photos[0])
    assert sorted(Pictures.of([folder.parent / "named"], [named]).jpegs(range(6), 32)) == [0, 1, 2, 4, 5]
    assert sorted(Pictures.of([folder], [one]).jpegs(range(6), 32)) == [0, 1, 2, 3, 4, 5]


def test_nobody_says_where_the_photos_are(tmp_path: Path, random_vectors) -> None:
    one = EmbeddingSet(random_vectors(2), pa.table({"id": ["a", "b"], "label": ["x", "x"]}), "f")
    one.save(tmp_path / "vectors", made_from={}, images_root=None, left_out=[])
    assert Pictures.of([tmp_path / "vectors"], [one]).open(0, 32) is None


def test_jpegs_are_whole_and_no_larger_than_asked(plain) -> None:
    folder, one = plain
    (picture,) = Pictures.of([folder], [one]).jpegs([4], 40).values()
    image = Image.open(io.BytesIO(picture))
    assert (image.format, image.size) == ("JPEG", (40, 30)) and near(middle(image), COLOURS[4])


def test_each_photo_stands_at_its_place_on_the_sheets(plain) -> None:
    """More than one sheet holds; they come in an order of our own."""
    folder, one = plain
    pictures = Pictures.of([folder], [one])
    numbers = np.random.default_rng(0).integers(0, 6, COLUMNS * COLUMNS + 9)
    numbers[numbers == 1] = 0
    made = sheets(pictures, numbers, 10**7)
    assert (made.side, len(made.pictures), made.missing) == (SIDES[0], 2, 0)
    images = [Image.open(io.BytesIO(sheet)).convert("RGB") for sheet in made.pictures]
    for number, place in zip(numbers, made.places, strict=True):
        sheet, inside = divmod(int(place), COLUMNS * COLUMNS)
        row, column = divmod(inside, COLUMNS)
        at = (column * made.side + made.side // 2, row * made.side + made.side // 2)
        assert near(images[sheet].getpixel(at), COLOURS[number])


def test_a_budget_makes_photos_smaller_and_then_fewer(tmp_path: Path) -> None:
    noise = [Image.effect_noise((96, 96), 90).convert("RGB") for _ in range(4)]
    pictures = Pictures((400,), (lambda row, _: noise[row % 4],))
    numbers = np.arange(400)
    free = sheets(pictures, numbers, 10**9)
    assert (free.side, free.asked) == (SIDES[0], 400)
    size = sum(map(len, free.pictures))
    tight = sheets(pictures, numbers, size // 3)
    assert SIDES[-1] < tight.side < SIDES[0] and tight.asked == 400
    assert sum(map(len, tight.pictures)) <= size // 3 * 1.1
    least = sheets(pictures, numbers, size // 40)
    assert least.side == SIDES[-1] and 10 < least.asked < 300
    assert (least.places >= 0).sum() == least.asked
    kept = np.flatnonzero(least.places >= 0)
    assert np.diff(kept).max() - np.diff(kept).min() <= 1  # evenly drawn


def test_no_photos_at_all() -> None:
    made = sheets(Pictures((0,), (lambda row, _: Image.new("RGB", (1, 1)),)), np.arange(0), 10)
    assert (made.pictures, len(made.places), made.asked, made.missing) == ([], 0, 0, 0)


def test_the_hostile_set_has_what_it_says(hostile: SimpleNamespace) -> None:
    pictures = Pictures.of([hostile.vectors], [hostile.set])
    assert [row for row in range(120) if pictures.open(row, 32) is None] == hostile.gone
