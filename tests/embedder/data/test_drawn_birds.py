import subprocess
import sys
from itertools import count

import numpy as np
import pytest
from PIL import Image

from embedder.data import drawn_birds as room
from embedder.data.catalog import read_catalog
from embedder.data.drawing.bird import KEYPOINT_NAMES, draw_bird
from embedder.data.drawing.field_guide import SPECIES, TEST, TRAINING, VALIDATION
from embedder.data.drawn_birds import draw_photos, individual, main, read
from eval.errors import InputError


@pytest.fixture
def few(monkeypatch):
    """One small photo a species instead of the whole set."""
    monkeypatch.setattr(room, "PHOTOS_PER_SPECIES", 1)
    monkeypatch.setattr(room, "SIDE", 32)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder with three small photos a species."""
    folder = tmp_path_factory.mktemp("drawn") / "birds"
    draw_photos(folder, tuple(SPECIES), 3, 32)
    return folder


def bytes_in(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_catalog(drawn):
    catalog = read(drawn)
    assert len(catalog) == 48 * 3
    assert catalog.table.column_names == ["path", "label", "split", "subject_box", "keypoints"]
    assert catalog.keypoint_names == KEYPOINT_NAMES
    assert catalog.name == "drawn_birds"
    assert catalog.classes == list(SPECIES)
    assert np.bincount(catalog.codes).tolist() == [3] * 48
    assert catalog.table["split"].to_pylist() == ["train", "train", "test"] * 48
    classes = catalog.class_split
    assert (classes.training, classes.validation, classes.test) == (TRAINING, VALIDATION, TEST)


def test_the_photos_are_those_of_draw_bird(drawn):
    catalog = read(drawn)
    for row in (0, 71, 143):
        name = catalog.labels[row]
        bird = draw_bird(SPECIES[name], individual(name, row % 3), 32)
        photo = Image.open(catalog.file(row))
        assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (32, 32))
        assert np.abs(np.asarray(photo, int) - np.asarray(bird.image, int)).mean() < 6
        assert tuple(catalog.table["subject_box"][row].as_py()) == bird.box
        keypoints = np.array(catalog.table["keypoints"][row].as_py())
        assert keypoints.shape == (len(KEYPOINT_NAMES), 3)
        np.testing.assert_allclose(keypoints, bird.keypoints, rtol=1e-6)


def test_no_two_photos_share_pose_and_place():
    individuals = {individual(name, number) for name in SPECIES for number in range(1000)}
    assert len(individuals) == 48 * 1000


def test_birds_are_drawn_once_into_the_cache(few, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("FIELDMARK_CACHE", str(tmp_path))
    first = read_catalog("drawn_birds")
    assert first.root == tmp_path / "drawn-birds-1"
    assert "48/48" in capfd.readouterr().err
    before = first.digest()
    monkeypatch.setattr(room, "draw_bird", None)
    assert read_catalog("drawn_birds").digest() == before
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_drawing_that_is_broken_off_leaves_nothing(few, tmp_path, monkeypatch, error):
    calls = count()

    def broken(*args, **options):
        if next(calls) == 5:
            raise error
        return draw_bird(*args, **options)

    monkeypatch.setattr(room, "draw_bird", broken)
    with pytest.raises(error):
        read(tmp_path / "birds")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(room, "draw_bird", draw_bird)
    assert len(read(tmp_path / "birds")) == 48


def test_a_folder_of_something_else_is_refused_and_kept(few, tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"a photo")
    with pytest.raises(InputError, match="is not of the kind 'drawn birds'"):
        read(tmp_path)
    assert bytes_in(tmp_path) == {room.Path("holiday.jpg"): b"a photo"}


def test_two_processes_that_draw_at_once_do_no_harm(tmp_path):
    code = (
        "import sys; from pathlib import Path; from embedder.data import drawn_birds as room\n"
        "room.PHOTOS_PER_SPECIES, room.SIDE = 1, 32\n"
        "print(room.read(Path(sys.argv[1])).digest())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "birds")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert outputs[0][0] == outputs[1][0]
    assert sum("drawing birds" in errors for _, errors in outputs) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["birds"]


def test_reading_imports_no_torch(drawn):
    code = (
        "import sys; from pathlib import Path; from embedder.data.drawn_birds import read; read(Path(sys.argv[1]))\n"
        "print({'torch', 'torchvision', 'matplotlib', 'umap', 'numba'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code, drawn], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_the_command_draws_any_number_of_any_species(tmp_path, capsys):
    names = "Grey Tuftlet, Pale Duneling,Grey Tuftlet"
    few, many = tmp_path / "few", tmp_path / "many"
    assert main(few, species=names, count=2, side=40) == few
    assert capsys.readouterr().out.strip() == str(few)
    main(many, species="Pale Duneling", count=4, side=40)
    for number in range(2):
        name = f"Pale_Duneling/{number:04d}.jpg"
        assert (few / name).read_bytes() == (many / name).read_bytes()
    catalog = read(few)
    assert catalog.classes == ["Grey Tuftlet", "Pale Duneling"]
    assert catalog.class_split is None
    assert len(read(many)) == 4


def test_the_command_draws_once_and_again_only_when_told(tmp_path):
    out = tmp_path / "birds"
    main(out, species="Grey Tuftlet", count=1, side=32)
    before = out.stat().st_ino
    main(out, species="Grey Tuftlet", count=1, side=32)
    assert out.stat().st_ino == before
    with pytest.raises(InputError, match="count was 1 and is now 2"):
        main(out, species="Grey Tuftlet", count=2, side=32)
    main(out, species="Grey Tuftlet", count=2, side=32, overwrite=True)
    assert len(read(out)) == 2


def test_the_command_draws_a_plate(tmp_path):
    picture = tmp_path / "pictures" / "plate.png"
    assert main(plate=picture, species="Grey Tuftlet") == picture
    assert Image.open(picture).format == "PNG"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"species": "Grey Tuflet"}, "unknown species 'Grey Tuflet'; did you mean 'Grey Tuftlet'"),
        ({"count": 0}, "count is 0"),
        ({"side": 8}, "side is 8; it must be at least 32"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_mistakes_are_told(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        main(tmp_path / "birds", **options)
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_draw_is_told():
    with pytest.raises(InputError, match="nothing to draw"):
        main()


def test_the_command_line(tmp_path):
    command = [sys.executable, "-m", "embedder.data.drawn_birds", str(tmp_path / "out"), "--species", "Grey Tuftlet"]
    result = subprocess.run([*command, "--count", "1", "--side", "32"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout.strip()) == (0, str(tmp_path / "out"))
    result = subprocess.run([*command, "--count", "none"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
