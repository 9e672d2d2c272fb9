"""Changes of an index: what all of them do, and what none of them breaks."""

import shutil
import subprocess
import sys
from importlib import import_module

import pyarrow as pa
import pytest

from eval.command import run
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.folders import File
from index import Index
from index.build import main as build
from index.check import main as check
from index.merge import main as merge
from index.relabel import main as relabel
from index.remove import main as remove
from index.selection import select
from index.undo import main as undo
from tests.index.conftest import write_photo
from tests.index.forty import NAMES, VECTORS, held, put


@pytest.mark.parametrize("command", ["add", "remove", "relabel", "undo", "merge"])
def test_a_dry_run_says_the_same_and_does_nothing(command, empty, tmp_path, capsys):
    put(empty, [0, 1, 2], ["a", "b", "a"])
    other = shutil.copytree(empty, tmp_path / "other.index")
    put(other, [5], ["c"])
    before = {path.name: path.read_bytes() for path in empty.iterdir()}
    calls = {
        "add": lambda dry: put(empty, [3, 4, 0], ["a", "b", "a"], dry_run=dry),
        "remove": lambda dry: remove(empty, label="a", dry_run=dry),
        "relabel": lambda dry: relabel(empty, label="a", to="z", dry_run=dry),
        "undo": lambda dry: undo(empty, dry_run=dry),
        "merge": lambda dry: merge(empty, other, dry_run=dry),
    }
    capsys.readouterr()
    would = calls[command](True)
    assert "would be" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in empty.iterdir()} == before
    assert calls[command](False) == would
    assert "would be" not in capsys.readouterr().out


def test_an_empty_path_is_not_all_photos(empty):
    """As a variable of the shell that is not set gives it."""
    put(empty, [0, 1], ["a", "b"])
    for change in (lambda: remove(empty, path=""), lambda: relabel(empty, path="", to="z")):
        with pytest.raises(InputError, match="path is empty"):
            change()
    assert Index.open(empty).count == 2


@pytest.mark.parametrize("change", [remove, lambda index, label: relabel(index, label=label, to="b")])
def test_a_label_is_named_however_it_is_spelt(empty, change):
    """A keyboard makes "\u00e9" one character, where the folder of a photo has two."""
    put(empty, [0, 1], ["cafe\u0301", "b"])
    change(empty, label="caf\u00e9")
    assert Index.open(empty).classes[0] == ["b"]


def test_a_label_that_is_there_is_given_however_it_is_spelt(empty):
    put(empty, [0, 1], ["cafe\u0301", "b"])
    relabel(empty, label="b", to="caf\u00e9")
    assert Index.open(empty).classes[0] == ["cafe\u0301"]
    relabel(empty, label="cafe\u0301", to="caf\u00e9")
    assert Index.open(empty).classes[0] == ["caf\u00e9"]


def test_photos_are_named_by_the_links_that_lead_to_them(tmp_path, tiny_embedder, monkeypatch):
    """The photo that the index names, not the one that it leads to."""
    real = tmp_path / "real"
    for number, place in enumerate(["photos/a/one.png", "photos/a/other.png", "elsewhere/two.png"]):
        (real / place).parent.mkdir(parents=True, exist_ok=True)
        write_photo(real / place, 0, number)
    (tmp_path / "disk").symlink_to(real)
    write_photo(real / "photos" / "three.png", 0, 3)
    (real / "photos" / "three.png").rename(real / "three.png")
    (real / "photos" / "a" / "link.png").symlink_to(real / "three.png")
    (real / "photos" / "b").symlink_to(real / "elsewhere")
    folder = build(tiny_embedder, str(tmp_path / "disk" / "photos"), out=tmp_path / "a.index")

    def named(path):
        index = Index.open(folder)
        rows = select(index, label=None, id=None, path=path)
        return [index.table["path"][row].as_py() for row in rows.tolist()]

    monkeypatch.chdir(tmp_path)
    for above in ("", "disk/photos/", f"{tmp_path}/disk/photos/", f"{real}/photos/"):
        assert named(f"{above}a/link.png") == ["a/link.png"]
        assert named(f"{above}a/one.png") == ["a/one.png"]
        assert named(f"{above}b") == named(f"{above}b/two.png") == ["b/two.png"]
        assert named(f"{above}a/../a/") == ["a/link.png", "a/one.png", "a/other.png"]
    for other in ("/a", "/a/one.png", "b/../a", "disk/photos/b/../a"):  # of the root of all folders; of b's real one
        with pytest.raises(InputError, match="unknown path"):
            named(other)
    assert named("b/../photos/a/one.png") == ["a/one.png"]


def test_what_fits_one_by_one_and_not_together_is_said(empty):
    put(empty, [0, 1], ["a", "b"])
    of_b = Index.open(empty).table["id"][-1].as_py()
    with pytest.raises(InputError, match=r"no reference has the label 'a' and the id .*leave one of them out"):
        remove(empty, label="a", id=of_b)


