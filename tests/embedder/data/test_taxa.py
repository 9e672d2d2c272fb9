import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedder.data.table import read
from eval.errors import InputError


@pytest.fixture
def taxa(touch):
    """The columns above the label of a CSV of the given columns and of the photos 1.jpg, 2.jpg, ..."""

    def read_taxa(header, *lines):
        root = touch([f"{number}.jpg" for number in range(1, len(lines) + 1)])
        rows = [f"{number}.jpg,{line}" for number, line in enumerate(lines, 1)]
        (root / "list.csv").write_text("\n".join([f"path,{header}", *rows]))
        table = read(root / "list.csv").table
        return {name: table[name].to_pylist() for name in table.column_names if name not in {"path", "label"}}

    return read_taxa


@pytest.mark.parametrize("separator", ["/", " > ", "|", "; "])
def test_one_column_ends_with_the_genus(taxa, separator):
    chain = separator.join(["Aves", "Passeriformes", "Passeridae", "Passer"])
    assert taxa("taxonomy", chain, "", separator.join(["Aves", "Strigiformes", "Strigidae", "Bubo"])) == {
        "taxonomic_class": ["Aves", None, "Aves"],
        "order": ["Passeriformes", None, "Strigiformes"],
        "family": ["Passeridae", None, "Strigidae"],
        "genus": ["Passer", None, "Bubo"],
    }


def test_a_last_level_that_is_the_label_is_no_level_above_it(taxa):
    assert taxa("label,taxonomy", "a b,F/a/a b", "a c,F/a/a c") == {"family": ["F", "F"], "genus": ["a", "a"]}
    assert list(taxa("label,taxonomy", "a b,F/a/a b", "a c,F/a/x", "a d,F/a/y")) == ["order", "family", "genus"]
    assert taxa("label,taxonomy", "wren,wren") == {}


def test_lists_in_parquet(touch):
    root = touch(["1.jpg", "2.jpg"])
    pq.write_table(pa.table({"path": ["1.jpg", "2.jpg"], "taxonomy": [["F", "g"], None]}), root / "list.parquet")
    assert read(root / "list.parquet").table["genus"].to_pylist() == ["g", None]


def test_columns_of_their_own_may_end_early(taxa):
    assert taxa("genus,order,family", "g,O,F", ",O,F", ",O,", ",,") == {
        "genus": ["g", None, None, None],
        "order": ["O", "O", "O", None],
        "family": ["F", "F", None, None],
    }


@pytest.mark.parametrize(
    ("header", "lines", "message"),
    [
        ("taxonomy", ["O/F/g", "F/h"], "line 3: the taxonomy 'F/h' lacks a level: line 2 has 3"),
        ("taxonomy", ["F/h", "O/F/g"], "line 2: the taxonomy 'F/h' lacks a level: line 3 has 3"),
        ("taxonomy", ["O/F/g", "O//h"], "line 3: the taxonomy 'O//h' has an empty level"),
        ("taxonomy", ["O/F/g", "P/F/h"], "line 3: the family 'F' is of the order 'P', and in line 2 of 'O'; if there"),
        ("taxonomy", ["a/b/c/d/e/f/g"], "line 2: the taxonomy has 7 levels above the label; known: kingdom, .*genus"),
        ("taxonomy,genus", ["F/g,g"], "has a column 'taxonomy' and a column 'genus'"),
        ("genus,family", ["g,F", "h,"], "line 3: the genus is 'h' and the family above it is missing"),
        ("genus,family,order", ["g,F,", "h,,"], "line 2: the family is 'F' and the order above it is missing"),
        (
            "label,taxonomy",
            ["a,F/g/a", "b,F/g/b", "c,F/g"],
            "line 4: the taxonomy 'F/g' does not end with the label 'c'",
        ),
        ("label,genus", ["a,g", "b,g", ",h", "a,h"], "line 5: the label 'a' is of the genus 'h', and in line 2 of 'g'"),
        ("label,family", ["a,", "a,F", "a,E"], "line 4: the label 'a' is of the family 'E', and in line 3 of 'F'"),
        ("genus,family", ["g,F", "g,E"], "line 3: the genus 'g' is of the family 'E', and in line 2 of 'F'"),
    ],
)
def test_what_is_refused(taxa, header, lines, message):
    with pytest.raises(InputError, match=message):
        taxa(header, *lines)
