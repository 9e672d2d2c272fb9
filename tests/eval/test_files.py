import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from eval import files
from eval.errors import InputError


class HalfwayError(Exception):
    """Something that goes wrong in the middle of writing."""


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_replacing_keeps_the_old_file_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    with files.replacing(path) as beside:
        beside.write_text("old")
    with files.replacing(path) as beside:
        beside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(path.parent) == ["file.txt"]


def test_replacing_leaves_nothing_behind_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(HalfwayError), files.replacing(path) as beside:
        beside.write_text("half")
        raise HalfwayError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_new_folder_replaces_the_whole_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name in ("old", "new"):
        with files.new_folder(folder) as beside:
            (beside / "sub").mkdir()
            (beside / "sub" / name).write_text(name)
    assert [path.name for path in folder.rglob("*")] == ["sub", "new"]
    assert names(tmp_path) == ["folder"]


def test_the_folder_that_one_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path / "folder")
    with files.new_folder(Path()) as beside, files.replacing(beside / "new") as part:
        assert beside.is_absolute()
        part.touch()
    assert names(tmp_path / "folder") == ["new"]
    monkeypatch.chdir(tmp_path)
    with files.replacing(Path("file")) as part:
        assert part.is_absolute()
        part.touch()


def test_a_link_stays_and_leads_to_what_is_new(tmp_path: Path) -> None:
    (tmp_path / "disk" / "vectors").mkdir(parents=True)
    (tmp_path / "disk" / "vectors" / "old").touch()
    (tmp_path / "disk" / "table.csv").write_text("old")
    for name, place in (("out", "vectors"), ("later", "not yet"), ("table.csv", "table.csv")):
        (tmp_path / name).symlink_to(tmp_path / "disk" / place)
    for name in ("out", "later"):
        with files.new_folder(tmp_path / name) as folder:
            (folder / "new").touch()
        assert [path.name for path in (tmp_path / name).iterdir()] == ["new"]
    with files.replacing(tmp_path / "table.csv") as beside:
        beside.write_text("new")
    assert all((tmp_path / name).is_symlink() for name in ("out", "later", "table.csv"))
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["not yet", "table.csv", "vectors"]
    assert (tmp_path / "disk" / "table.csv").read_text() == "new"


def test_where_a_disk_is_mounted_nothing_can_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, link = tmp_path / "disk", tmp_path / "link"
    disk.mkdir()
    link.symlink_to(disk)
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == str(disk))
    for folder in (disk, link):
        with pytest.raises(InputError, match="is where a disk is mounted, which cannot be replaced; give a folder in"):
            files.already_made(folder, "embeddings", {}, overwrite=False, names=("x",))
    assert not files.already_made(disk, "index", {}, overwrite=False)


def test_new_folder_keeps_the_old_one_when_the_block_fails(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").write_text("old")
    with pytest.raises(HalfwayError), files.new_folder(folder) as beside:
        (beside / "half").write_text("half")
        raise HalfwayError
    assert names(folder) == ["old"]
    assert names(tmp_path) == ["folder"]


def test_everything_is_on_the_disk_before_the_new_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    rename, replace = os.rename, os.replace
    monkeypatch.setattr(files, "sync", lambda path: events.append(f"sync {[*path.name.split('.'), path.name][1]}"))
    monkeypatch.setattr(os, "rename", lambda old, new: (events.append("rename"), rename(old, new)))
    monkeypatch.setattr(os, "replace", lambda old, new: (events.append("replace"), replace(old, new)))
    parent = tmp_path / "x.parent"
    with files.replacing(parent / "file") as beside:
        beside.write_text("text")
    assert events[1:] == ["sync file", "replace", "sync parent"]
    events.clear()
    with files.new_folder(parent / "folder") as beside:
        (beside / "x.inner").write_text("text")
    assert events == ["sync inner", "sync folder", "rename", "sync parent"]


def test_json_round_trip_keeps_letters_readable(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"label": "Zaunkönig", "count": 3})
    assert files.read_json(tmp_path / "a.json") == {"label": "Zaunkönig", "count": 3}
    assert "Zaunkönig" in (tmp_path / "a.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", [b'{"half": ', b"\xff\xfe", b""])
def test_damaged_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json is damaged"):
        files.read_json(tmp_path / "a.json")


