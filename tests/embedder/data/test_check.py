"""The check finds what was planted, and says so to people, programs and browsers."""

import json
import shutil
import subprocess
import sys
from base64 import b64encode
from contextlib import suppress
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from embedder.data import check, check_report
from embedder.data.catalog import read_catalog
from embedder.data.check import main, shown_rows
from embedder.data.drawing.field_guide import SPECIES
from embedder.data.drawn_birds import draw_photos
from embedder.embed import main as embed
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.images import BadImage, open_image, photo_id

HEAVY = {"torch", "torchvision", "umap", "numba", "matplotlib"}


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    """Drawn birds of four species, five photos each in training and three in the test."""
    folder = tmp_path_factory.mktemp("birds")
    draw_photos(folder / "train", list(SPECIES)[:4], 5, 96)
    draw_photos(folder / "test", list(SPECIES)[:4], 3, 96, seed=1)
    return folder


@pytest.fixture
def spoilt(birds, tmp_path):
    """The same with one fault of each kind."""
    folder = shutil.copytree(birds, tmp_path / "birds")
    first, second, third, fourth = sorted(path.name for path in (folder / "train").iterdir() if path.is_dir())
    (folder / "train" / first / "0000.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    shutil.copy(folder / "train" / first / "0001.jpg", folder / "test" / second / "copy.jpg")
    image = Image.open(folder / "train" / third / "0002.jpg")
    image.resize((64, 64)).save(folder / "train" / third / "small.jpg", quality=60)
    image.resize((20, 20)).crop((0, 0, 20, 10)).save(folder / "train" / third / "tiny.jpg")
    (folder / "test" / third).rename(folder / "test" / third.upper())
    (folder / "train" / "nothing").mkdir()
    return folder, (first, second, third, fourth)


def kinds(checked):
    return {one.kind: len(one.entries) for one in checked.findings}


def test_nothing_is_found_where_nothing_is_wrong(birds, capsys):
    checked = main(str(birds))
    assert kinds(checked) == dict.fromkeys(
        ["unreadable", "same_photo", "near_copies", "sides", "one_name", "tiny", "lone"], 0
    )
    out = capsys.readouterr().out
    assert out.startswith(f"{birds}: 32 photos of 4 classes; split as given; no protocol declared\n  train 20 photos")
    assert "Nothing found: photos that cannot be read, exact duplicates, near duplicates, " in out
    assert "Not looked for: groups on both sides (the source has none), suspicious labels (--embeddings FOLDER" in out


def test_every_planted_fault_is_found_and_nothing_else(spoilt, capsys):
    folder, (first, second, third, _) = spoilt
    checked = main(str(folder))
    assert kinds(checked) == {
        "unreadable": 1, "same_photo": 1, "near_copies": 1, "sides": 2, "one_name": 1, "tiny": 1, "lone": 1
    }  # fmt: skip
    assert checked.of("unreadable").entries[0].facts["path"] == f"train/{first}/0000.jpg"
    assert checked.of("same_photo").entries[0].text == (
        f"test/{second}/copy.jpg = train/{first}/0001.jpg: labels differ, on both sides"
    )
    assert checked.of("near_copies").entries[0].text == f"train/{third}/0002.jpg = train/{third}/small.jpg"
    assert {*checked.of("one_name").entries[0].facts["labels"]} == {third, third.upper()}
    assert checked.of("tiny").entries[0].text == f"train/{third}/tiny.jpg: 20 x 10 pixels"
    assert checked.of("lone").entries[0].text == "train/nothing: no photo"
    assert "\n\nExact duplicates: 1 group of 2 photos, 1 under several labels, 1 on both sides of the split\n  " in (
        capsys.readouterr().out
    )


def test_json_has_all_of_it_and_the_text_the_first(spoilt, capsys):
    folder, (*_, fourth) = spoilt
    for number in range(4):
        (folder / "train" / fourth / f"empty{number}.jpg").touch()
    main(str(folder), json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["photos"], found["classes"], found["unlabelled"]) == (39, 5, 0)
    assert found["counts"]["train"]["classes"][fourth] == 9
    assert len(found["findings"]["unreadable"]["found"]) == 5
    assert found["findings"]["same_photo"]["found"][0]["both_sides"] is True
    main(str(folder), show=2)
    out = capsys.readouterr().out
    assert "Photos that cannot be read: 5\n" in out
    assert out.count("is empty") + out.count("not an image that") == 2
    assert "  3 more: --report FOLDER or --json\n" in out


def test_photos_that_are_not_there_leave_no_folder(tmp_path):
    with pytest.raises(InputError):
        main(str(tmp_path / "gone"), report=tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_the_page_holds_all_that_it_shows(spoilt, tmp_path, capsys):
    folder, (first, _, third, _) = spoilt
    (folder / "train" / first).rename(folder / "train" / "<b>wren & co")
    main(str(folder), report=tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    assert capsys.readouterr().out.endswith(f"written: {tmp_path / 'report' / 'index.html'}\n")
    for kind in ("unreadable", "same_photo", "near_copies", "sides", "one_name", "tiny", "lone", "samples"):
        assert page.count(f'<section class="section" id="{kind}">') == 1
    assert "<b>wren" not in page
    assert "&lt;b&gt;wren &amp; co" in page
    assert "http" not in page.replace("http-equiv", "")
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; script-src 'none'; style-src 'sha256-{digest}'; img-src data:" in page
    assert page.count("src=") == page.count('src="data:image/jpeg;base64,')
    near = page.partition('<section class="section" id="near_copies">')[2].partition("</section>")[0]
    assert near.count("<img ") == 2
    assert f'alt="train/{third}/small.jpg"' in near
    unreadable = page.partition('<section class="section" id="unreadable">')[2].partition("</section>")[0]
    assert "train/&lt;b&gt;wren &amp; co/0000.jpg: is not an image that" in unreadable.replace("<wbr>", "")
    assert "<figure" not in unreadable
    main(str(folder), report=tmp_path / "report")  # its own page is replaced


def test_the_page_shows_boxes_and_keypoints(birds, tmp_path):
    photo = next((birds / "train").rglob("0000.jpg"))
    (tmp_path / "table.csv").write_text(f"path,label,box\n{photo},a,-50 -50 40 40\n{photo},b,10 10 90 90\n")
    checked = main(str(tmp_path / "table.csv"), report=tmp_path / "report")
    assert kinds(checked)["boxes"] == 1
    page = (tmp_path / "report" / "index.html").read_text()
    assert page.partition('<section class="section" id="boxes">')[2].partition("</section>")[0].count("<img ") == 1


def test_a_page_or_a_file_of_somebody_else_stays(birds, tmp_path):
    (tmp_path / "index.html").write_text("<h1>My birds</h1>")
    with pytest.raises(InputError, match=r"index\.html exists and is no report of embedder\.data\.check"):
        main(str(birds), report=tmp_path)
    with pytest.raises(InputError, match=r"index\.html is a file; give a folder"):
        main(str(birds), report=tmp_path / "index.html")
    assert (tmp_path / "index.html").read_text() == "<h1>My birds</h1>"


def test_what_cannot_be_written_or_read_is_told_before_photos_are_opened(birds, tmp_path, monkeypatch):
    def opened(*_: object) -> None:
        raise AssertionError

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(check, "look_over", opened)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty is not of the kind embeddings or index"):
        main(str(birds), embeddings=tmp_path / "empty")
    monkeypatch.setattr(check_report, "TemporaryFile", refused)
    with pytest.raises(InputError, match=r"report cannot be written into \(Permission denied\); give another folder"):
        main(str(birds), report=tmp_path / "report")


def test_what_was_found_is_told_though_the_page_cannot_be_written(spoilt, tmp_path, monkeypatch, capsys):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(check, "write_report", full)
    with pytest.raises(OSError, match="No space left"):
        main(str(spoilt[0]), report=tmp_path / "report")
    assert "Photos that cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["tiny", "samples", "show"])
def test_numbers_below_nothing_are_refused(birds, option):
    with pytest.raises(InputError, match=f"{option} is -1; it must be at least 0"):
        main(str(birds), **{option: -1})


def test_the_sides_are_those_of_the_protocol(birds):
    checked = main(str(birds), protocol="zero-shot")
    assert checked.protocol == "zero-shot protocol, as asked for"
    assert [one.photos for one in checked.counts] == [16, 16]
    checked = main(str(birds / "train"))
    assert (checked.protocol, [one.side for one in checked.counts]) == ("no test side", ["all"])
    assert checked.left["what is on both sides of the split"] == "there is none"


def test_photos_without_labels_are_looked_over(birds, tmp_path, capsys):
    for number, photo in enumerate(sorted((birds / "train").rglob("*.jpg"))[:3]):
        shutil.copy(photo, tmp_path / f"{number}.jpg")
    shutil.copy(tmp_path / "0.jpg", tmp_path / "3.jpg")
    checked = main(str(tmp_path), report=tmp_path / "report")
    assert kinds(checked)["same_photo"] == 1
    assert "\n4 photos have no label\n" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"zero-shot protocol needs a label for every photo"):
        main(str(tmp_path), protocol="zero-shot")


def test_the_rows_that_show_a_class_are_spread_over_it(birds):
    catalog = read_catalog(birds)
    shown = shown_rows(catalog, 3)
    for name, rows in shown.items():
        own = np.flatnonzero(np.array(catalog.labels) == name)
        assert [own.tolist().index(row) for row in rows] == [0, 3, 7]
    assert {len(rows) for rows in shown_rows(catalog, 99).values()} == {8}
    assert {len(rows) for rows in shown_rows(catalog, 0).values()} == {0}


def test_the_command_is_light_and_leaves_with_0_whatever_it_finds(spoilt):
    code = (
        f"import sys; sys.argv = ['check', {str(spoilt[0])!r}, '--json']; from embedder.data.check import main\n"
        f"from eval.command import run\nrun(main)\nprint('loaded:', *({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("loaded:\n")
    command = [sys.executable, "-m", "embedder.data.check", str(spoilt[0] / "gone")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def embedded(root, out):
    """An embeddings folder by the pretrained network as it is; without the minute that its export takes."""
    import torch

    from embedder.config import ModelSettings
    from embedder.model.network import build_network

    catalog = read_catalog(root)
    rows, pixels = [], []
    for row in range(len(catalog)):
        with suppress(BadImage):
            pixels.append(np.asarray(open_image(catalog.file(row)).resize((128, 128), Image.Resampling.BICUBIC)))
            rows.append(row)
    network = build_network(ModelSettings(head="none", norm="none", pooling="avg")).eval()
    with torch.no_grad():
        vectors = torch.cat([network(batch).vector for batch in torch.from_numpy(np.stack(pixels)).split(32)])
    ids = [photo_id(catalog.file(row).read_bytes()) for row in rows]
    EmbeddingSet(vectors.numpy(), pa.table({"id": ids}), "f").save(out, made_from={}, images_root=None, left_out=[])
    return out


def test_the_faults_planted_in_real_birds_are_found(shared_data, tmp_path):
    """20 species, parted by class: 20 duplicates, 10 wrong labels, 5 broken files and a class on both sides."""
    species = sorted((shared_data / "birds100" / "images").iterdir())[::5]
    for place, folder in enumerate(species):
        target = tmp_path / "photos" / ("train" if place < 10 else "test") / folder.name
        target.mkdir(parents=True)
        for file in sorted(folder.iterdir())[:20]:
            shutil.copy(file, target)
    folders = sorted((tmp_path / "photos").glob("*/*"), key=lambda folder: folder.name)
    copies, wrong, broken = [], [], []
    for place, folder in enumerate(folders):  # every one gives to itself and, the others in turn, to the next one
        first, second, third, *_ = sorted(folder.iterdir())
        copies.append(folders[(place + place % 2 * 10) % 20] / f"copy{place}.jpg")
        if place < 10:
            shutil.copy(first, copies[-1])
        else:
            Image.open(first).resize((150, 150)).save(copies[-1], quality=70)
        if place % 2:
            wrong.append(folders[(place + 4) % 20] / f"wrong{place}.jpg")
            second.rename(wrong[-1])
        if place % 4 == 0:
            broken.append(third)
            third.write_bytes(third.read_bytes()[: 200 * place])
    both = tmp_path / "photos" / "test" / species[3].name
    both.mkdir()
    for file in sorted((tmp_path / "photos" / "train" / species[3].name).glob("00*.jpg"))[-4:]:
        file.rename(both / file.name)
    vectors = embedded(tmp_path / "photos", tmp_path / "vectors")
    checked = main(str(tmp_path / "photos"), embeddings=vectors, report=tmp_path / "report")

    def named(kind):
        return [{(checked.looked.catalog.root / entry["path"]) for entry in one.facts.get("photos", [one.facts])}
                for one in checked.of(kind).entries]  # fmt: skip

    assert len(named("same_photo")) == 10
    assert all(len(found & {*copies[:10]}) == 1 for found in named("same_photo"))
    assert sum(len(found & {*copies[10:]}) == 1 for found in named("near_copies")) == 10
    assert {path for found in named("unreadable") for path in found} == {*broken}
    assert [entry.facts["label"] for entry in checked.of("sides").entries] == [species[3].name]
    suspicious = [path for found in named("labels") for path in found]
    assert len({*wrong} & {*suspicious}) >= 9
    assert len({*suspicious} - {*wrong} - {*copies}) <= 10
    assert (
        checked.of("labels").entries[0].facts["neighbours"][0]["label"]
        == checked.of("labels").entries[0].facts["elected"]
    )


def test_vectors_of_other_photos_are_refused(birds, run_folder, tmp_path):
    draw_photos(tmp_path / "others", list(SPECIES)[4:6], 3, 96)
    vectors = embed(run_folder, str(tmp_path / "others"), out=tmp_path / "vectors")
    with pytest.raises(InputError, match=r"vectors has no vectors of the labelled photos in .*birds.*embedder\.embed"):
        main(str(birds), embeddings=vectors)