def test_a_readers_generation_stays(empty):
    put(empty, [0, 1], ["a", "b"])
    reader = Index.open(empty)
    remove(empty, label="a")
    put(empty, [2], ["c"])
    assert reader.count == 2
    assert reader.label(int(reader.search(VECTORS[:1], 1).rows[0, 0])) == "a"


def test_what_is_damaged_is_not_written_anew(empty, monkeypatch):
    monkeypatch.setattr(File.check, "__defaults__", (0,))
    monkeypatch.setattr("eval.folders.File.check.__defaults__", (0,))
    put(empty, [0, 1, 2], ["a", "b", "c"])
    segment = Index.open(empty).manifest.segments[-1]
    path = empty / segment.vectors
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InputError, match=f"{segment.vectors} is damaged: its checksum is wrong"):
        put(empty, [3, 4, 5, 6, 7, 8], ["a"] * 6)
    path.write_bytes(whole)
    put(empty, [3, 4, 5, 6, 7, 8], ["a"] * 6)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    generation = Index.open(empty).generation
    with pytest.raises(InputError, match=f"{segment.vectors} is damaged: its checksum is wrong"):
        undo(empty)
    assert Index.open(empty).generation == generation


def test_both_labels_and_the_new_one_cannot_be_had(empty):
    with pytest.raises(InputError, match="--relabel and --on-conflict both contradict each other"):
        put(empty, [0], ["a"], relabel=True, on_conflict="both")


def test_a_picture_of_references_whose_photos_are_gone(built, photos, tmp_path):
    from index.add import main
    from index.query import main as query

    folder = shutil.copytree(built, tmp_path / "birds.index")
    opened = Index.open(folder)
    vector = opened.embedder.embed([photos / "class-0" / "00.png"])
    one = EmbeddingSet(vector, pa.table({"id": ["f" * 32], "label": ["class-0"]}), opened.fingerprint)
    one.save(tmp_path / "one", made_from={}, images_root=None, left_out=[])
    main(folder, str(tmp_path / "one"))
    query(folder, photos / "class-0" / "00.png", picture=tmp_path / "answers.png")
    with pytest.raises(InputError, match=r"1 cannot be read .*such as f{32}"):
        check(folder, deep=True)


def test_somebody_elses_staging_folder_does_not_fail_a_commit(empty, monkeypatch):
    from index import commit as room

    (empty / "staging-somebody").mkdir()

    def refuse(path):
        raise PermissionError(path)

    monkeypatch.setattr(room, "_remove_abandoned", refuse)
    put(empty, [0], ["a"])
    assert held(empty) == {(NAMES[0], "a")}


def test_no_command_needs_torch(built, photos, tmp_path):
    """Each in a process of its own would take half a minute; what one of them loads, all of them show."""
    folder = shutil.copytree(built, tmp_path / "birds.index")
    other = shutil.copytree(built, tmp_path / "other.index")
    write_photo(tmp_path / "new" / "class-9" / "0.png", 9, 50)
    script = f"""
import sys
from pathlib import Path
from index import add, check, info, merge, relabel, remove, review, undo
folder, new = Path({str(folder)!r}), {str(tmp_path / "new")!r}
add.main(folder, new)
relabel.main(folder, path=new, to="other")
remove.main(folder, label="class-1")
undo.main(folder)
merge.main(folder, Path({str(other)!r}))
check.main(folder, deep=True)
info.main(folder)
review.main(folder, out=folder.with_name("look"))
print(sorted({{"torch", "torchvision", "umap", "numba", "matplotlib"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["remove", "{index}"], "say which references"),
        (["remove", "{index}", "--label", "class-8"], "unknown label 'class-8'; did you mean 'class-"),
        (["undo", "{index}"], "keeps no generation before it"),
        (["add", "{index}", "{nothing}"], "does not exist"),
        (["add", "{index}", "{index}"], "is an index; merge it: python -m index.merge"),
        (["merge", "{index}", "{nothing}"], "does not exist; give a folder made by index.build"),
        (["relabel", "{index}", "--label", "class-1", "--to", ""], "the new label is empty"),
        (["check", "{index}", "--sample", "0"], "it must be at least 1"),
        (["calibrate", "{index}"], "references are photos that the embedder was not trained on; 200 are the least"),
        (["calibrate", "{nothing}"], "does not exist"),
        (["info", "{nothing}"], "does not exist"),
        (["review", "{nothing}"], "does not exist"),
        (["review", "{index}", "--k", "0"], "k is 0; it must be at least 1"),
        (["review", "{index}", "--out", "{index}"], "exists and is not of the kind 'review'"),
    ],
)
def test_mistakes_are_one_line(built, tmp_path, arguments, message, capsys):
    before = {path.name: path.read_bytes() for path in built.iterdir() if path.name != "index.lock"}
    words = [word.format(index=built, nothing=tmp_path / "nothing") for word in arguments]
    with pytest.raises(SystemExit) as left:
        run(import_module(f"index.{words[0]}").main, words[1:])
    assert left.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert {path.name: path.read_bytes() for path in built.iterdir() if path.name != "index.lock"} == before
    assert not (tmp_path / "nothing").exists()
