"""A network that looks for the subject itself sees what a box has cut out as it is, wherever a box is given."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder.export import export
from embedder.preprocess import Preprocessing
from embedder.runtime import Embedder
from eval.images import Box
from index import Index
from index.build import main as build
from index.check import main as check
from index.explain import explain
from tests.embedder.model import networks
from tests.index.service.conftest import files, serving

BOX: Box = (20.0, 10.0, 84.0, 74.0)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Photos of noise, every second one with a box, by a network that otherwise looks at half of each side."""
    root = tmp_path_factory.mktemp("photos")
    rows = ["path,label,box"]
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((288, 288)).save(root / f"{number}.png")
        rows.append(f"{number}.png,kind{number % 3},{'20 10 84 74' if number % 2 else ''}")
    (root / "table.csv").write_text("\n".join(rows))
    network = networks.build(look="first", look_side=0.5, look_detail=2, head="none", norm="none").eval()
    export(network, Preprocessing(128, detail=2, marked=True), root / "embedder.onnx", {})
    return Index.open(build(root / "embedder.onnx", str(root / "table.csv"), out=root / "some.index"))


def boxed(index: Index) -> list[tuple[int, Path, Box | None]]:
    """Row, file and box of each reference."""
    root, rows = Path(index.manifest.images_root), index.table.to_pylist()
    return [(row, root / one["path"], one["box"] and tuple(one["box"])) for row, one in enumerate(rows)]


def test_a_box_is_seen_as_it_is(index: Index) -> None:
    embedder, whole = index.embedder, networks.build(head="none", norm="none").eval()
    export(whole, Preprocessing(64), index.folder.parent / "whole.onnx", {})
    plain = Embedder.open(index.folder.parent / "whole.onnx")
    assert embedder.preprocessing.shape == (128, 128, 4)
    for row, file, box in boxed(index):
        assert (embedder.prepare(file, box)[..., 3] == (255 if box else 0)).all()
        seen = plain.vectors(plain.prepare(file, box)[None])[0] @ index.vectors(np.array([row]))[0]
        assert bool(seen > 0.9999) == (box is not None)


def test_queries_explanations_and_checks_know_of_boxes(index: Index) -> None:
    assert [box for _, _, box in boxed(index)].count(BOX) == 3
    check(index.folder, deep=True)
    with serving(index.folder) as client:
        for row, file, box in boxed(index):
            found = index.query(file, box=box).neighbours[0]
            assert (found.row, found.same_photo) == (row, True)
            assert found.similarity == pytest.approx(1.0, abs=1e-4)
            form = {} if box is None else {"box": ",".join(map(str, box))}
            (answer,) = client.post("/search", files=files(file), data=form).json()["answers"]
            assert answer["neighbours"][0]["similarity"] == pytest.approx(1.0, abs=1e-4)
            explained = explain(index, file, row, box=box)
            assert explained.exact
            assert explained.similarity == pytest.approx(1.0, abs=1e-4)


def test_a_thumbnail_of_what_a_box_has_cut_out_is_seen_as_it_is(index: Index, tmp_path: Path) -> None:
    row, file, box = next(one for one in boxed(index) if one[2])
    found = explain(index, file, row, box=box, images_root=tmp_path)
    assert found.reference_seen == "thumbnail"
    assert found.query.region == found.reference.region == (0.0, 0.0, 1.0)
