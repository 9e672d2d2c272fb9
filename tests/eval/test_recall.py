import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from eval.bootstrap import Interval
from eval.clusters import cluster_scores
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.evaluation import evaluate
from eval.health import health
from eval.recall import main, roughness
from eval.reliability import expected_calibration_error
from eval.rerank import KReciprocal, to_json
from eval.verification import verify

ROOT = Path(__file__).parents[2]
COPIES = ["same_photo", "similar_vector", "similar_picture", "copies_among_references"]
LEAKS = [*COPIES, "repeated_rows", "trained_on", "class_trained_on"]
COUNTS = ["queries", "left_out", "unlabelled_references", *LEAKS, "protocol", "unreadable_photos"]


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
    means = ["recall@1", "recall@2", "recall@4", "r_precision", "map@r", "map@4", "precision@4", "mrr@4", "knn@4"]
    assert list(printed) == [*COUNTS, "rerank", *means, "macro", "intervals", "open_set", "warnings"]
    expected = evaluate(EmbeddingSet.load(queries), None, [1, 2, 4])
    intervals = {name: [one.low, one.high] for name, one in expected.intervals().items()}
    rough = "only 3 classes: take the intervals as hints"
    counted = {
        "queries": 10,
        "left_out": 1,
        "unlabelled_references": 0,
        "unreadable_photos": 0,
        "same_photo": 0,
        "similar_vector": 0,
        "repeated_rows": 0,
    }
    counted["copies_among_references"] = 0
    unknown = {"similar_picture": None, "trained_on": None, "class_trained_on": None, "protocol": "unknown"}
    more = {"rerank": None, "macro": expected.macro_means(), "intervals": intervals, "open_set": expected.open_set()}
    assert printed == {**counted, **unknown, **expected.means(), **more, "warnings": [rough]}
    assert returned.means() == expected.means()
    assert output.err == "warning: only 3 classes: take the intervals as hints\n"


def test_the_table_for_people(queries: Path, references: Path, capsys: pytest.CaptureFixture[str]) -> None:
    returned = main(queries, references)
    output = capsys.readouterr()
    counts, means, open_set = (block.splitlines() for block in output.out.split("\n\n"))
    assert [line[:24].strip() for line in counts] == [name.replace("_", " ") for name in COUNTS]
    known = ["10", "1", "0", "1", "0", "unknown", "0", "0"]
    assert [line[24:].strip() for line in counts] == [*known, *["unknown"] * 3, "0"]
    recalls = [f"recall@{k}" for k in (1, 2, 4, 8)]
    names = [*recalls, "R-precision", "MAP@R", "mAP@8", "precision@8", "MRR@8", "knn@8"]
    assert [line.split()[0] for line in means[1:]] == names
    macro, rows = returned.macro_means(), zip(means[1:], returned.intervals().items(), strict=True)
    for line, (name, one) in rows:
        numbers = [f"{value:.4f}" for value in (one.mean, one.low, one.high, macro[name])]
        assert re.findall(r"\d\.\d{4}", line) == numbers
    assert open_set[0] == "open set"
    assert [float(line.split()[-1]) for line in open_set[1:]] == pytest.approx(
        [*returned.open_set().values()], abs=1e-4
    )
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
    main(queries, json=True)
    printed = capsys.readouterr()
    assert json.loads(printed.out)["trained_on"] == 5  # the eleventh, a lone one, is left out
    assert "5 of 10 queries are photos that the embedder was trained on" in printed.err


