import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.evaluation import evaluate
from eval.recall import main

ROOT = Path(__file__).parents[2]


def saved(folder: Path, labels: str, seed: int, ids: str) -> Path:
    vectors = np.random.default_rng(seed).standard_normal((len(labels), 5))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    table = pa.table({"id": list(ids), "label": list(labels), "path": list(ids)})
    EmbeddingSet(vectors, table, "f").save(folder, made_from={}, images_root=None, left_out=[])
    return folder


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    return saved(tmp_path / "queries", "aaabbbbcccd", 0, "abcdefghijk")


@pytest.fixture
def references(tmp_path: Path) -> Path:
    return saved(tmp_path / "references", "abcabcabc", 1, "aBCDEFGHI")


def test_json_is_one_object_with_these_names(queries: Path, capsys: pytest.CaptureFixture[str]) -> None:
    returned = main(queries, k="1,2,4", json=True)
    output = capsys.readouterr()
    printed = json.loads(output.out)
    counts, recalls = ["queries", "left_out", "same_photo", "trained_on"], ["recall@1", "recall@2", "recall@4"]
    assert list(printed) == [*counts, *recalls, "r_precision", "map@r", "map@4", "intervals"]
    expected = evaluate(EmbeddingSet.load(queries), None, [1, 2, 4])
    intervals = {name: [one.low, one.high] for name, one in expected.intervals().items()}
    counted = {"queries": 10, "left_out": 1, "same_photo": 0, "trained_on": None}
    assert printed == {**counted, **expected.means(), "intervals": intervals}
    assert returned.means() == expected.means()
    assert output.err == "warning: only 3 classes: take the intervals as hints\n"


def test_the_table_for_people(queries: Path, references: Path, capsys: pytest.CaptureFixture[str]) -> None:
    returned = main(queries, references)
    output = capsys.readouterr()
    lines = [line[:20].rsplit(maxsplit=1) for line in output.out.splitlines()]
    values = [f"{value:.4f}" for value in returned.means().values()]
    assert [value for _, value in lines] == ["10", "1", "1", "unknown", *values]
    ends = [line[20:] for line in output.out.splitlines()]
    assert ends == ["", "", "", "", *(f"  [{one.low:.4f}, {one.high:.4f}]" for one in returned.intervals().values())]
    recalls = [f"recall@{k}" for k in (1, 2, 4, 8)]
    names = ["queries", "left out", "same photo", "trained on", *recalls, "R-precision", "MAP@R", "mAP@8"]
    assert [name for name, _ in lines] == names
    assert "1 of 10 queries are themselves among the references" in output.err


@pytest.mark.parametrize("k", ["1,x", "", "1;2", "0"])
def test_wrong_numbers_are_refused(queries: Path, k: str) -> None:
    with pytest.raises(InputError, match="k is"):
        main(queries, k=k)


def test_the_command_without_anything_heavy(queries: Path, references: Path) -> None:
    code = (
        "import runpy, sys\n"
        "try: runpy.run_module('eval.recall', run_name='__main__', alter_sys=True)\n"
        "finally: print(sorted({'torch', 'torchvision', 'matplotlib', 'umap', 'numba'} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", code, str(queries), str(references), "--k", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    result, heavy = done.stdout.splitlines()
    assert json.loads(result)["queries"] == 10
    assert heavy == "[]"


def test_a_mistake_is_one_line(queries: Path) -> None:
    command = [sys.executable, "-m", "eval.recall", str(queries), str(queries / "missing")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_queries_that_were_trained_on_are_counted(queries: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = EmbeddingSet.load(queries)
    table = found.table.append_column("trained_on", pa.array([True, False] * 5 + [True]))
    EmbeddingSet(found.vectors, table, "f").save(queries, made_from={}, images_root=None, left_out=[])
    assert main(queries, json=True).trained_on == 5  # the eleventh, a lone one, is left out
    printed = capsys.readouterr()
    assert json.loads(printed.out)["trained_on"] == 5
    assert "5 of 10 queries are photos that the embedder was trained on" in printed.err
