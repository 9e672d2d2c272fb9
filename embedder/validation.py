"""How good a network is in mid-training, by the same functions that ``eval.recall`` uses."""

import numpy as np
import pyarrow as pa
import torch

from embedder.data.catalog import Catalog
from embedder.model.network import Network
from embedder.prefetch import batched, prefetched
from embedder.preprocess import Preprocessing
from embedder.runtime import BATCH
from eval.cores import available_cores
from eval.embeddings import EmbeddingSet
from eval.evaluation import evaluate
from eval.images import open_image


def validate(network: Network, photos: Catalog, preprocessing: Preprocessing) -> dict[str, float]:
    """The means of the retrieval metrics over ``photos``, each searched for among the others.

    Args:
        network: left in evaluation mode.
        photos: all readable; none, or none with another one of its class, give no metrics.
        preprocessing: how a photo becomes the network's input.

    Returns:
        ``queries`` and ``left_out``, the photos that were measured and those without another one of their class; and
        recall@1, r_precision, map@r and the rest, shares in [0, 1].
    """
    if len(set(photos.labels)) == len(photos):
        return {}
    vectors = embed(network, photos, preprocessing)
    table = pa.table({"id": list(map(str, range(len(photos)))), "label": photos.labels, "path": photos.paths})
    evaluation = evaluate(EmbeddingSet(vectors, table, ""))
    return {"queries": evaluation.queries, "left_out": evaluation.left_out, **evaluation.means()}


@torch.no_grad()
def embed(network: Network, photos: Catalog, preprocessing: Preprocessing) -> np.ndarray:
    """Vectors float32 [N, D] of the photos, in evaluation mode on the network's own device."""
    network.eval()

    def prepare(row: int) -> np.ndarray:
        return preprocessing(open_image(photos.file(row), photos.box(row), preprocessing.enough))

    pixels = prefetched(prepare, range(len(photos)), threads=available_cores(), ahead=2 * BATCH)
    batches = (torch.from_numpy(np.stack(batch)).to(network.mean.device) for batch in batched(pixels, BATCH))
    return torch.cat([network(batch).vector.cpu() for batch in batches]).numpy()