def test_full_adds_verification_clusters_and_health(
    queries: Path, references: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(queries, references, json=True, full=True)
    found = json.loads(capsys.readouterr().out)
    source, targets = EmbeddingSet.load(queries), EmbeddingSet.load(references)
    roc = verify(source, targets)
    assert found["verification"] == {
        "tpr@fpr=0.01": roc.true_positive_rate_at(0.01),
        "tpr@fpr=0.001": roc.true_positive_rate_at(0.001),
        "equal_error_rate": roc.equal_error_rate(),
    }
    assert found["clusters"] == cluster_scores(source)
    assert found["health"] == health(source)
    main(queries, references, full=True)
    lines = capsys.readouterr().out.splitlines()
    assert {"verification", "clusters", "health", "open set"} < set(lines)
    assert any(line.startswith("NMI") for line in lines)


def test_a_table_of_classes_has_the_worst_first(queries: Path, tmp_path: Path) -> None:
    evaluation = main(queries, per_class=tmp_path / "classes.csv")
    with (tmp_path / "classes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["recall@1"]) for row in rows] == sorted(float(row["recall@1"]) for row in rows)
    for row in rows:
        values = {name: pytest.approx(float(row[name]), rel=1e-5) for name in (*evaluation.per_query, "queries")}
        assert evaluation.per_class()[row["label"]] == values
    with pytest.raises(InputError, match="it must end in"):
        main(queries, per_class=tmp_path / "classes.txt")


def test_what_is_not_defined_takes_nothing_else_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = saved(tmp_path / "one", "aaaa", 0, "abcd")
    main(alone, json=True, full=True)
    found = json.loads(capsys.readouterr().out)
    assert found["recall@1"] == 1
    assert found["verification"].startswith("not defined: there are no pairs of two classes")
    assert found["clusters"].startswith("not defined: 1 class;")
    assert found["health"]["alignment"] > 0
    main(alone, full=True)
    assert "not defined: there are no pairs" in capsys.readouterr().out


def test_one_class_of_references_is_said_to_measure_nothing(
    queries: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = "the references are of one class, so that every answer is right by definition: this measures nothing"
    alone = saved(tmp_path / "one", "aaaa", 0, "vwxy")
    main(alone, k="1,2", json=True)
    assert json.loads(capsys.readouterr().out)["warnings"] == [nothing]
    main(queries, alone)
    assert nothing in capsys.readouterr().err
    main(alone, queries, json=True)
    assert "only 1 class: take the intervals as hints" in json.loads(capsys.readouterr().out)["warnings"]


@pytest.mark.parametrize(
    ("classes", "effective", "resampled", "said"),
    [
        (20, 19.96, ("class", "classes"), ["only 20 classes: take the intervals as hints"]),
        (30, 12.4, ("class", "classes"), ["only 30 classes that tell as much as 12 of equal size: take the intervals"]),
        (12, 8.0, ("class", "classes"), ["only 12 classes: take the intervals as hints"]),
        (1, 1.0, ("family", "families"), ["only 1 family: take the intervals as hints"]),
        (20, 20.0, ("class", "classes"), []),
    ],
)
def test_few_classes_are_said_in_plain_words(
    classes: int, effective: float, resampled: tuple[str, str], said: list[str]
) -> None:
    found = roughness({"recall@1": Interval(0.5, 0.4, 0.6, classes, effective)}, resampled)
    assert len(found) == len(said)
    assert all(one.startswith(start) for one, start in zip(found, said, strict=True))


def test_photos_that_could_not_be_read_are_counted(queries: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = [{"path": "x.jpg", "reason": "is empty"}] * 3
    EmbeddingSet.load(queries).save(queries, made_from={}, images_root=None, left_out=bad)
    main(queries, json=True)
    assert json.loads(capsys.readouterr().out)["unreadable_photos"] == 3


def test_families_are_resampled_in_place_of_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels, genera = "aaabbbbcccdd", "xxxyyyyxxxyy"
    folder = saved(tmp_path / "birds", labels, 0, "abcdefghijkl")
    birds = EmbeddingSet.load(folder)

    def with_genus(names: list[str | None]) -> Path:
        table = birds.table.append_column("genus", pa.array(names))
        one = EmbeddingSet(birds.vectors, table, "f")
        one.save(tmp_path / "more", made_from={}, images_root=None, left_out=[])
        return tmp_path / "more"

    main(with_genus(list(genera)), families="genus", json=True)
    output = capsys.readouterr()
    evaluation = evaluate(birds)
    interval = evaluation.intervals(np.array([name == "y" for name in genera], np.int64))["recall@1"]
    assert json.loads(output.out)["intervals"]["recall@1"] == [interval.low, interval.high]
    assert interval.classes == 2
    assert "only 2 families" in output.err
    with pytest.raises(InputError, match="unknown column 'genera'; did you mean 'genus'"):
        main(tmp_path / "more", families="genera")
    with pytest.raises(InputError, match="c has no genus"):
        main(with_genus(["x", "x", None, *genera[3:]]), families="genus")
    with pytest.raises(InputError, match="a is in genus x and in y"):
        main(with_genus(["x", "x", "y", *genera[3:]]), families="genus")


def test_a_table_that_is_not_one_of_classes_stays(queries: Path, tmp_path: Path) -> None:
    other = tmp_path / "genus.csv"
    other.write_text("path,label\n")
    with pytest.raises(InputError, match=r"genus\.csv exists and is no table of classes"):
        main(queries, per_class=other)
    assert other.read_text() == "path,label\n"
    main(queries, per_class=tmp_path / "classes.csv")
    main(queries, per_class=tmp_path / "classes.csv")


def test_more_neighbours_than_references_are_said(queries: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(queries, k=f"1,{10**20}")
    assert f"k of {10**20} is more than the 10 references" in capsys.readouterr().err
    main(queries, k="1,10")
    assert "is more than" not in capsys.readouterr().err


def test_references_without_a_label_are_not_there_to_be_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pa.table({"id": list("abcdef"), "label": ["x", "x", "y", "y", None, None], "path": list("abcdef")})
    EmbeddingSet(np.eye(6, dtype=np.float32), table, "f").save(
        tmp_path / "v", made_from={}, images_root=None, left_out=[]
    )
    main(tmp_path / "v", k="1,4")
    assert "k of 4 is more than the 3 references" in capsys.readouterr().err


def test_calibration_of_the_vote_in_full(queries: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(queries, k="1,4", full=True, json=True)
    printed = json.loads(capsys.readouterr().out)
    evaluation = evaluate(EmbeddingSet.load(queries), None, [1, 4])
    expected = expected_calibration_error(evaluation.shares, evaluation.per_query["knn@4"] > 0)
    assert printed["calibration"] == {"ece@4": expected}


def test_a_new_order_is_told(queries: Path, references: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(queries, references, rerank="k-reciprocal", json=True)
    printed = json.loads(capsys.readouterr().out)
    expected = evaluate(EmbeddingSet.load(queries), EmbeddingSet.load(references), rerank=KReciprocal())
    assert printed["rerank"] == to_json(KReciprocal())
    assert {name: printed[name] for name in expected.per_query} == expected.means()
    main(queries, references, rerank="alpha-qe")
    first, _, rest = capsys.readouterr().out.partition("\n\n")
    assert first == "re-ranked with the reference set by alpha-qe (n 10, alpha 3); knn@k and open set are by similarity"
    assert rest.startswith("queries ")
