"""How good a network is in mid-training, by the same functions that ``eval.recall`` uses."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from embedder.data.catalog import Catalog
from embedder.model.network import Network
from embedder.prefetch import batched, prefetched
from embedder.preprocess import Preprocessing
from embedder.ranks import ALONE, Ranks
from embedder.runtime import BATCH
from eval.cores import available_cores
from eval.embeddings import EmbeddingSet
from eval.evaluation import evaluate
from eval.images import open_image


def has_pairs(photos: Catalog) -> bool:
    """Whether any two photos are of one class, so that something can be measured."""
    return len(set(photos.labels)) < len(photos)


@torch.no_grad()
def embed(network: Network, photos: Catalog, rows: Sequence[int], preprocessing: Preprocessing) -> Tensor:
    """Vectors float32 [N, D] of some photos, in evaluation mode on the network's own device."""
    network.eval()
    batches = prepared(photos, rows, preprocessing)
    none = torch.empty(0, network.dimension, device=network.mean.device)  # a rank's share of very few photos
    return torch.cat([none, *(network(batch.to(network.mean.device)).vector.float() for batch in batches)])


def prepared(photos: Catalog, rows: Sequence[int], preprocessing: Preprocessing) -> Iterator[Tensor]:
    """Yield some photos as evaluation sees them, in batches uint8 [B, S, S, 3] or 4."""

    def prepare(row: int) -> np.ndarray:
        box = photos.box(row)
        return preprocessing(open_image(photos.file(row), box, preprocessing.enough), boxed=box is not None)

    pixels = prefetched(prepare, rows, threads=available_cores(), ahead=2 * BATCH)
    for batch in batched(pixels, BATCH):
        yield torch.from_numpy(np.stack(batch))


def validate(
    network: Network,
    photos: Catalog,
    preprocessing: Preprocessing,
    ranks: Ranks = ALONE,
    embedded: Callable[[Network, Catalog, Sequence[int], Preprocessing], Tensor] = embed,
) -> dict[str, float]:
    """The means of the retrieval metrics over ``photos``, each searched for among the others.

    Args:
        network: left in evaluation mode.
        photos: all readable; none, or none with another one of its class, give no metrics.
        preprocessing: how a photo becomes the network's input.
        ranks: who share the embedding; the first one searches.
        embedded: what makes vectors of some rows.

    Returns:
        ``queries`` and ``left_out``, the photos that were measured and those without another one of their class; and
        recall@1, r_precision, map@r and the rest, shares in [0, 1].
    """
    if not has_pairs(photos):
        return {}
    own = embedded(network, photos, ranks.share(range(len(photos))), preprocessing)
    vectors = ranks.gather(own, len(photos))

    def search() -> dict[str, float]:
        table = pa.table({"id": list(map(str, range(len(photos)))), "label": photos.labels, "path": photos.paths})
        evaluation = evaluate(EmbeddingSet(vectors.cpu().numpy(), table, ""))
        return {"queries": evaluation.queries, "left_out": evaluation.left_out, **evaluation.means()}

    return ranks.from_first(search)
