"""What a finished training leaves: its best weights as an embedder, and what that was trained on."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from embedder import checkpoint
from embedder.checkpoint import BEST
from embedder.config import Config
from embedder.export import export
from embedder.log import Row
from embedder.model.backbone import pretraining
from embedder.model.network import Network
from embedder.preprocess import Preprocessing
from embedder.runtime import EMBEDDER
from embedder.training_data import TrainingData
from eval.files import replacing
from eval.metrics import title

TRAINED_ON = "trained_on.npy"
SELECTION = "map@r"
"""What the best epoch is chosen by: less noisy than recall@1 (Musgrave et al. 2020, section 3.2)."""


def export_best(
    folder: Path, network: Network, preprocessing: Preprocessing, config: Config, data: TrainingData, rows: list[Row]
) -> None:
    """Write ``trained_on.npy`` and, last of all, ``embedder.onnx`` with the best weights.

    Args:
        folder: of the run, with its best checkpoint.
        network: takes the best weights.
        preprocessing: how the embedder is to see photos.
        config: of the run.
        data: trained on.
        rows: the log; the first one is of the network before training.
    """
    best = checkpoint.load(folder / BEST)
    network.load_state_dict(best["network"])
    with replacing(folder / TRAINED_ON) as beside, beside.open("wb") as file:
        np.save(file, np.array(data.ids if rows[-1]["step"] else [], dtype="U32"), allow_pickle=False)
    export(network.cpu().float().eval(), preprocessing, folder / EMBEDDER, _summary(config, data, best, rows[-1]))
    if rows[-1]["step"] and SELECTION in best["row"]:
        tqdm.write(_verdict(rows[0], best), file=sys.stderr)


def _summary(config: Config, data: TrainingData, best: dict[str, Any], last: Row) -> dict[str, Any]:
    """How the embedder was made, for the file that holds it."""
    model, trained = config.model, last["step"] > 0
    return {
        "backbone": model.backbone,
        "pretraining": pretraining(model.backbone, model.weights),
        "attention": model.attention,
        "pooling": model.pooling,
        "head": model.head,
        "norm": model.norm,
        "parts": model.parts,
        **({"loss": config.loss.name, "prefixes": config.loss.prefixes} if trained else {"loss": None}),
        "data": data.photos.name,
        "catalog": data.catalog_digest,
        "protocol": data.protocol,
        "photos": len(data.ids) if trained else 0,
        "classes": len(data.photos.classes) if trained else 0,
        "classes_trained_on": list(data.photos.classes) if trained else [],
        "epochs": int(last["epoch"]),
        "best_epoch": best["epoch"],
        "seed": config.seed,
        "validation": {name: value for name, value in best["row"].items() if "@" in name or name == "r_precision"},
    }


def _verdict(first: Row, best: dict[str, Any]) -> str:
    """What training has done for the network."""
    row = best["row"]
    scores = ", ".join(f"{title(name)} {first[name]:.3f} -> {row[name]:.3f}" for name in ("recall@1", SELECTION))
    by = f"epoch {best['epoch']} is exported, by its {title(SELECTION)}"
    verdict = f"{by}: {scores}, on {row['queries']:.0f} held-out photos"
    if row[SELECTION] >= first[SELECTION]:
        return verdict
    return (
        f"training made it no better; {verdict}. For the network as it was, train with --train.epochs 0 into another "
        "--run"
    )
