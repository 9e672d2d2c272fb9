"""Without a GPU: another session on the CPU stands in for it."""

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from embedder import Embedder, gpu
from embedder.batches import embed_whole
from embedder.data.catalog import read_catalog
from embedder.export import export
from embedder.preprocess import Preprocessing
from embedder.runtime import CPU, GPU_BATCH

BAD = (3, 260, 299)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """More photos than a GPU is given at once, three of which cannot be read."""
    folder = tmp_path_factory.mktemp("photos") / "wren"
    folder.mkdir()
    for number in range(300):
        path = folder / f"{number:03}.png"
        pixels = np.random.default_rng(number).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        path.write_text("none") if number in BAD else Image.fromarray(pixels).save(path)
    return read_catalog(folder.parent)


@pytest.fixture
def embedder(run_folder):
    return Embedder.open(run_folder)


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(gpu, "PROVIDER", CPU)
    monkeypatch.setattr(gpu, "WORTH_IT", 300)


def test_the_gpu_makes_the_same_in_batches_of_its_own(embedder, catalog, stand_in, monkeypatch, capsys):
    seen, vectors = [], Embedder.vectors

    def counted(self, batch):
        seen.append((self is embedder.on_one_core, len(batch)))
        return vectors(self, batch)

    monkeypatch.setattr(Embedder, "vectors", counted)
    found, left_out = embed_whole(embedder, catalog)
    assert seen[2:] == [(False, GPU_BATCH - 1), (False, 300 - GPU_BATCH - 2)]
    monkeypatch.setattr(gpu, "PROVIDER", "none")
    expected, left_out_before = embed_whole(embedder, catalog)
    assert (found.table, found.fingerprint, left_out) == (expected.table, expected.fingerprint, left_out_before)
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-6)
    assert len(left_out) == len(BAD)
    assert "GPU" not in capsys.readouterr().err


def test_a_gpu_that_makes_other_vectors_is_not_used(
    embedder, catalog, stand_in, tmp_path, small_network, monkeypatch, capsys
):
    network = small_network().eval()
    for weight in network.parameters():
        weight.data += 0.3 * weight.data.std() * weight.data.sign()
    export(network, Preprocessing(embedder.preprocessing.size), tmp_path / "other.onnx", {})
    other = Embedder.open(tmp_path / "other.onnx")
    assert gpu.agreement(embedder, other, catalog) < gpu.AGREEMENT
    expected, _ = embed_whole(embedder.on_one_core, catalog)
    monkeypatch.setattr(Embedder, "open", lambda *_, **__: other)
    found, _ = embed_whole(embedder, catalog)
    assert "the GPU is not used: its vectors differ from those of the CPU (least cosine 0." in capsys.readouterr().err
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_gpu_that_does_not_start_is_not_used(embedder, catalog, stand_in, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "PROVIDER", "CUDAExecutionProvider")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", CPU])
    assert gpu.on_gpu(embedder, catalog) is None
    assert "the GPU is not used: ONNX Runtime cannot start its CUDAExecutionProvider" in capsys.readouterr().err


def test_few_photos_need_no_gpu(embedder, catalog, stand_in):
    assert gpu.on_gpu(embedder, catalog) is not None
    assert gpu.on_gpu(embedder, catalog.select(range(299))) is None


def test_where_there_is_none(embedder, catalog, stand_in, monkeypatch):
    monkeypatch.setattr(gpu, "PROVIDER", "CUDAExecutionProvider")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    assert gpu.on_gpu(embedder, catalog) is None


def test_too_few_photos_that_can_be_read(embedder, catalog, stand_in, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "WORTH_IT", 1)
    assert gpu.on_gpu(embedder, catalog.select(range(66))) is not None  # one of them is bad
    assert gpu.on_gpu(embedder, catalog.select(range(64))) is None
    assert "the GPU is not used: only 63 photos can be read, and 64 are compared" in capsys.readouterr().err


def test_a_gpu_that_fails_at_work_is_not_used(embedder, catalog, stand_in, monkeypatch, capsys):
    vectors = Embedder.vectors

    def failing(self, batch):
        if self is not embedder:
            raise RuntimeError("CUDA error: out of memory")
        return vectors(self, batch)

    monkeypatch.setattr(Embedder, "vectors", failing)
    assert gpu.on_gpu(embedder, catalog) is None
    assert "the GPU is not used: CUDA error: out of memory" in capsys.readouterr().err


def test_a_gpu_is_always_shown_as_many_photos(embedder, run_folder):
    other = Embedder.open(run_folder)
    seen, run = [], other._session.run
    size = other.preprocessing.size
    batch = np.random.default_rng(0).integers(0, 256, (5, size, size, 3), dtype=np.uint8)
    other._on_cpu, other.at_once = False, 4
    other._session = type(
        "Session", (), {"run": lambda _, names, given: seen.append(len(given["images"])) or run(names, given)}
    )()
    np.testing.assert_allclose(other.vectors(batch), embedder.vectors(batch), atol=1e-6)
    assert seen == [4, 4]
