"""Do the parts that a network finds by itself lie on field marks? Pairs of drawn birds that differ in exactly one mark.

    python -m bench.parts FOLDER [--seeds 3] [--epochs 8] [--size 160] [--test-size 224] [--parts 16]
        [--part-stride 16] [--photos 32] [--birds 8] [--held-out] [--results FILE]

FOLDER gets the photos, so many of each species in a folder of its own, and the trainings, one a seed; a photo counts by
its mean over them. Trained on are 24 species, 12 pairs; the same individuals are drawn of each, so that pose and
surroundings say nothing about the species. On photos of new individuals it is asked where the strongest part map
points: at the middle of the place where it is greatest. The strongest map is, of a pair, the one whose part features
tell the two species apart best in the training photos: the squared distance of their means over the spread within the
species. As that takes what tells two species, which differ at the mark alone, "untrained" is the control: chosen in the
same way, from as many maps that have not been trained, of the pretrained backbone's features. "highest" takes instead,
photo by photo, the map with the greatest value, and "speaking" the one whose part says most about which of the two it
is.

The mark is where the photos of both members of a pair, drawn as the same individual, differ; where leaves hide it, both
are left out. A point is at the mark if it is no farther from it than half a place of the map, whoever points: the maps,
a random point on the bird (the mean over all of them), and the middle of the bird's box. As finer maps leave less room,
for random points too, the three are also given with half a place of 7 x 7. --held-out looks at other individuals, for
choices. Each training's results are lines of bench/measured/parts.jsonl, or of --results; what has them is not trained
again.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageChops
from scipy.ndimage import distance_transform_edt

from bench.differences import Result, add_results, read_of_kind, read_results
from embedder.config import AugmentSettings, Config, DataSettings, LossSettings, ModelSettings, TrainSettings
from embedder.data.drawing.bird import DrawnBird, draw_bird
from embedder.data.drawing.species import Species
from embedder.export import trained_network
from embedder.memory import keep_freed_memory
from embedder.model.attended import activation_map
from embedder.model.network import Network, build_network
from embedder.preprocess import Preprocessing
from embedder.runtime import BATCH, Embedder
from embedder.train import fit
from eval.bootstrap import Interval, class_intervals
from eval.images import open_image

SIDE = 288
FIRST, FIRST_HELD_OUT = 10_000, 20_000
"""Individuals to look at, as many more for each pair as it has; those trained on begin at 0."""

DIFFERENT, SEEN = 24, 12
"""Grey levels from which on a pixel differs, and pixels from which on a mark can be seen."""

Pair = tuple[Species, Species]
PAIRS: dict[str, Pair] = {
    mark: (plumage, replace(plumage, name=f"{plumage.name} with another {mark}", **dict[str, Any]({mark: colour})))
    for plumage, mark, colour in (
        (Species("Finch", "umber", "cream", "umber", "cocoa", bill="conical", legs="flesh"), "brow", "white"),
        (Species("Warbler", "olive", "lemon", "olive", "olive", bill_length="short"), "eye_ring", "white"),
        (Species("Tit", "ash", "white", "slate", "slate", cap="black", bill_length="short"), "cap", "chestnut"),
        (Species("Thrush", "cocoa", "buff", "cocoa", "cocoa", tail="rounded", legs="flesh"), "moustache", "black"),
        (Species("Tuftlet", "indigo", "pearl", "indigo", "black", crest="indigo"), "crest", "orange"),
        (Species("Chat", "slate", "rust", "slate", "slate", bill_length="short", legs="black"), "throat", "white"),
        (Species("Duneling", "sand", "white", "umber", "umber", bill="upturned"), "collar", "black"),
        (Species("Flit", "azure", "white", "indigo", "indigo", bill_length="short"), "breast_band", "indigo"),
        (Species("Honeybill", "moss", "bone", "moss", "pine", bill="decurved", bill_length="long"), "rump", "white"),
        (Species("Creeper", "teal", "bone", "teal", "pine", bill="decurved", vent="amber"), "vent", "crimson"),
        (Species("Redling", "chestnut", "sand", "chestnut", "cocoa", bill="conical"), "wing_panel", "white"),
        (Species("Gladebird", "pine", "gold", "pine", "pine", tail="rounded"), "tail_tip", "white"),
    )
}
ROOMY = 7
"""Places a side of a coarse map, of which half a one is room for any network."""

COLUMNS = (
    "strongest", "random point", "middle of box", "untrained", "highest", "speaking", "activation map", "told apart"
)  # fmt: skip
Scores = dict[str, np.ndarray]


class Seen(NamedTuple):
    """What a network with parts gives for photos, as ``embedder.model.network.Output`` has it."""

    vector: torch.Tensor
    features: torch.Tensor
    parts: torch.Tensor
    part_features: torch.Tensor


@dataclass(frozen=True)
class Photo:
    """A new photo, cut out around its bird: c x c pixels.

    Attributes:
        image: what the network is shown.
        distance: of each pixel from the mark, in pixels: [c, c].
        bird: which pixels are its: [c, c].
        middle: of the bird's box, x and y in pixels: [2].
    """

    image: Image.Image
    distance: np.ndarray
    bird: np.ndarray
    middle: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--test-size", type=int, default=224)
    parser.add_argument("--photos", type=int, default=32, help="of each species to train on")
    parser.add_argument("--birds", type=int, default=8, help="new individuals of each pair")
    parser.add_argument("--parts", type=int, default=16)
    parser.add_argument("--part-stride", type=int, default=16)
    parser.add_argument("--part-centre", type=float, default=1.0)
    parser.add_argument("--added-rate", type=float, default=15.0)
    parser.add_argument("--run", default="run", help="name of the trainings in FOLDER, before -SEED")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--results", type=Path, default=Path("bench/measured/parts.jsonl"))
    measure(parser.parse_args())


def measure(options: argparse.Namespace) -> None:
    """Train with each seed, but for what is among the results, and print the table."""
    options.folder /= f"{options.photos}-photos"
    of_this = ("folder", "seeds", "run", "results")
    kind = {name: value for name, value in vars(options).items() if name not in of_this}
    done = {one["seed"] for one in read_of_kind(options.results, lambda _: kind)}
    for seed in {*range(options.seeds)} - done:
        draw_training(options.folder / "train", options.photos)
        run = fit(settings(options, seed), options.folder / f"{options.run}-{seed}")
        keep_freed_memory()
        found = scored(run, seed, options)
        add_results(options.results, [{"seed": seed, **kind, "scores": found}])
    show(read_results(options.results))


def scored(run: Path, seed: int, options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """What one training does, by mark: of each way to point, whether it is at the mark in each photo."""
    network, preprocessing = trained_network(run), replace(Embedder.open(run).preprocessing, size=options.test_size)
    torch.manual_seed(seed)
    untrained = build_network(settings(options, seed).model).eval()
    first, scores = FIRST_HELD_OUT if options.held_out else FIRST, {}
    for mark, pair in PAIRS.items():
        photos = new_photos(pair, range(first, first + options.birds))
        first += options.birds
        images = [training_photos(options.folder / "train", one) for one in pair]
        known, before = ([look(one, preprocessing, some) for some in images] for one in (network, untrained))
        by_chance = look(untrained, preprocessing, [photo.image for photo in photos]).parts[:, telling_part(before)]
        found = pointed(network, preprocessing, known, photos, {"untrained": strongest_places(by_chance)})
        scores[mark] = {name: values.round(4).tolist() for name, values in found.items()}
    return scores


def draw_training(folder: Path, count: int) -> None:
    """Photos to train on: one folder a species."""
    for species in (one for pair in PAIRS.values() for one in pair):
        (folder / species.name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            file = folder / species.name / f"{number:04}.jpg"
            if not file.exists():
                bird = draw_bird(species, number, SIDE)
                bird.image.crop(square(bird)).save(file, quality=92, subsampling=0)


def training_photos(folder: Path, species: Species) -> list[Image.Image]:
    """Every other photo of one species trained on."""
    return [*map(open_image, sorted((folder / species.name).iterdir())[::2])]


def square(bird: DrawnBird) -> tuple[int, int, int, int]:
    """A square around a bird, with some room where the picture has it."""
    left, top, right, bottom = bird.box
    side = min(SIDE, round(1.1 * max(right - left, bottom - top)))
    x, y = (min(max(0, (low + high - side) // 2), SIDE - side) for low, high in ((left, right), (top, bottom)))
    return x, y, x + side, y + side


def settings(options: argparse.Namespace, seed: int) -> Config:
    """The training's."""
    root = str(options.folder / "train")
    return Config(
        data=DataSettings(root=root, protocol="closed-set", validation="none", size=options.size, fit="squash"),
        augment=AugmentSettings(attended_crop=0.3, attended_drop=0.3, attended_since=0.0),
        model=ModelSettings(head="none", frozen_stages=4, parts=options.parts, part_stride=options.part_stride),
        loss=LossSettings(part_centre=options.part_centre),
        train=TrainSettings(epochs=options.epochs, batch_size=32, added_rate=options.added_rate, accelerator="cpu"),
        seed=seed,
    )


