import csv
from collections import Counter
from pathlib import Path

import pytest

import index
from index.published import TABLE, published

ROWS = list(csv.DictReader((Path(index.__file__).parent / TABLE).open(encoding="utf-8")))


def test_figures_are_those_of_the_data_set_and_protocol() -> None:
    for photos in ("whole", "box"):
        found = published("cub200", "zero-shot", photos)
        assert len(found) == sum((row["data_set"], row["photos"]) == ("cub200", photos) for row in ROWS)
        assert {(one.data_set, one.protocol, one.photos) for one in found} == {("cub200", "zero-shot", photos)}
    assert published("cub200", "closed-set", "whole") == published("cars98", "zero-shot", "whole") == []


def test_no_figure_stands_twice_and_each_says_where_from() -> None:
    keys = ("data_set", "protocol", "photos", "method", "backbone", "pretraining", "dimension", "pixels")
    assert max(Counter(tuple(row[key] for key in keys) for row in ROWS).values()) == 1
    for row in ROWS:
        assert all(row[key] for key in (*keys, "source"))
        assert row["photos"] in {"whole", "box"}
        assert 0 < float(row["recall@1"]) < 1


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['data_set']}-{row['method']}-{row['backbone']}")
def test_numbers_are_read(row: dict[str, str]) -> None:
    of = published(row["data_set"], row["protocol"], row["photos"])
    found = [one for one in of if one.recall_at_1 == float(row["recall@1"])]
    assert any((one.method, one.dimension) == (row["method"], int(row["dimension"])) for one in found)
    assert all(one.map_at_r is None or 0 < one.map_at_r < one.recall_at_1 for one in found)
