import json
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from embedder import Embedder
from embedder.batches import embed_catalog
from embedder.data.catalog import read_catalog
from embedder.embed import main
from embedder.export import export
from embedder.preprocess import Preprocessing
from eval import images
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.images import BadImage, open_image, photo_id, picture_hash

HEAVY = {"torch", "torchvision", "timm", "umap", "numba", "matplotlib"}


def noise(width=20, height=20, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def photos(tmp_path):
    """Two classes, a photo each that is odd, and three files that are no photos although they are called so."""
    folder = tmp_path / "photos"
    for label in ("wren", "tit"):
        (folder / label).mkdir(parents=True)
        for number in range(3):
            noise(seed=number + 10 * len(label)).save(folder / label / f"{number}.jpg")
    noise(30, 20).convert("L").save(folder / "wren" / "grey.png")
    noise(30, 20).convert("CMYK").save(folder / "tit" / "print.jpg")
    (folder / "wren" / "text.jpg").write_text("this is no photo")
    (folder / "tit" / "empty.jpg").touch()
    whole = (folder / "tit" / "0.jpg").read_bytes()
    (folder / "tit" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    return folder


BROKEN = {"wren/text.jpg", "tit/empty.jpg", "tit/cut.jpg"}


def test_the_folder_holds_each_readable_photo(photos, run_folder, tmp_path, capsys):
    out = main(run_folder, str(photos), out=tmp_path / "vectors")
    told = capsys.readouterr()
    assert told.out == f"{tmp_path / 'vectors'}\n"
    saved = EmbeddingSet.load(out)
    assert saved.table.column_names[:3] == ["id", "path", "label"]
    assert len(saved) == 8
    assert saved.fingerprint == Embedder.open(run_folder).fingerprint
    files = [photos / path for path in saved.paths]
    assert saved.ids == [photo_id(file.read_bytes()) for file in files]
    assert saved.labels == [file.parent.name for file in files]
    np.testing.assert_allclose(saved.vectors, Embedder.open(run_folder).embed(files), atol=1e-6)


def test_photos_of_a_shard_are_those_of_a_folder(photos, run_folder, tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        for number, file in enumerate(sorted(photos.rglob("[0-9].jpg"))):
            (tmp_path / "cls").write_text(file.parent.name)
            shard.add(file, f"{number}.jpg")
            shard.add(tmp_path / "cls", f"{number}.cls")
    packed = EmbeddingSet.load(main(run_folder, str(tmp_path / "shard.tar"), out=tmp_path / "packed"))
    plain = EmbeddingSet.load(main(run_folder, str(photos), out=tmp_path / "plain"))
    known = {one: (label, vector) for one, label, vector in zip(plain.ids, plain.labels, plain.vectors, strict=True)}
    assert len(packed) == 6
    for one, label, vector in zip(packed.ids, packed.labels, packed.vectors, strict=True):
        assert known[one][0] == label
        np.testing.assert_allclose(vector, known[one][1], atol=1e-6)
    again = main(run_folder, str(tmp_path / "shard.tar"), out=tmp_path / "packed")  # the same photos: nothing to do
    assert EmbeddingSet.load(again).ids == packed.ids


@pytest.mark.parametrize("classes", [None, [], ["wren", "robin"]])
def test_the_table_says_what_was_trained_on(photos, run_folder, small_network, tmp_path, classes):
    """Without a list of ids, or of classes, it is not known."""
    for path in BROKEN:
        (photos / path).unlink()
    seen = photo_id((photos / "wren" / "1.jpg").read_bytes())
    summary = {} if classes is None else {"classes_trained_on": classes}
    (tmp_path / "run").mkdir()
    export(small_network(), Preprocessing(16), tmp_path / "run" / "embedder.onnx", summary)
    if classes:
        np.save(tmp_path / "run" / "trained_on.npy", np.array([seen]))
    table = EmbeddingSet.load(main(tmp_path / "run", str(photos), out=tmp_path / "vectors")).table.to_pylist()
    for row in table:
        assert row["trained_on"] == (row["id"] == seen if classes else None)
        assert row["class_trained_on"] == (None if classes is None else row["label"] in classes)
        assert row["picture_hash"] == picture_hash(open_image(photos / row["path"]))


def test_unreadable_photos_are_counted_and_named(photos, run_folder, tmp_path, capsys):
    out = main(run_folder, str(photos), out=tmp_path / "vectors")
    manifest = json.loads((out / "manifest.json").read_text())
    assert {photo["path"] for photo in manifest["left_out"]} == BROKEN
    assert all(photo["reason"] for photo in manifest["left_out"])
    told = capsys.readouterr().err
    assert "left out, because they cannot be read: 3" in told
    assert all(path in told for path in BROKEN)


def test_only_the_first_of_many_unreadable_photos_are_named(photos, run_folder, tmp_path, capsys):
    for number in range(20):
        (photos / "tit" / f"bad{number:02}.jpg").touch()
    main(run_folder, str(photos), out=tmp_path / "vectors")
    told = capsys.readouterr().err
    assert "cannot be read: 23" in told
    assert told.count(".jpg: ") == 5
    assert f"and 18 more, listed in {tmp_path / 'vectors' / 'manifest.json'}" in told


def test_photos_of_every_bad_kind_are_told_and_the_odd_ones_embedded(run_folder, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    noise().save(folder / "good.jpg")
    noise(1, 1).save(folder / "pixel.png")
    noise(10_000, 1).save(folder / "wide.png")
    whole = (folder / "good.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("1", (30_000, 30_000)).save(folder / "bomb.png")
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)  # where it has been there before
    images._formats.cache_clear()
    out = main(run_folder, str(folder), out=tmp_path / "vectors")
    images._formats.cache_clear()
    assert EmbeddingSet.load(out).table["path"].to_pylist() == ["good.jpg", "pixel.png", "wide.png"]
    told = capsys.readouterr().err
    assert "left out, because they cannot be read: 3" in told
    assert "bomb.png: has more than 150 million pixels, too many to decode safely; make it smaller" in told
    assert "cut.jpg: is not an image that can be read (" in told
    assert "phone.heic: is a HEIC photo, which needs the package pillow-heif here" in told


def test_a_photo_that_is_replaced_meanwhile_is_all_of_it_as_it_was(run_folder, tmp_path, monkeypatch):
    path = tmp_path / "photos" / "one.png"
    path.parent.mkdir()
    noise(seed=1).save(path)
    before = path.read_bytes()
    noise(seed=2).save(tmp_path / "other.png")
    read = images.read_file

    def replaced_when_read(file):
        content = read(file)
        shutil.copy(tmp_path / "other.png", file)
        return content

    monkeypatch.setattr(images, "read_file", replaced_when_read)
    embedder = Embedder.open(run_folder)
    (batch,) = embed_catalog(embedder, read_catalog(path.parent))
    assert batch.embeddings.ids == [photo_id(before)]
    assert batch.embeddings.table["picture_hash"].to_pylist() == [picture_hash(open_image(before))]
    np.testing.assert_allclose(batch.embeddings.vectors, embedder.embed([before]), atol=1e-6)


def test_an_unreadable_photo_can_stop_the_work(photos, run_folder, tmp_path):
    with pytest.raises(BadImage, match=r"cut\.jpg"):
        main(run_folder, str(photos), out=tmp_path / "vectors", on_bad_image="error")
    assert not (tmp_path / "vectors").exists()
    main(run_folder, str(photos), out=tmp_path / "vectors")
    with pytest.raises(BadImage, match=r"cut\.jpg"):
        main(run_folder, str(photos), out=tmp_path / "vectors", on_bad_image="error")
    assert len(EmbeddingSet.load(tmp_path / "vectors")) == 8


def test_photos_that_have_moved_are_something_else(photos, run_folder, tmp_path):
    out = main(run_folder, str(photos), out=tmp_path / "vectors")
    moved = photos.rename(tmp_path / "moved")
    with pytest.raises(InputError, match=r"images_root was '.*/photos' and is now '.*/moved'"):
        main(run_folder, str(moved), out=out)


def test_no_readable_photo_at_all(run_folder, tmp_path):
    (tmp_path / "photos" / "wren").mkdir(parents=True)
    for number in range(40):
        (tmp_path / "photos" / "wren" / f"{number}.jpg").write_text("none")
    with pytest.raises(InputError, match=r"none of the 40 photos .* \(first: .*wren.0\.jpg: "):
        main(run_folder, str(tmp_path / "photos"), out=tmp_path / "vectors")


def test_made_once_and_anew_for_other_photos_or_another_part(photos, run_folder, tmp_path, capsys):
    out = main(run_folder, str(photos), out=tmp_path / "vectors")
    before = (out / "vectors.npy").stat().st_mtime_ns
    capsys.readouterr()
    main(run_folder, str(photos), out=out)
    assert capsys.readouterr().out == f"{out}\n"
    assert (out / "vectors.npy").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="split was 'all' and is now 'test'"):
        main(run_folder, str(photos), out=out, split="test", protocol="zero-shot")
    noise(seed=99).save(photos / "wren" / "new.jpg")
    with pytest.raises(InputError, match="catalog was"):
        main(run_folder, str(photos), out=out)
    main(run_folder, str(photos), out=out, overwrite=True)
    assert len(EmbeddingSet.load(out)) == 9


def test_other_folders_are_never_overwritten(photos, run_folder):
    before = sorted(photos.rglob("*"))
    for out in (photos, photos / "wren" / "0.jpg"):
        with pytest.raises(InputError, match="exists and is not of the kind 'embeddings'"):
            main(run_folder, str(photos), out=out, overwrite=True)
    assert sorted(photos.rglob("*")) == before


def test_split_and_protocol_choose_the_part(photos, run_folder, tmp_path):
    """Zero-shot without declared classes: the first half of them (tit) to train on, the other (wren) as the test."""
    out = main(run_folder, str(photos), out=tmp_path / "vectors", split="test", protocol="zero-shot")
    assert set(EmbeddingSet.load(out).labels) == {"wren"}


def test_boxes_are_cut_out(photos, run_folder, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(f"path,label,box\n{photos}/wren/0.jpg,wren,2 3 12 15\n")
    (batch,) = embed_catalog(Embedder.open(run_folder), read_catalog(table))
    content = (photos / "wren" / "0.jpg").read_bytes()
    assert batch.embeddings.ids == [photo_id(content, (2, 3, 12, 15))]
    embedder = Embedder.open(run_folder)
    expected = embedder.vectors(embedder.prepare(content, (2, 3, 12, 15))[None])
    np.testing.assert_allclose(batch.embeddings.vectors, expected, atol=1e-6)


def test_batches_hold_what_the_hook_gave_for_each_photo(run_folder, tmp_path):
    (tmp_path / "photos" / "wren").mkdir(parents=True)
    for number in range(70):
        noise(10 + number, 9, seed=number).save(tmp_path / "photos" / "wren" / f"{number:02}.png")
    (tmp_path / "photos" / "wren" / "00.png").write_text("none")
    catalog = read_catalog(tmp_path / "photos")
    batches = list(embed_catalog(Embedder.open(run_folder), catalog, on_photo=lambda image: (image.mode, image.size)))
    assert [len(batch.embeddings) for batch in batches] == [31, 32, 6]
    assert [extra for batch in batches for extra in batch.extras] == [("RGB", (10 + n, 9)) for n in range(1, 70)]
    assert [batch.left_out for batch in batches][1:] == [[], []]
    assert pa.concat_tables([batch.embeddings.table for batch in batches]).num_rows == 69


def test_a_batch_without_a_readable_photo_in_the_middle(run_folder, tmp_path):
    (tmp_path / "photos" / "wren").mkdir(parents=True)
    for number in range(100):
        path = tmp_path / "photos" / "wren" / f"{number:02}.png"
        path.write_text("none") if 32 <= number < 64 else noise(seed=number).save(path)
    out = main(run_folder, str(tmp_path / "photos"), out=tmp_path / "vectors")
    assert len(EmbeddingSet.load(out)) == 68


def loaded(*arguments):
    """Run Python in a process of its own; the heavy modules that it has loaded at its end."""
    code = f"{'; '.join(arguments)}; import sys; print('loaded:', *({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.rpartition("loaded:")[2].split()


def test_the_import_is_light():
    assert loaded("import torch") == ["torch"]
    assert loaded("import embedder, embedder.runtime, embedder.embed") == []


def test_the_command_is_light(photos, run_folder, tmp_path):
    command = f"main(Path({str(run_folder)!r}), {str(photos)!r}, out=Path({str(tmp_path / 'vectors')!r}))"
    assert loaded("from pathlib import Path", "from embedder.embed import main", command) == []


def test_the_profile_names_each_stage(photos, run_folder, tmp_path, capsys):
    main(run_folder, str(photos), out=tmp_path / "vectors", profile=True)
    rows = [line.split("  ")[0] for line in capsys.readouterr().err.rpartition("stage ")[2].splitlines()[1:]]
    assert {"list the photos", "read", "decode", "preprocess", "network", "write", "total"} <= {*rows}


def test_the_command_line(photos, run_folder, tmp_path):
    shutil.rmtree(photos / "tit")
    command = [sys.executable, "-m", "embedder.embed", run_folder, photos, "--out", tmp_path / "vectors"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'vectors'}\n")
    assert "photo/s" in done.stderr
    assert "wren/text.jpg" in done.stderr
    done = subprocess.run([*command, "--split", "test"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
