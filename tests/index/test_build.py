import os
import random
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from embedder.embed import main as embed
from embedder.runtime import Embedder
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.images import BadImage
from index import Index, source
from index.build import main
from index.duplicates import distinct
from index.info import main as info
from tests.index.conftest import write_photo


def build_process(*arguments, **options):
    command = [sys.executable, "-m", "index.build", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.fixture
def own_photos(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "photos")
    return tmp_path / "photos"


def test_the_index_holds_what_embedding_gives(built, tiny_embedder, photos, tmp_path):
    embeddings = EmbeddingSet.load(embed(tiny_embedder, str(photos), out=tmp_path / "embeddings"))
    loaded = EmbeddingSet.load(built)
    np.testing.assert_allclose(loaded.vectors, embeddings.vectors, atol=1e-6)
    assert (loaded.ids, loaded.labels, loaded.paths) == (embeddings.ids, embeddings.labels, embeddings.paths)
    assert loaded.fingerprint == embeddings.fingerprint
    index = Index.open(built)
    assert (index.count, index.generation, index.manifest.images_root) == (20, 1, str(photos))
    assert not [path for path in built.iterdir() if path.is_dir()]


def test_the_embedder_travels_with_what_it_was_trained_on(built, tiny_embedder):
    inside = Index.open(built).embedder
    assert inside.path.parent == built
    assert inside.trained_on == Embedder.open(tiny_embedder).trained_on == {"0" * 32, "1" * 32}


def test_an_embedder_that_does_not_say_what_it_was_trained_on(tiny_embedder, photos, tmp_path):
    alone = shutil.copy(tiny_embedder, tmp_path / "embedder.onnx")
    index = Index.open(main(alone, str(photos), out=tmp_path / "a.index"))
    assert index.manifest.trained_on is None
    assert EmbeddingSet.load(index.folder).table["trained_on"].null_count == index.count


def test_trained_on_nothing_is_not_the_same_as_unknown(tiny_embedder, photos, tmp_path):
    frozen = shutil.copy(tiny_embedder, tmp_path / "embedder.onnx")
    np.save(tmp_path / "trained_on.npy", np.array([], dtype="U32"))
    index = Index.open(main(frozen, str(photos), out=tmp_path / "a.index"))
    assert index.embedder.trained_on == frozenset()
    assert not any(EmbeddingSet.load(index.folder).table["trained_on"].to_pylist())


def test_made_from_the_same_is_skipped(tiny_embedder, photos, tmp_path, capsys):
    for _ in range(2):
        main(tiny_embedder, str(photos), out=tmp_path / "a.index")
    assert Index.open(tmp_path / "a.index").generation == 1
    output = capsys.readouterr()
    assert output.out.splitlines() == [str(tmp_path / "a.index")] * 2
    assert "20 references of 4 classes" in output.err
    assert output.err.count("is made already") == 1


def test_one_of_something_is_told_in_the_singular(tiny_embedder, tmp_path, capsys):
    write_photo(tmp_path / "photos" / "wren" / "1.png", 0, 1)
    out = main(tiny_embedder, str(tmp_path / "photos"), out=tmp_path / "a.index")
    assert "1 reference of 1 class, " in capsys.readouterr().err
    info(out)
    assert "1 of 1 class, 1 to 1 a class" in capsys.readouterr().out


def test_made_from_something_else_needs_overwrite_and_leaves_readers_alone(tiny_embedder, own_photos, tmp_path):
    out = main(tiny_embedder, str(own_photos), out=tmp_path / "a.index")
    reader = Index.open(out)
    shutil.rmtree(own_photos / "class-3")
    with pytest.raises(InputError, match=r"was made from something else .* --overwrite to make it anew"):
        main(tiny_embedder, str(own_photos), out=out)
    main(tiny_embedder, str(own_photos), out=out, overwrite=True)
    assert (Index.open(out).generation, Index.open(out).count) == (2, 15)
    assert (reader.generation, reader.count) == (1, 20)
    assert reader.query(own_photos / "class-0" / "00.png").label == "class-0"


def test_another_embedder_or_split_is_something_else(tiny_embedder, other_embedder, photos, tmp_path):
    out = main(tiny_embedder, str(photos), out=tmp_path / "a.index", split="test", protocol="zero-shot")
    assert sorted(set(Index.open(out).labels)) == ["class-2", "class-3"]
    with pytest.raises(InputError, match="split was 'test' and is now 'train'"):
        main(tiny_embedder, str(photos), out=out, split="train", protocol="zero-shot")
    with pytest.raises(InputError, match="embedder was 'tiny' and is now 'other'"):
        main(other_embedder, str(photos), out=out, split="test", protocol="zero-shot")
    main(other_embedder, str(photos), out=out, split="train", protocol="zero-shot", overwrite=True)
    assert sorted(set(Index.open(out).labels)) == ["class-0", "class-1"]
    assert Index.open(out).fingerprint == "other"


def test_unreadable_photos_are_left_out_and_listed(tiny_embedder, own_photos, tmp_path, capsys):
    (own_photos / "class-0" / "broken.jpg").write_text("no photo")
    out = main(tiny_embedder, str(own_photos), out=tmp_path / "a.index")
    (left_out,) = Index.open(out).manifest.left_out
    assert left_out["path"] == "class-0/broken.jpg"
    assert "left out, because they cannot be read: 1" in capsys.readouterr().err
    with pytest.raises(BadImage, match=r"broken.jpg"):
        main(tiny_embedder, str(own_photos), out=tmp_path / "b.index", on_bad_image="error")
    assert not (tmp_path / "b.index").exists()
    with pytest.raises(BadImage, match=r"broken.jpg"):
        main(tiny_embedder, str(own_photos), out=out, on_bad_image="error")
    moved = own_photos.rename(tmp_path / "moved")
    with pytest.raises(InputError, match=r"images_root was .* and is now"):
        main(tiny_embedder, str(moved), out=out)


def test_what_could_not_be_read_when_vectors_were_made_is_listed(tiny_embedder, own_photos, tmp_path):
    (own_photos / "class-0" / "broken.jpg").write_text("no photo")
    vectors = embed(tiny_embedder, str(own_photos), out=tmp_path / "vectors")
    (left_out,) = Index.open(main(tiny_embedder, str(vectors), out=tmp_path / "a.index")).manifest.left_out
    assert left_out["path"] == "class-0/broken.jpg"
    for out in ("a.index", "b.index"):
        with pytest.raises(InputError, match=r"lacks 1 photos that could not be read, such as .*broken.jpg"):
            main(tiny_embedder, str(vectors), out=tmp_path / out, on_bad_image="error")


def test_files_that_have_changed_places_since_vectors_were_made_are_not_shown(tiny_embedder, own_photos, tmp_path):
    vectors = embed(tiny_embedder, str(own_photos), out=tmp_path / "vectors")
    one, other, third = sorted(own_photos.rglob("*.png"))[:3]
    one.rename(tmp_path / "other.png")
    other.rename(one)
    (tmp_path / "other.png").rename(other)
    index = Index.open(main(tiny_embedder, str(vectors), out=tmp_path / "a.index"))
    paths = [own_photos / path for path in index.table["path"].to_pylist()]
    assert [bool(index.thumbnail(paths.index(file))) for file in (one, other, third)] == [False, False, True]


def test_photos_without_labels(tiny_embedder, photos, tmp_path):
    with pytest.raises(InputError, match=r"needs a label for every photo, and 5 of 5 .* folder named after it"):
        main(tiny_embedder, str(photos / "class-0"), out=tmp_path / "a.index")
    assert not (tmp_path / "a.index").exists()


def test_copies_and_conflicts(tiny_embedder, own_photos, tmp_path, capsys):
    shutil.copy(own_photos / "class-0" / "00.png", own_photos / "class-0" / "copy.png")
    shutil.copy(own_photos / "class-0" / "04.png", own_photos / "class-1" / "conflict.png")
    with pytest.raises(InputError, match=r"class-0/04.png as 'class-0' and class-1/conflict.png as 'class-1'"):
        main(tiny_embedder, str(own_photos), out=tmp_path / "a.index")
    assert not (tmp_path / "a.index").exists()
    for on_conflict, count in (("first", 20), ("skip", 19), ("both", 21)):
        index = Index.open(
            main(tiny_embedder, str(own_photos), out=tmp_path / f"{on_conflict}.index", on_conflict=on_conflict)
        )
        assert (index.count, index.manifest.shared_ids) == (count, on_conflict == "both")
        answer = index.query(own_photos / "class-0" / "04.png", 2)
        assert sum(one.same_photo for one in answer.neighbours) == {"first": 1, "skip": 0, "both": 2}[on_conflict]
    assert "the same photo is there with the same label: 1" in capsys.readouterr().err


def test_other_folders_are_left_alone(tiny_embedder, photos, tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="is not an index"):
        main(tiny_embedder, str(photos), out=tmp_path, overwrite=True)
    embeddings = embed(tiny_embedder, str(photos), out=tmp_path / "embeddings")
    before = sorted(path.name for path in embeddings.iterdir())
    with pytest.raises(InputError, match="is not of the kind index but 'embeddings'"):
        main(tiny_embedder, str(photos), out=embeddings, overwrite=True)
    assert sorted(path.name for path in embeddings.iterdir()) == before


def test_killed_while_building(tiny_embedder, photos, tmp_path):
    dice = random.Random(0)
    out = tmp_path / "a.index"
    for overwrite in ([], ["--overwrite"]):
        for _ in range(3):
            with build_process(tiny_embedder, photos, "--out", out, *overwrite) as building:
                while building.poll() is None and not any(out.glob("staging-*")):
                    time.sleep(0.001)
                time.sleep(dice.uniform(0, 0.2))
                building.kill()
            if (out / "manifest.json").exists():
                assert Index.open(out).count == 20
        main(tiny_embedder, str(photos), out=out, overwrite=True)
        assert Index.open(out).count == 20
        assert not any(out.glob("staging-*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission(tiny_embedder, photos, tmp_path):
    tmp_path.chmod(0o500)
    with build_process(tiny_embedder, photos, "--out", tmp_path / "a.index") as building:
        assert "Permission denied" in building.communicate()[1]
    assert building.returncode == 2


def test_a_full_disk_leaves_the_old_index(tiny_embedder, photos, tmp_path):
    import resource

    out = main(tiny_embedder, str(photos), out=tmp_path / "a.index")

    def almost_full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    with build_process(tiny_embedder, photos, "--out", out, "--overwrite", preexec_fn=almost_full) as building:
        errors = building.communicate()[1]
    assert building.returncode == 2
    assert "File too large" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert (Index.open(out).generation, Index.open(out).count) == (1, 20)


def test_an_embedder_that_is_replaced_is_refused(tiny_embedder, other_embedder, photos, tmp_path, monkeypatch):
    """Its vectors would lie beside another network: a training that ends in the run folder does this."""
    model = shutil.copy(tiny_embedder, tmp_path / "embedder.onnx")

    def slow(*arguments):
        found = distinct(*arguments)
        shutil.copy(other_embedder, model)
        return found

    monkeypatch.setattr(source, "distinct", slow)
    with pytest.raises(InputError, match="was replaced while"):
        main(model, str(photos), out=tmp_path / "a.index")
    assert not (tmp_path / "a.index" / "manifest.json").exists()
