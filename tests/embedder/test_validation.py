from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from embedder.config import ModelSettings
from embedder.data.catalog import read_catalog
from embedder.model.network import build_network
from embedder.preprocess import Preprocessing
from embedder.validation import embed, prepared, validate


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(20):
            pixels = generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{number:02}.png")
    return tmp_path


def test_it_is_what_plain_formulas_give(photos: Path) -> None:
    network = build_network(ModelSettings(backbone="timm:test_efficientnet", weights="random", dimension=8))
    catalog, preprocessing = read_catalog(str(photos)), Preprocessing(32)
    pixels = np.stack([preprocessing(Image.open(catalog.file(row)).convert("RGB")) for row in range(len(catalog))])
    network.train()
    vectors = embed(network, catalog, range(40), preprocessing).numpy()
    with torch.no_grad():
        np.testing.assert_allclose(vectors, network.eval()(torch.from_numpy(pixels)).vector, atol=1e-5)
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    hits = [catalog.labels[row] == catalog.labels[best] for row, best in enumerate(similarity.argmax(axis=1))]
    assert validate(network, catalog, preprocessing)["recall@1"] == pytest.approx(np.mean(hits))


def test_what_a_box_has_cut_out_is_marked(photos: Path) -> None:
    (photos / "table.csv").write_text("path,label,box\na/00.png,a,5 5 25 25\nb/00.png,b,\n")
    (batch,) = prepared(read_catalog(str(photos / "table.csv")), [1, 0, 1], Preprocessing(32, marked=True))
    assert batch[:, 0, 0, 3].tolist() == [0, 255, 0]


def test_nothing_held_out_gives_no_metrics(photos: Path) -> None:
    network = build_network(ModelSettings(backbone="timm:test_efficientnet", weights="random", dimension=8))
    assert validate(network, read_catalog(str(photos)).select(np.zeros(40, dtype=bool)), Preprocessing(32)) == {}


def test_photos_without_another_of_their_class_are_counted(photos: Path) -> None:
    network = build_network(ModelSettings(backbone="timm:test_efficientnet", weights="random", dimension=8))
    catalog = read_catalog(str(photos))
    found = validate(network, catalog.select([0, 1, 20]), Preprocessing(32))
    assert (found["queries"], found["left_out"]) == (2, 1)
    assert validate(network, catalog.select([0, 20]), Preprocessing(32)) == {}
