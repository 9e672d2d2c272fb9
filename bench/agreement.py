"""Do the fast path's vectors agree with the training network's?

    python -m bench.agreement RUN [RUN ...] [--photos PHOTOS]

Of each run, all photos of its data (or of PHOTOS) become vectors in both ways: by ``python -m embedder.embed``, and by
the network in torch, photos being decoded at their full size. The least cosine and the recall@1 of both are printed;
the difference is to stay within 0.1 points.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from embedder import Embedder
from embedder.data.catalog import Catalog, read_catalog
from embedder.embed import main as embed
from embedder.export import trained_network
from embedder.preprocess import Preprocessing
from embedder.run_folder import run_settings
from embedder.runtime import BATCH
from eval.embeddings import EmbeddingSet
from eval.evaluation import evaluate
from eval.images import open_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--photos")
    options = parser.parse_args()
    print("| run | photos | least cosine | recall@1, torch | recall@1, fast | difference, points |")
    print("|---|---|---|---|---|---|")
    for run in options.runs:
        data = run_settings(run)["data"]
        source = options.photos or ":".join(filter(None, (data["name"], data["root"]))) or "drawn_birds"
        photos = read_catalog(source)
        with tempfile.TemporaryDirectory() as work:
            fast = EmbeddingSet.load(embed(run, source, out=Path(work, "vectors"), on_bad_image="error"))
        slow = in_torch(run, photos, Embedder.open(run).preprocessing)
        least = (fast.vectors.astype(np.float64) * slow).sum(axis=1).min()
        before, after = recall_at_1(slow, photos), recall_at_1(fast.vectors, photos)
        print(
            f"| {run.name} | {len(photos)} | {least:.6f} | {before:.4f} | {after:.4f} | {100 * (after - before):+.3f} |"
        )


@torch.inference_mode()
def in_torch(run: Path, photos: Catalog, preprocessing: Preprocessing) -> np.ndarray:
    """Vectors ``[N, D]`` of photos at their full size, by the network of a run."""
    network = trained_network(run, Embedder.open(run).views)
    vectors = []
    for start in range(0, len(photos), BATCH):
        rows = range(start, min(start + BATCH, len(photos)))
        opened = [(open_image(photos.file(row), photos.box(row)), photos.box(row) is not None) for row in rows]
        pixels = np.stack([preprocessing(image, boxed=boxed) for image, boxed in opened])
        vectors.append(network(torch.from_numpy(pixels)).vector.numpy())
    return np.concatenate(vectors)


def recall_at_1(vectors: np.ndarray, photos: Catalog) -> float:
    """The share of photos whose nearest other one is of their class."""
    table = pa.table({"id": list(map(str, range(len(photos)))), "label": photos.labels, "path": photos.paths})
    return evaluate(EmbeddingSet(vectors, table, "")).means()["recall@1"]


if __name__ == "__main__":
    main()