def new_photos(pair: Pair, individuals: Sequence[int]) -> list[Photo]:
    """Photos of both members of a pair as the same individuals, where the mark can be seen; first all of the one."""
    both: tuple[list[Photo], list[Photo]] = ([], [])
    for individual in individuals:
        birds = [draw_bird(species, individual, SIDE) for species in pair]
        cut = square(birds[0])
        images = [bird.image.crop(cut) for bird in birds]
        mark = np.asarray(ImageChops.difference(*images)).max(axis=2) > DIFFERENT
        if mark.sum() < SEEN:
            continue
        distance = distance_transform_edt(~mark)
        for photos, image, bird in zip(both, images, birds, strict=True):
            middle = (np.add(bird.box[:2], bird.box[2:]) / 2) - cut[:2]
            photos.append(Photo(image, distance, np.asarray(bird.mask.crop(cut)) >= 128, middle))
    return [*both[0], *both[1]]


@torch.inference_mode()
def look(network: Network, preprocessing: Preprocessing, images: Sequence[Image.Image]) -> Seen:
    """What the network gives for photos."""
    starts = range(0, len(images), BATCH)
    batches = [torch.from_numpy(preprocessing.stack(images[start : start + BATCH])) for start in starts]
    outputs = [network.seen(batch) for batch in batches]
    return Seen(*(torch.cat([getattr(output, field) for output in outputs]) for field in Seen._fields))


