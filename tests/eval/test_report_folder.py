import base64
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.recall import main
from eval.report_folder import FILES, KIND, PAGE, Wanted
from eval.report_page import as_script


def read(folder: Path) -> dict:
    page = (folder / PAGE).read_text(encoding="utf-8")
    return json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[0])


def test_the_folder_holds_the_page_and_the_figures(report: Path) -> None:
    assert {file.name for file in report.iterdir()} == FILES
    content = read(report)
    assert content["name"] == "vectors"
    assert (content["missing"], content["asked"]) == (3, 120)
    assert len(content["pictures"]) > 20 and "7" not in content["pictures"]
    assert content["warnings"] and content["counts"][1] == ["left out", 1]


def test_the_same_report_is_made_once(report: Path, hostile: SimpleNamespace, capsys: pytest.CaptureFixture) -> None:
    before = (report / PAGE).stat().st_mtime_ns
    main(hostile.vectors, report=report)
    output = capsys.readouterr()
    assert "is made already" in output.err and "recall@1" in output.out
    assert (report / PAGE).stat().st_mtime_ns == before
    with pytest.raises(InputError, match=r"was made from something else \(k was \[1, 2, 4, 8\] and is now \[1, 2\]\)"):
        main(hostile.vectors, k="1,2", report=report)


def test_what_else_lies_there_stays(report: Path, hostile: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(InputError, match="is not of the kind 'report'"):
        main(hostile.vectors, report=tmp_path, overwrite=True)
    assert (tmp_path / "mine.txt").read_text() == "keep me"
    with pytest.raises(InputError, match="does not exist"):
        main(hostile.vectors / "missing", report=tmp_path / "new")


def test_overwrite_is_wanted_whatever_it_was_made_from(report: Path, hostile: SimpleNamespace) -> None:
    wanted = Wanted.of(report, [hostile.vectors], overwrite=True, kind=KIND, files=FILES, k=[3])
    assert wanted is not None and wanted.made_from["k"] == [3]
    (report / "notes.txt").write_text("mine")
    try:
        with pytest.raises(InputError, match=r"notes.txt in it would be lost"):
            Wanted.of(report, [hostile.vectors], overwrite=True, kind=KIND, files=FILES, k=[3])
    finally:
        (report / "notes.txt").unlink()


@pytest.mark.parametrize("most", [60, 37])
def test_queries_and_references_share_a_map(most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each photo at its own place, also where only some are on it; without umap, which is not asked here."""
    sets = []
    for name, seed, count in (("queries", 0, 20), ("references", 1, 40)):
        vectors = np.eye(4)[np.arange(count) % 4] + 0.4 * np.random.default_rng(seed).standard_normal((count, 4))
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        labels = [f"kind{row % 4}" for row in range(count)]
        table = pa.table({"id": [f"{name}{row}" for row in range(count)], "label": labels})
        sets.append(EmbeddingSet(vectors, table, "f"))
        sets[-1].save(tmp_path / name, made_from={}, images_root=None, left_out=[])
    monkeypatch.setattr("eval.report_folder.project", lambda vectors, progress: vectors[:, :2])
    monkeypatch.setattr("eval.report.MOST_MAPPED", most)
    main(tmp_path / "queries", tmp_path / "references", report=tmp_path / "made")
    points = read(tmp_path / "made")["points"]
    numbers = points["numbers"] or list(range(60))
    assert len(numbers) == most
    places = np.concatenate([one.vectors for one in sets])[numbers]
    for column, name in enumerate("xy"):
        assert np.array_equal(np.frombuffer(base64.b64decode(points[name]), "<f4"), places[:, column])
    assert points["names"] == [[*sets[0].ids, *sets[1].ids][number] for number in numbers]


def test_a_page_has_room_for_long_names(
    hostile: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The small photos take what is left."""
    monkeypatch.setattr("eval.report_folder.project", lambda vectors, progress: vectors[:, :2])
    main(hostile.vectors, report=tmp_path / "free")
    free = read(tmp_path / "free")
    sheets = free.pop("sheets")
    monkeypatch.setattr("eval.report_folder.MOST", len(as_script(free).encode()) + 3000)
    main(hostile.vectors, report=tmp_path / "tight")
    tight = read(tmp_path / "tight")["sheets"]
    assert tight["side"] < sheets["side"]
    assert sum(map(len, tight["pictures"])) < 3600 < sum(map(len, sheets["pictures"]))


def test_progress_goes_to_standard_error_and_torch_stays_out(made: SimpleNamespace) -> None:
    assert json.loads(made.output)["queries"] == 119
    assert "laying out the map" in made.errors and "small photos" in made.errors
    assert made.errors.splitlines()[-1] == "[]"
