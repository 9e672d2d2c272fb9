"""Photos a second from a folder of JPEGs to vectors: Fieldmark, the plain PyTorch way, and the network alone.

    python -m bench.embedding PHOTOS [--backbones efficientnet-lite0,timm:resnet50,...] [--rounds 3] [--large]

PHOTOS is a folder of photos, such as birds100/images, of which JPEGs of 500 x 375 pixels are pieced together, so that
they have as much detail as a camera's (with --large of 4000 x 3000). The ways take turns, each in a process of its own,
on the same files and the same network; starting Python and importing are not counted, opening the network is.

- plain: timm's model as it comes, torchvision's transforms, a DataLoader with a worker a core.
- helped: the same with the allocator setting of embedder/memory.py, and channels_last.
- fieldmark: ``python -m embedder.embed``, from the folder to the embeddings folder.
- bare: ONNX Runtime's forward pass of the same file on pixels that are in memory, batches of 32, as it comes.
"""

import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from bench.processes import in_a_process

WAYS = ("plain", "helped", "fieldmark", "bare")
SIZE, BATCH = 224, 32
SMALL, LARGE = (500, 375), (4000, 3000)
QUALITY = 92


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--backbones", default="efficientnet-lite0,timm:resnet50,timm:vit_small_patch16_224")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15, help="about how long each way takes in a round")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--work", type=Path, default=Path("bench/runs/embedding"))
    parser.add_argument("--way", nargs=3, metavar=("WAY", "BACKBONE", "COUNT"), help="one measurement, in this process")
    options = parser.parse_args()
    folder = options.work / ("large" if options.large else "small")
    if options.way:
        way, backbone, count = options.way
        print(json.dumps(measured(way, backbone, folder, int(count), options.work)))
        return
    shape, most = (LARGE, 300) if options.large else (SMALL, 3000)
    piece_together(options.photos, folder, most, shape)
    ways = options.ways.split(",")
    print("| network | way | photos/s | of plain | of bare |\n|---|---|---|---|---|", flush=True)
    for backbone in options.backbones.split(","):
        export_network(backbone, options.work)
        counts = {way: min(most, max(2 * BATCH, int(rate(way, backbone, 2 * BATCH) * options.seconds))) for way in ways}
        rounds = [{way: rate(way, backbone, counts[way]) for way in ways} for _ in range(options.rounds)]
        for way in ways:
            found = [one[way] for one in rounds]
            shares = [
                f"{statistics.median(one[way] / one[other] for one in rounds):.2f}" if other in ways else ""
                for other in ("plain", "bare")
            ]
            print(f"| {backbone} | {way} | {statistics.median(found):.1f} | {' | '.join(shares)} |", flush=True)


rate = partial(in_a_process, "bench.embedding")
"""Photos a second of a way, a backbone and a number of photos, measured in a new process."""


def piece_together(photos: Path, folder: Path, count: int, shape: tuple[int, int]) -> None:
    """Fill a folder with JPEGs of one size, each a mosaic of photos that is cut to it."""
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(photos.rglob("*.jpg"))
    draw = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number:05d}.jpg"
        order = draw.permutation(len(files))
        if path.exists():
            continue
        with Image.open(files[order[0]]) as first:
            width, height = first.size
        image = Image.new("RGB", shape)
        places = [(x, y) for x in range(0, shape[0], width) for y in range(0, shape[1], height)]
        for (x, y), which in zip(places, order, strict=False):
            with Image.open(files[which]) as one:
                image.paste(one.resize((width, height)), (x, y))
        image.save(path, quality=QUALITY)


def export_network(backbone: str, work: Path) -> None:
    """Write the backbone, with the pooled features as its vector, as an embedder."""
    from embedder.config import ModelSettings
    from embedder.export import export
    from embedder.model.network import build_network
    from embedder.preprocess import Preprocessing

    weights = "pretrained" if backbone == "efficientnet-lite0" else "random"
    pooling: Literal["token", "avg"] = "token" if "vit" in backbone else "avg"
    settings = ModelSettings(backbone=backbone, weights=weights, pooling=pooling, head="none", norm="none")
    export(build_network(settings), Preprocessing(SIZE), onnx_file(work, backbone), {})


def onnx_file(work: Path, backbone: str) -> Path:
    """Where a backbone is exported to."""
    return work / f"{backbone.replace(':', '-')}.onnx"


def measured(way: str, backbone: str, folder: Path, count: int, work: Path) -> float:
    """Photos a second over ``count`` of them."""
    files = sorted(folder.glob("*.jpg"))[:count]
    if way == "bare":
        seconds = bare(onnx_file(work, backbone), count)
    elif way == "fieldmark":
        seconds = fieldmark(onnx_file(work, backbone), files, work)
    else:
        seconds = plain(backbone, files, way == "helped")
    return count / seconds


def bare(file: Path, count: int) -> float:
    """Seconds that ONNX Runtime takes for the network alone, after one batch that is not counted."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, SIZE, SIZE, 3), dtype=np.uint8)
    session.run(["vector"], {"images": pixels})
    start = time.perf_counter()
    for done in range(0, count, BATCH):
        session.run(["vector"], {"images": pixels[: count - done]})
    return time.perf_counter() - start


def fieldmark(file: Path, files: list[Path], work: Path) -> float:
    """Seconds that the command takes, from the list of photos to the embeddings folder."""
    from embedder.embed import main as embed

    table = work / "photos.csv"
    table.write_text("path\n" + "".join(f"{path.absolute()}\n" for path in files))
    start = time.perf_counter()
    embed(file, str(table), out=work / "vectors", overwrite=True)
    return time.perf_counter() - start


def plain(backbone: str, files: list[Path], helped: bool) -> float:
    """Seconds that a script of a few lines takes, as one finds it in examples."""
    import timm
    import torch
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    from embedder.memory import keep_freed_memory

    if helped:
        keep_freed_memory()

    class Photos(Dataset):
        def __init__(self) -> None:
            self.transform = transforms.Compose(
                [
                    transforms.Resize(round(SIZE / 0.875), transforms.InterpolationMode.BICUBIC),
                    transforms.CenterCrop(SIZE),
                    transforms.ToTensor(),
                    transforms.Normalize([0.5] * 3, [0.5] * 3),
                ]
            )

        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, row: int) -> torch.Tensor:
            return self.transform(Image.open(files[row]).convert("RGB"))

    start = time.perf_counter()
    name = "tf_efficientnet_lite0" if backbone == "efficientnet-lite0" else backbone.removeprefix("timm:")
    model = timm.create_model(name, pretrained=False, num_classes=0).eval()
    if helped:
        model = model.to(memory_format=torch.channels_last)
    vectors = []
    with torch.inference_mode():
        for batch in DataLoader(Photos(), batch_size=BATCH, num_workers=torch.get_num_threads()):
            images = batch.to(memory_format=torch.channels_last) if helped else batch
            vectors.append(torch.nn.functional.normalize(model(images)))
    assert sum(map(len, vectors)) == len(files)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
