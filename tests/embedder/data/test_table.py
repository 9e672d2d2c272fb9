import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedder.data.catalog import TYPES
from embedder.data.table import read
from eval.errors import InputError


@pytest.fixture
def write(touch):
    """A CSV file beside the photos 1.jpg to 4.jpg."""
    root = touch([f"{number}.jpg" for number in range(1, 5)] + ["sub/5.jpg"])

    def create(text, encoding="utf-8"):
        (root / "list.csv").write_bytes(text.encode(encoding))
        return root / "list.csv"

    return create


def test_a_csv_with_everything(write):
    catalog = read(
        write(
            "licence,path, label,split,box,group\n"
            'CC-BY,1.jpg,"wren, winter",train,0 1.5 20 30,nest 1\n'
            ",sub/5.jpg, auk,Test,,\n"
            "CC0,./2.jpg,,,  3 4 5 6 ,nest 1\n"
        )
    )
    assert catalog.table.column_names == ["path", "label", "split", "box", "group", "licence"]
    assert catalog.paths == ["1.jpg", "sub/5.jpg", "2.jpg"]
    assert catalog.labels == ["wren, winter", "auk", None]
    assert catalog.classes == ["auk", "wren, winter"]
    assert catalog.table["split"].to_pylist() == ["train", "test", None]
    assert catalog.boxes == [(0, 1.5, 20, 30), None, (3, 4, 5, 6)]
    assert catalog.table["group"].to_pylist() == ["nest 1", None, "nest 1"]
    assert catalog.table["licence"].to_pylist() == ["CC-BY", None, "CC0"]


def test_paths_alone(write):
    catalog = read(write("path\n1.jpg\n2.jpg\n"))
    assert catalog.table.column_names == ["path", "label"]
    assert catalog.labels == [None, None]


def test_a_column_called_id_is_carried_along_under_another_name(write):
    catalog = read(write("id,path\n17,1.jpg\n18,2.jpg\n"))
    assert catalog.table["source_id"].to_pylist() == ["17", "18"]
    assert "id" not in catalog.table.column_names
    with pytest.raises(InputError, match="'trained_on' is one that Fieldmark adds"):
        read(write("path,trained_on\n1.jpg,no\n"))


def test_a_byte_order_mark_and_windows_line_ends(write):
    assert read(write("path,label\r\n1.jpg,wren\r\n", "utf-8-sig")).labels == ["wren"]


def test_numbers_are_labels_in_their_own_order(write):
    catalog = read(write("path,label\n1.jpg,10\n2.jpg,9\n3.jpg,007\n4.jpg,10\n"))
    assert catalog.labels == ["10", "9", "007", "10"]
    assert catalog.classes == ["007", "9", "10"]
    assert read(write("path,label\n1.jpg,10\n2.jpg,9\n3.jpg,b\n")).classes == ["10", "9", "b"]


def test_numbers_of_any_length_are_labels(write):
    long = "9" * 5000
    assert read(write(f"path,label\n1.jpg,{long}\n2.jpg,10\n3.jpg,00\n")).classes == ["00", "10", long]


def test_what_may_be_meant_otherwise_is_told(write, capsys):
    catalog = read(write("path,labels,Box,sex\n1.jpg,wren,0 0 1 1,\n2.jpg,wren,,f\n"))
    assert catalog.labels == [None, None]
    told = capsys.readouterr().err
    assert "the column 'labels' is carried along and means nothing here; is it 'label'?" in told
    assert "the column 'Box' is carried along and means nothing here; is it 'box'?" in told
    assert "sex" not in told
    assert read(write("path,label,labels\n1.jpg,nan,a\n2.jpg,nan,b\n3.jpg,Nana,c\n")).classes == ["Nana", "nan"]
    told = capsys.readouterr().err
    assert "2 photos with the label 'nan', taken for a class of that name" in told
    assert "labels" not in told
    assert "Nana" not in told


def test_absolute_paths_become_relative(write, tmp_path):
    assert read(write(f"path\n{tmp_path}/photos/sub/5.jpg\n")).paths == ["sub/5.jpg"]