@torch.inference_mode()
def pointed(
    network: Network,
    preprocessing: Preprocessing,
    known: list[Seen],
    photos: list[Photo],
    more: Mapping[str, np.ndarray],
) -> Scores:
    """Whether each new photo of a pair is pointed at where its mark is, and whether it is told from the other member.

    Args:
        network: trained.
        preprocessing: how it sees photos.
        known: what it gives for the photos trained on of either species.
        photos: as many of each; those of the first come first.
        more: where others point: x and y [B, 2] as shares of the side.
    """
    new = look(network, preprocessing, [photo.image for photo in photos])
    every = torch.arange(len(photos))
    ways = {
        "strongest": strongest_places(new.parts[:, telling_part(known)]),
        "highest": strongest_places(new.parts[every, new.parts.amax((2, 3)).argmax(1)]),
        "speaking": strongest_places(new.parts[every, what_parts_say(network, known, new).abs().argmax(1)]),
        "activation map": strongest_places(activation_map(new.features)),
        "middle of box": np.stack([photo.middle / photo.image.width for photo in photos]),
        **more,
    }
    scores = {}
    for room, reach in ((", more room", 0.5 / ROOMY), ("", 0.5 / new.parts.shape[3])):
        for way, points in ways.items():
            hits = [at_mark(photo, point, reach) for photo, point in zip(photos, points, strict=True)]
            scores[way + room] = np.array(hits)
        scores["random point" + room] = np.array([on_average_at_mark(photo, reach) for photo in photos])
    nearer = (new.vector @ torch.stack([one.vector.mean(0) for one in known]).T).argmax(1)
    scores["told apart"] = (nearer == 2 * every // len(photos)).double().numpy()
    return scores


def mean_scores(results: list[Result]) -> dict[str, Scores]:
    """By mark, of each photo the mean over some trainings."""
    by_seed = [one["scores"] for one in results]
    return {
        mark: {name: np.mean([scores[mark][name] for scores in by_seed], axis=0) for name in found}
        for mark, found in by_seed[0].items()
    }


def telling_part(known: list[Seen]) -> int:
    """The part whose features tell two species apart best, given photos of each."""
    means = [one.part_features.mean(0) for one in known]
    spreads = [(one.part_features - mean).square().sum(2).mean(0) for one, mean in zip(known, means, strict=True)]
    return int(((means[0] - means[1]).square().sum(1) / (spreads[0] + spreads[1])).argmax())


def what_parts_say(network: Network, known: list[Seen], new: Seen) -> torch.Tensor:
    """How far each part moves the vectors of photos from one species' towards the other's: [B, M]."""
    vectors, seen = (torch.stack([getattr(one, name).mean(0) for one in known]) for name in ("vector", "part_features"))
    assert network.parts is not None
    weights = ((vectors[1] - vectors[0]) @ network.parts.project.weight).view_as(seen[0])
    return ((new.part_features - seen.mean(0)) * weights).sum(2)


def strongest_places(maps: torch.Tensor) -> np.ndarray:
    """The middle of the strongest place of maps [B, h, w]: x and y [B, 2] as shares of the side."""
    height, width = maps.shape[1:]
    row, column = np.divmod(maps.flatten(1).argmax(1).numpy(), width)
    return np.stack([(column + 0.5) / width, (row + 0.5) / height], axis=1)


def at_mark(photo: Photo, point: np.ndarray, reach: float) -> float:
    """1 if a point is no farther from the mark than ``reach``, both as shares of the photo's side; else 0."""
    side = photo.image.width
    column, row = (point * side).astype(int).clip(0, side - 1)
    return float(photo.distance[row, column] <= reach * side)


def on_average_at_mark(photo: Photo, reach: float) -> float:
    """For what share of the points on the bird that is so."""
    return float((photo.distance[photo.bird] <= reach * photo.image.width).mean())


def show(results: list[Result]) -> None:
    """The table by pair and in all, how far it is from the aims, and what each training comes to."""
    scores = mean_scores(results)
    print("| mark | photos |", " | ".join(COLUMNS), "|")
    print("|" + "---|" * (2 + len(COLUMNS)))
    for mark, found in scores.items():
        print_row(mark, found)
    every = {name: np.concatenate([found[name] for found in scores.values()]) for name in COLUMNS}
    first, second = (
        {name: np.concatenate([np.split(found[name], 2)[half] for found in scores.values()]) for name in COLUMNS}
        for half in (0, 1)
    )
    pairs = np.repeat(np.arange(len(scores)), [len(found["told apart"]) for found in scores.values()])
    print_row("all, first of the pair", first)
    print_row("all, second", second)
    told = class_intervals(every, pairs)
    print("| all |", len(pairs), "|", " | ".join(words(told[name]) for name in COLUMNS), "|")
    strongest, random, middle = (every[name] for name in COLUMNS[:3])
    more = {"twice the random point": strongest - 2 * random, "the middle of the box": strongest - middle}
    more |= {"an untrained map": strongest - every["untrained"]}
    print(f"\n{compared(scores, *COLUMNS[:3])}")
    for name, less in class_intervals(more, pairs, bounds=(-2.0, 1.0)).items():
        print(f"strongest minus {name}: {words(less)}{', rough: few pairs' if less.is_rough else ''}")
    print(f"with more room: {compared(scores, *(f'{name}, more room' for name in COLUMNS[:3]))}")
    for one in results:
        print(f"seed {one['seed']}: {compared(mean_scores([one]), *COLUMNS[:3])}")


def compared(scores: dict[str, Scores], *names: str) -> str:
    """How often the strongest map, a random point and the middle of the box are at the mark."""
    strongest, random, middle = (np.concatenate([found[name] for found in scores.values()]).mean() for name in names)
    return f"strongest {strongest:.2f}, random point {random:.2f} ({strongest / random:.2f} times), middle {middle:.2f}"


def print_row(name: str, found: Scores) -> None:
    """The means of some photos."""
    cells = (f"{found[column].mean():.2f}" for column in COLUMNS)
    print("|", name, "|", len(found["told apart"]), "|", " | ".join(cells), "|")


def words(one: Interval) -> str:
    """A mean with its interval."""
    return f"{one.mean:.2f} [{one.low:.2f}, {one.high:.2f}]"


if __name__ == "__main__":
    main()
