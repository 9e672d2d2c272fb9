import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from eval.errors import InputError
from eval.recall import main
from eval.report_folder import FILES, KIND, PAGE, Wanted


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


def test_progress_goes_to_standard_error_and_torch_stays_out(made: SimpleNamespace) -> None:
    assert json.loads(made.output)["queries"] == 119
    assert "laying out the map" in made.errors and "small photos" in made.errors
    assert made.errors.splitlines()[-1] == "[]"