def test_absolute_paths_elsewhere_are_short_by_the_photos_common_folder(write, tmp_path):
    folder = tmp_path / "tables" / "mine"
    folder.mkdir(parents=True)
    photos = write("path\n1.jpg\n").parent
    table = folder / "list.csv"
    for given, root, paths in (
        ([photos / "1.jpg", photos / "sub" / "5.jpg"], photos, ["1.jpg", "sub/5.jpg"]),
        ([photos / "sub" / "5.jpg"], photos / "sub", ["5.jpg"]),
        ([photos / "sub" / ".." / "1.jpg", photos / "2.jpg"], photos, ["1.jpg", "2.jpg"]),
        ([photos / "1.jpg", "../../photos/2.jpg"], folder, ["../../photos/1.jpg", "../../photos/2.jpg"]),
    ):
        table.write_text("\n".join(["path", *map(str, given)]))
        catalog = read(table)
        assert (catalog.root, catalog.paths) == (root, paths)
        assert catalog.file(0).is_file()
    table.write_text(f"path\n{photos}/1.jpg\n{photos}/gone.jpg\n")
    with pytest.raises(
        InputError, match=f"of which 1 does not exist .first: line 3, gone.jpg.; paths are relative to {photos}$"
    ):
        read(table)


def test_validation_photos_are_training_photos_where_there_is_a_test(write):
    assert read(write("path,split\n1.jpg,val\n2.jpg,test\n")).table["split"].to_pylist() == ["train", "test"]
    assert read(write("path,split\n1.jpg,val\n2.jpg,train\n")).table["split"].to_pylist() == ["test", "train"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the column 'path' is missing"),
        ("file,label\n1.jpg,x\n", "the column 'path' is missing; found: file, label"),
        ("path,label\n", "lists no photos"),
        ("path,label\n1.jpg,x\n\n2.jpg\n", "line 4: 1 values for 2 columns"),
        ("path,label,label\n1.jpg,x,y\n", "two columns have the same name"),
        ("path,label\n,x\n", "line 2: the path is empty"),
        ("path,split\n1.jpg,train\n2.jpg,dev\n", "line 3: the split 'dev' is none of train"),
        ('path,box,x\n1.jpg,,"a\nb"\n2.jpg,1 2 3,\n', "line 4: the box '1 2 3' is not 'left top right bottom'"),
        ("path,box\n1.jpg,1 2 3 x\n", "line 2: the box '1 2 3 x'"),
        ("path,box\n1.jpg,5 0 5 9\n", "line 2: the box '5 0 5 9'"),
        ("path,keypoints\n1.jpg,1 2\n", "line 2: the keypoints '1 2' are not 'x y visible' of each point"),
        ("path,keypoints\n1.jpg,1 2 2\n", "line 2: the keypoints '1 2 2' are not"),
        ("path,keypoints\n1.jpg,1 nan 0\n", "line 2: the keypoints '1 nan 0' are not"),
        ("path,keypoints\n1.jpg,\n2.jpg,1 2 1\n3.jpg,1 2 1 3 4 1\n", "line 4: 2 keypoints, and line 3 has 1"),
        ("path\n1.jpg\ngone.jpg\nlost.jpg\n", r"lists 3 photos, of which 2 do not exist \(first: line 3, gone.jpg\)"),
        ("path\ngone.jpg\n", r"lists 1 photo, of which 1 does not exist \(first: line 2, gone.jpg\)"),
        ("path,label\n1.jpg,x\n2.jpg,y\n./1.jpg,y\n", "line 4: 1.jpg is listed already, in line 2; leave one"),
        ("path,box\n1.jpg,0 0 5 5\n1.jpg,0 0 5 6\n1.jpg,0 0 5 5.0\n", "line 4: 1.jpg is listed already, in line 2"),
    ],
)
def test_what_is_refused(write, text, message):
    with pytest.raises(InputError, match=message):
        read(write(text))


def test_keypoints_in_a_csv(write):
    catalog = read(write("path,keypoints\n1.jpg,1 2.5 1  3 4 0\n2.jpg,\n3.jpg,0 0 0 7 8 1\n"))
    assert catalog.table["keypoints"].to_pylist() == [[[1, 2.5, 1], [3, 4, 0]], None, [[0, 0, 0], [7, 8, 1]]]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators(write, separator):
    text = 'path,label,box\n"1.jpg","a,b",\n2.jpg,tit,0 0 1 1\n'
    catalog = read(write(text.replace(",", separator).replace(f"a{separator}b", "a,b")))
    assert (catalog.labels, catalog.boxes) == (["a,b", "tit"], [None, (0, 0, 1, 1)])