def test_missing_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.json does not exist"):
        files.read_json(tmp_path / "a.json")


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 999
    (tmp_path / "file").write_bytes(content)
    assert files.sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def made(folder: Path, made_from: dict[str, object]) -> Path:
    folder.mkdir()
    files.write_json(folder / files.MANIFEST, {"kind": "set", "made_from": made_from})
    return folder


def test_what_was_made_from_the_same_is_made_already(tmp_path: Path) -> None:
    folder = made(tmp_path / "out", {"embedder": "abc", "size": 128})
    assert files.already_made(folder, "set", {"size": 128, "embedder": "abc"}, overwrite=False)
    assert not files.already_made(folder, "set", {"size": 128, "embedder": "abc"}, overwrite=True)


def test_nothing_is_made_in_a_missing_or_empty_folder(tmp_path: Path) -> None:
    assert not files.already_made(tmp_path / "missing", "set", {}, overwrite=False)
    assert not files.already_made(tmp_path, "set", {}, overwrite=False)


@pytest.mark.parametrize("now", [{"size": 224}, {"size": 128, "split": "test"}, {}])
def test_something_else_is_an_error_that_names_the_difference(tmp_path: Path, now: dict[str, object]) -> None:
    folder = made(tmp_path / "out", {"size": 128})
    with pytest.raises(InputError, match=r"(size was 128 and is now (224|None)|split was None and is now 'test')"):
        files.already_made(folder, "set", now, overwrite=False)
    assert not files.already_made(folder, "set", now, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("manifest", [None, '{"kind": "index", "made_from": {}}', "[1]", '{"kind": "set"}'])
def test_what_is_of_another_kind_is_refused_even_to_overwrite(tmp_path: Path, manifest: str | None, overwrite) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"photo")
    if manifest is not None:
        (tmp_path / files.MANIFEST).write_text(manifest)
    for place in (tmp_path, tmp_path / "holiday.jpg"):
        with pytest.raises(InputError, match="exists and is not of the kind 'set'; choose another name"):
            files.already_made(place, "set", {}, overwrite)


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    rename = os.rename

    def failing(source, target):
        if Path(target).name == "out" and Path(source).suffix == ".part":
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OSError, match="Input/output"), files.new_folder(tmp_path / "out") as beside:
        (beside / "new").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "old").read_text() == "old"


def test_what_somebody_put_into_a_folder_is_not_overwritten(tmp_path: Path) -> None:
    folder = made(tmp_path / "out", {"size": 128})
    assert not files.already_made(folder, "set", {}, overwrite=True, names=[files.MANIFEST])
    (folder / "notes.txt").write_text("precious")
    with pytest.raises(InputError, match=r"notes\.txt in it would be lost"):
        files.already_made(folder, "set", {}, overwrite=True, names=[files.MANIFEST])
    assert files.already_made(folder, "set", {"size": 128}, overwrite=False, names=[files.MANIFEST])


def test_one_process_at_a_time(tmp_path: Path) -> None:
    script = "from pathlib import Path; from eval.files import alone\nwith alone(Path('here'), 'busy'): print('in')"
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with files.alone(tmp_path / "here"):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert "InputError: busy" in done.stderr
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "in\n"


def test_a_home_folder_of_nobody() -> None:
    with pytest.raises(InputError, match="a user who is not known"):
        files.at_home("~nobody-of-that-name/x")


def test_what_a_file_system_cannot_flush_fully_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS, in a folder of another machine."""
    import fcntl

    def unknown(*_: int) -> None:
        raise OSError(45, "Operation not supported")

    flushed: list[int] = []
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", unknown)
    monkeypatch.setattr(os, "fsync", flushed.append)
    monkeypatch.setattr("sys.platform", "darwin")
    files.sync(tmp_path)
    monkeypatch.setattr(fcntl, "fcntl", lambda *_: None)
    files.sync(tmp_path)
    assert len(flushed) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="nobody waits there")
def test_a_folder_that_is_removed_while_it_is_locked_is_made_again(tmp_path, monkeypatch):
    opened, tries = os.open, []

    def removed(path, flags):
        tries.append(path)
        if len(tries) == 1:
            path.rmdir()
        return opened(path, flags)

    monkeypatch.setattr(os, "open", removed)
    with files.alone(tmp_path / "here"):
        assert (tmp_path / "here").is_dir()
    assert len(tries) == 2


def test_what_the_block_meets_is_not_another_process(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError), files.alone(tmp_path, "busy"):
        raise BlockingIOError
