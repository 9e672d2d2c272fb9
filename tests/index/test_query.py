import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.contact_sheet import contact_sheet
from eval.errors import InputError
from eval.images import open_image, thumbnail
from index import Index, query
from index.build import main as build
from index.explained import draw
from index.query import main

HEAVY = {"torch", "torchvision", "umap", "numba", "matplotlib"}


def test_people_get_the_answer_and_the_evidence(built, photos, capsys):
    main(built, photos / "class-1" / "05.png", photos / "class-2" / "06.png", k=3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{built}: 20 references, generation 1, uncalibrated: ")
    assert lines[1:4] == ["", str(photos / "class-1" / "05.png"), "  class-1, 100% of the vote"]
    assert lines[4] == "    1   1.000  class-1  class-1/05.png  (the same photo: no vote)"
    assert len(lines) == 1 + 2 * 6
    assert "\n".join(lines).count("uncalibrated") == 1


def test_the_profile_names_each_stage(built, photos, capsys):
    main(built, photos / "class-1" / "05.png", profile=True)
    rows = [line.split("  ")[0] for line in capsys.readouterr().err.splitlines()[1:]]
    expected = ["open the index", "open the network", "read", "decode", "preprocess", "network", "search", "answer"]
    assert [row for row in rows if row in expected] == expected
    assert rows[-1] == "total"


def test_json_keeps_the_order_and_tells_errors(built, photos, tmp_path, capsys):
    (tmp_path / "text.jpg").write_text("no photo")
    good = photos / "class-1" / "05.png"
    main(built, tmp_path / "text.jpg", good, tmp_path / "nothing.jpg", json=True, k=2)
    output = capsys.readouterr()
    bad, answer, missing = json.loads(output.out)
    assert bad == {"query": str(tmp_path / "text.jpg"), "error": bad["error"]}
    assert "not an image that can be read" in bad["error"]
    assert missing == {"query": str(tmp_path / "nothing.jpg"), "error": "does not exist"}
    assert (answer["query"], answer["label"], len(answer["neighbours"])) == (str(good), "class-1", 2)
    assert [line.startswith("left out: ") for line in output.err.splitlines()] == [True, True]


def test_a_folder_stands_for_its_photos(built, photos, tmp_path, capsys):
    shutil.copytree(photos / "class-0", tmp_path / "new" / "deep")
    (tmp_path / "new" / "notes.txt").touch()
    (tmp_path / "new" / "._b.png").touch()
    (tmp_path / "new" / "folder.jpg").mkdir()
    (tmp_path / "new" / "b.png").write_bytes((photos / "class-0" / "04.png").read_bytes())
    main(built, tmp_path / "new", json=True)
    names = [answer["query"] for answer in json.loads(capsys.readouterr().out)]
    assert names == [str(tmp_path / "new" / name) for name in ("b.png", *(f"deep/{n:02}.png" for n in range(0, 20, 4)))]


def test_no_photo_could_be_answered(built, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"none of the photos could be answered \(2\)"):
        main(built, tmp_path / "empty", tmp_path / "nothing.jpg", json=True)
    assert [answer["error"] for answer in json.loads(capsys.readouterr().out)] == ["holds no photos", "does not exist"]


def test_the_picture_shows_every_photo_without_the_references(built, photos, tmp_path, capsys):
    shutil.copytree(built, tmp_path / "a.index")
    for name in ("05", "09"):
        shutil.copy(photos / "class-1" / f"{name}.png", tmp_path)
    (tmp_path / "text.jpg").touch()
    sizes = []
    for count, queries in enumerate(([], ["09.png"], ["09.png", "text.jpg"])):
        paths = [tmp_path / name for name in ("05.png", *queries)]
        main(tmp_path / "a.index", *paths, k=3, picture=tmp_path / f"{count}.png")
        with Image.open(tmp_path / f"{count}.png") as picture:
            sizes.append(picture.size)
    assert sizes[0][1] < sizes[1][1] < sizes[2][1]


def test_a_picture_of_an_unknown_kind_is_refused_before_any_work(tmp_path):
    with pytest.raises(InputError, match=r"out.pdf is no name for a picture; it must end in .png"):
        main(tmp_path / "nothing.index", tmp_path / "a.jpg", picture=tmp_path / "out.pdf")


def test_two_pictures_of_one_name_are_refused_before_any_work(tmp_path):
    with pytest.raises(InputError, match=r"--picture and --explain are both .*out.png; give two names"):
        main(
            tmp_path / "no.index", tmp_path / "a.jpg", picture=tmp_path / "out.png", explain=tmp_path / "." / "out.png"
        )


def test_a_picture_called_as_a_folder_is_refused_before_any_work(tmp_path):
    (tmp_path / "out.png").mkdir()
    with pytest.raises(InputError, match=r"out.png is a folder; give the picture another name"):
        main(tmp_path / "nothing.index", tmp_path / "a.jpg", picture=tmp_path / "out.png")


def test_the_picture_never_takes_the_place_of_a_photo(built, photos, tmp_path, monkeypatch):
    shutil.copy(photos / "class-1" / "05.png", tmp_path)
    content = (tmp_path / "05.png").read_bytes()
    monkeypatch.chdir(tmp_path)
    for asked in (Path("05.png"), tmp_path):
        with pytest.raises(InputError, match=r"05\.png is one of the photos to answer; give the picture another name"):
            main(tmp_path / "nothing.index", asked, picture=tmp_path / "05.png")
    assert (tmp_path / "05.png").read_bytes() == content


def test_a_link_to_itself_is_reported_and_the_other_photos_are_answered(built, photos, tmp_path, capsys):
    shutil.copy(photos / "class-1" / "05.png", tmp_path)
    (tmp_path / "06.png").symlink_to(tmp_path / "06.png")
    (tmp_path / "below").symlink_to(tmp_path / "below")
    first, second = main(built, tmp_path, picture=tmp_path / "out.jpg")
    assert first.label == "class-1"
    assert str(second) == f"{tmp_path / '06.png'}: does not exist"
    assert "06.png: does not exist" in capsys.readouterr().err


def test_the_picture_has_the_right_photos_in_the_right_order_and_frames(built, photos, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        query, "contact_sheet", lambda rows, columns: drawn.extend(rows) or contact_sheet(rows, columns)
    )
    asked = [photos / "class-1" / "05.png", photos / "class-2" / "06.png"]
    answers = main(built, *asked, k=12, picture=tmp_path / "out.png")
    for photo, answer, row in zip(asked, answers, drawn, strict=True):
        assert (row.title, row.query.tobytes()) == (answer.label, decoded(thumbnail(open_image(photo))))
        for tile, one in zip(row.tiles, answer.neighbours, strict=True):
            assert tile.image.tobytes() == decoded(thumbnail(open_image(photos / one.path)))
            assert tile.similarity == one.similarity
            assert tile.caption == ("the same photo: no vote" if one.same_photo else one.label)
            assert tile.frame == ("same" if one.label == answer.label and not one.same_photo else "other")
        assert {tile.frame for tile in row.tiles} == {"same", "other"}


def decoded(jpeg):
    return Image.open(io.BytesIO(jpeg)).tobytes()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_picture_of_many_photos_leaves_some_out_and_says_so(built, photos, tmp_path, monkeypatch, capsys, suffix):
    monkeypatch.setattr(query, "MOST_PHOTOS", 2)
    monkeypatch.setattr(query, "MOST_REFERENCES", 7)
    monkeypatch.setattr(query, "PICTURES", {suffix: (query.PICTURES[suffix][0], 400)})
    drawn = []
    monkeypatch.setattr(query, "contact_sheet", lambda rows, **more: drawn.extend(rows) or contact_sheet(rows, **more))
    main(built, photos / "class-1", k=9, picture=tmp_path / f"out{suffix}")
    told = capsys.readouterr().err
    assert "left out of the picture: 3 of 5 photos\n" in told
    assert "left out of the picture: all but 7 references of each photo\n" in told
    with Image.open(tmp_path / f"out{suffix}") as picture:
        assert max(picture.size) == 400
    assert [len(row.tiles) for row in drawn] == [7, 7]


def test_a_k_below_one_is_refused_before_anything_is_said(built, photos, capsys):
    with pytest.raises(InputError, match="k is 0; it must be at least 1"):
        main(built, photos, k=0)
    assert capsys.readouterr().out == ""


def run_command(*arguments):
    command = [sys.executable, "-m", "index.query", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_exit_statuses(built, photos, tmp_path):
    good, bad = photos / "class-1" / "05.png", tmp_path / "nothing.jpg"
    for arguments, status in (((built, good, bad), 0), ((built, bad), 2), ((built, good, "--k", 0), 2)):
        done = run_command(*arguments)
        assert done.returncode == status
        assert "Traceback" not in done.stderr
        if status:
            assert done.stderr.splitlines()[-1].startswith("error: ")


def test_building_and_querying_need_no_torch(tiny_embedder, photos, tmp_path):
    script = f"""
import sys
from pathlib import Path
from index import build, query
out = build.main(Path({str(tiny_embedder)!r}), {str(photos)!r}, out=Path({str(tmp_path / "a.index")!r}))
query.main(out, Path({str(photos / "class-1")!r}), picture=Path({str(tmp_path / "a.png")!r}))
query.main(out, Path({str(photos / "class-1")!r}), rerank="k-reciprocal")
query.main(out, Path({str(photos / "class-1")!r}), explain=Path({str(tmp_path / "why.png")!r}))
print(sorted({HEAVY!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_photos_of_one_subject_are_one_query(built, photos, tmp_path, capsys):
    chosen = [photos / "class-1" / "05.png", photos / "class-2" / "06.png", tmp_path / "text.jpg"]
    chosen[2].write_text("no photo")
    (found,) = main(built, *chosen, k=20, together=True, json=True)
    output = capsys.readouterr()
    (printed,) = json.loads(output.out)
    assert printed["query"] == f"{chosen[0]}, {chosen[1]}"
    assert output.err.startswith(f"left out: {chosen[2]}")
    index = Index.open(built)
    vectors = index.embedder.embed(chosen[:2]).astype(np.float64)
    rows = [neighbour.row for neighbour in found.neighbours]
    means = (index.vectors(np.arange(20)).astype(np.float64) @ vectors.T).mean(axis=1)
    np.testing.assert_allclose([neighbour.similarity for neighbour in found.neighbours], means[rows], atol=1e-6)
    assert rows == np.argsort(-means, kind="stable").tolist()
    same = {neighbour.path for neighbour in found.neighbours if neighbour.same_photo}
    assert same == {"class-1/05.png", "class-2/06.png"}
    (alone,) = main(built, chosen[0], k=5, together=True)
    (usual,) = main(built, chosen[0], k=5)
    assert [one.row for one in alone.neighbours] == [one.row for one in usual.neighbours]


def test_nothing_can_be_answered_together(built, tmp_path, capsys):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_text("no photo")
    with pytest.raises(InputError, match=r"none of the photos could be answered \(1\)"):
        main(built, tmp_path / "a.jpg", tmp_path / "b.jpg", together=True)
    with pytest.raises(InputError, match="give one at least"):
        Index.open(built).query_together([])
    with pytest.raises(InputError, match="cancel each other out"):
        Index.open(built).judge(np.zeros(48))


def test_a_picture_of_several_photos_of_one_subject(built, photos, tmp_path, monkeypatch, capsys):
    """The first may be one that cannot be read."""
    drawn = []
    monkeypatch.setattr(
        query, "contact_sheet", lambda rows, columns: drawn.extend(rows) or contact_sheet(rows, columns)
    )
    (tmp_path / "text.jpg").write_text("no photo")
    asked = [tmp_path / "text.jpg", photos / "class-1" / "05.png", photos / "class-1" / "01.png"]
    (answer,) = main(built, *asked, together=True, picture=tmp_path / "out.png")
    assert "left out: " in capsys.readouterr().err
    (row,) = drawn
    assert row.title == answer.label
    assert row.query.tobytes() == decoded(thumbnail(open_image(asked[1])))
    assert row.subtitle.endswith("class-1/05.png · one of 2 photos of it")
    drawn.clear()
    main(built, *asked[:2], together=True, picture=tmp_path / "out.png")
    assert drawn[0].subtitle.endswith("class-1/05.png")


def test_a_picture_says_what_is_wrong_with_a_photo(built, photos, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        query, "contact_sheet", lambda rows, columns: drawn.extend(rows) or contact_sheet(rows, columns)
    )
    Image.open(photos / "class-1" / "05.png").resize((12, 9)).save(tmp_path / "tiny.png")
    main(built, tmp_path / "tiny.png", picture=tmp_path / "out.png")
    assert drawn[0].subtitle.endswith("tiny.png · too small")


def test_photos_are_explained_as_a_picture(built, photos, tmp_path, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(query, "draw", lambda cards: drawn.extend(cards) or draw(cards))
    (tmp_path / "text.jpg").write_text("no photo")
    asked = [photos / "class-1" / "05.png", tmp_path / "text.jpg", photos / "class-2" / "06.png"]
    answers = main(built, *asked, k=1, explain=tmp_path / "why.webp")
    assert f"drawn: {tmp_path / 'why.webp'}\n" in capsys.readouterr().err
    with Image.open(tmp_path / "why.webp") as picture:
        assert picture.format == "WEBP"
    assert [card.title for card in drawn] == [answers[0].label, answers[2].label]
    for card, path in zip(drawn, asked[::2], strict=True):
        assert card.subtitle.endswith("/".join(path.parts[-2:]))
        assert {one.label for one in card.explanations} == {card.title} != {card.explanations[0].rival.label}
        assert "/".join(path.parts[-2:]) not in [
            Index.open(built).table["path"][one.row].as_py() for one in card.explanations
        ]


def test_an_explanation_is_of_the_box(built, photos, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(query, "draw", lambda cards: drawn.extend(cards) or draw(cards))
    box = (4, 6, 30, 28)
    main(built, photos / "class-1" / "05.png", box=box, explain=tmp_path / "why.png")
    assert {one.query.image.size for one in drawn[0].explanations} == {(26, 22)}


def test_no_more_photos_are_explained_than_can_be_looked_at(built, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(query, "MOST_EXPLAINED", 2)
    main(built, photos / "class-1", explain=tmp_path / "why.png")
    assert "left out of the explanations: 3 of 5 photos\n" in capsys.readouterr().err


def test_what_cannot_be_explained_is_refused_before_any_work(photos, tmp_path):
    nowhere, photo = tmp_path / "nothing.index", photos / "class-1" / "05.png"
    with pytest.raises(InputError, match=r"why\.pdf is no name for a picture"):
        main(nowhere, photo, explain=tmp_path / "why.pdf")
    with pytest.raises(InputError, match="explain is of each photo by itself; leave out --together, or --explain"):
        main(nowhere, photo, photo, together=True, explain=tmp_path / "why.png")
    with pytest.raises(InputError, match="is one of the photos to answer"):
        main(nowhere, photo, explain=photo)


def test_how_many_are_shown_does_not_change_the_answer(built, photos):
    answers = [Index.open(built).query(photos / "class-1" / "05.png", k) for k in (1, 3, 20)]
    assert answers[0].candidates == answers[1].candidates == answers[2].candidates


def test_a_box_says_where_the_subject_is(built, photos, tmp_path, capsys):
    subject = Image.open(photos / "class-1" / "05.png")
    scene = Image.new("RGB", (3 * subject.width, 2 * subject.height), "magenta")
    left, top = 2 * subject.width, subject.height
    scene.paste(subject, (left, top))
    scene.save(tmp_path / "scene.png")
    box = (left, top, left + subject.width, top + subject.height)
    (whole,) = main(built, tmp_path / "scene.png", k=1)
    (found,) = main(built, tmp_path / "scene.png", k=1, box=box, picture=tmp_path / "evidence.png")
    assert found.neighbours[0].path == "class-1/05.png"
    assert found.neighbours[0].similarity == pytest.approx(1, abs=1e-4)
    assert whole.neighbours[0].similarity < 0.99
    assert not found.neighbours[0].same_photo
    first = Index.open(built).query((tmp_path / "scene.png").read_bytes(), box=box)
    assert first.neighbours[0].similarity == pytest.approx(1, abs=1e-4)
    drawn = np.asarray(Image.open(tmp_path / "evidence.png").convert("RGB")).reshape(-1, 3)
    assert not (drawn == (255, 0, 255)).all(axis=1).any()


def test_a_reference_with_a_box_knows_itself(tiny_embedder, photos, tmp_path):
    """By the numbers that its table was written with, of which an index keeps fewer digits."""
    photo, others = photos / "class-1" / "05.png", [photos / "class-0" / f"0{number}.png" for number in (0, 4)]
    rows = [f"{photo},a,1.3 2.7 20.1 18.9", *(f"{other},b," for other in others)]
    (tmp_path / "photos.csv").write_text("\n".join(["path,label,box", *rows]))
    index = Index.open(build(tiny_embedder, str(tmp_path / "photos.csv"), out=tmp_path / "a.index"))
    first = index.query(photo, box=(1.3, 2.7, 20.1, 18.9)).neighbours[0]
    assert (first.label, first.same_photo) == ("a", True)


@pytest.mark.parametrize(
    ("box", "photo_count", "message"),
    [
        ((0, 0, 5, 5), 2, "box is of one photo, and 2 are given"),
        ((5, 0, 5, 5), 1, "box is 5, 0, 5, 5; it must be left, top, right, bottom in pixels"),
        ((500, 500, 600, 600), 1, "none of the photos could be answered"),
    ],
)
def test_boxes_that_are_none(built, photos, box, photo_count, message):
    with pytest.raises(InputError, match=message):
        main(built, *[photos / "class-1" / f"0{number}.png" for number in (5, 9)][:photo_count], box=box)