def test_columns_without_a_name_are_left_out(write):
    assert read(write(",path,\n0,1.jpg,\n1,2.jpg,x\n")).table.column_names == ["path", "label"]


def test_paths_of_windows(write):
    root = write("").parent
    assert read(write("path\nsub\\5.jpg\n")).paths == ["sub/5.jpg"]
    (root / "a\\b.jpg").touch()
    if (root / "a\\b.jpg").is_file():
        assert read(write("path\na\\b.jpg\n")).paths == ["a\\b.jpg"]


def test_both_spellings_of_licence(write):
    assert read(write("path,license\n1.jpg,CC0\n")).table["licence"].to_pylist() == ["CC0"]
    with pytest.raises(InputError, match="a column 'licence' and a column 'license'"):
        read(write("path,license,licence\n1.jpg,CC0,CC0\n"))


def test_other_encodings_are_refused(write):
    with pytest.raises(InputError, match="is not in UTF-8"):
        read(write("path,label\n1.jpg,Bläßhuhn\n", "latin-1"))


@pytest.fixture
def write_parquet(touch):
    root = touch(["1.jpg", "2.jpg", "3.jpg"])

    def create(**columns):
        pq.write_table(pa.table({"path": ["1.jpg", "2.jpg", "3.jpg"], **columns}), root / "list.parquet")
        return root / "list.parquet"

    return create


def test_a_parquet_with_everything(write_parquet):
    catalog = read(
        write_parquet(
            keypoints=[[[1.0, 2.0, 1.0], [0.0, 0.0, 0.0]], [], None],
            label=pa.array(["wren", "auk", "wren"]).dictionary_encode(),
            box=[[0, 0, 4, 4], None, [1, 1, 2, 2]],
            number=[7, None, 9],
        )
    )
    assert catalog.table.column_names == ["path", "label", "box", "keypoints", "number"]
    assert catalog.classes == ["wren", "auk"]
    assert catalog.boxes == [(0, 0, 4, 4), None, (1, 1, 2, 2)]
    assert catalog.table["keypoints"].type == TYPES["keypoints"]
    assert catalog.table["number"].to_pylist() == ["7", None, "9"]


@pytest.mark.parametrize("labels", [[3, 1, 3], pa.array(["3", "1", "3"], pa.large_string())])
def test_labels_of_any_kind_become_strings(write_parquet, labels):
    catalog = read(write_parquet(label=labels))
    assert (catalog.labels, catalog.classes) == (["3", "1", "3"], ["1", "3"])


def test_categories_without_photos_are_left_out(write_parquet):
    label = pa.DictionaryArray.from_arrays(pa.array([2, None, 0], pa.int8()), pa.array(["tit", "emu", "auk"]))
    assert read(write_parquet(label=label)).classes == ["tit", "auk"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [0.5, 1.0, 2.0]}, "the column 'label' is double; make it text or whole numbers"),
        ({"box": [[0, 0, 1, 1], [0, 0, 1], None]}, "row 2: the box"),
        ({"keypoints": [[[1, 2]], None, None]}, r"row 1: the keypoints \[\[1, 2\]\] are not 'x y visible'"),
        ({"keypoints": [[[1, 2], [1, 5], [6, 0]], None, None]}, "row 1: the keypoints"),
        ({"keypoints": [7, None, None]}, "row 1: the keypoints 7 are not"),
    ],
)
def test_what_a_parquet_may_not_hold(write_parquet, columns, message):
    with pytest.raises(InputError, match=message):
        read(write_parquet(**columns))


def test_columns_of_other_kinds_are_left_out_and_named(write_parquet, capsys):
    catalog = read(write_parquet(seen=[[1], [2], [3]], weight=[0.5, 1.0, 2.0], age=[1, 2, 3]))
    assert {"age"} == {*catalog.table.column_names} - {"path", "label"}
    assert "are left out: seen, weight" in capsys.readouterr().err


def test_not_a_parquet_file(touch):
    (touch([]) / "list.parquet").write_text("path\n")
    with pytest.raises(InputError, match="is not a Parquet file"):
        read(touch([]) / "list.parquet")
