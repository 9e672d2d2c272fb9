"""Settings that do not go together, told before a photo is read."""

from embedder.config import Config, MixSettings
from embedder.data.sampler import classes_in_batch
from embedder.loss_contracts import LOSSES
from embedder.loss_options import split_names
from embedder.preprocess import GREATEST_SIZE
from eval.errors import InputError

_TRAINED_POOLINGS = ("gem", "attention", "rollout")


def check_together(config: Config) -> None:
    """Refuse settings of which one takes away what another one needs.

    Raises:
        InputError: names both.
    """
    classes_in_batch(config.train.batch_size, config.train.photos_per_class)
    _check_model(config)
    _check_pairs(config)
    _check_mixing_losses(config.mix, split_names(config.loss.name))
    _check_mixing(config)
    _check_feature_views(config)
    _check_cache(config)
    _check_crops(config)


def _check_model(config: Config) -> None:
    """Parts that nothing finds or that no photo shows as they are, and attention to what nothing looks at."""
    weight, model = config.loss.part_centre, config.model
    if model.attention != "none" and model.pooling == "token" and (not model.parts or model.part_stride):
        raise InputError(
            f"model.attention {model.attention} weighs the feature map, which model.pooling token does not look at; "
            "choose another pooling, or model.attention none"
        )
    if model.look == "second" and not model.finds_parts:
        why, instead = "the embedder has no parts to look at", "set model.parts, model.pooling rollout, or look first"
        if not config.train.epochs:
            why, instead = "train.epochs is 0, and parts to look at are found by training", "set it to first or none"
        raise InputError(f"model.look is second, but {why}; {instead}")
    _check_look(config)
    augment = config.augment
    if weight and augment.attended_crop + augment.attended_drop == 1 and not augment.attended_since:
        raise InputError(
            f"loss.part_centre is {weight}, which is of photos that are not changed, but augment.attended_crop "
            f"{augment.attended_crop} and attended_drop {augment.attended_drop} change all of them; lower one of these"
        )
    if not config.train.epochs or model.parts:
        return
    if weight:
        without = "the parts of model.pooling rollout have no features"
        fault = without if model.finds_parts else "the network has no parts"
        raise InputError(f"loss.part_centre is {weight}, but {fault}; set model.parts, or it to 0")
    if model.part_stride:
        raise InputError(
            f"model.part_stride is {model.part_stride}, but the network finds no parts; set model.parts, or it to 0"
        )


def _check_look(config: Config) -> None:
    """A square that nothing looks at, or that is cut out of photos larger than any."""
    model, data = config.model, config.data
    if model.look_side and model.look != "first":
        raise InputError(
            f"model.look_side is {model.look_side}, and model.look is {model.look}; set it to first, or look_side to 0"
        )
    largest = max(data.size, data.test_size or 0) * model.detail
    if largest > GREATEST_SIZE:
        raise InputError(
            f"model.look_detail is {model.look_detail}, which makes photos of {largest} pixels, more than "
            f"{GREATEST_SIZE}; lower it, data.size or data.test_size"
        )


def _check_pairs(config: Config) -> None:
    """Losses that compare photos of a class, where no two of them meet."""
    train, names = config.train, split_names(config.loss.name)
    alone = train.photos_per_class == 1 and (not config.loss.memory or config.loss.memory_start > 0)
    pairs = [name for name in names if LOSSES[name].pairs]
    if train.epochs and alone and pairs:
        raise InputError(
            f"train.photos_per_class is 1, so that no batch holds two photos of a class, which the loss {pairs[0]} "
            "compares; raise it, or set loss.memory, and loss.memory_start to 0"
        )


def _check_mixing_losses(mix: MixSettings, names: list[str]) -> None:
    """Mixing that a loss cannot use."""
    of_photos = [name for name, contract in LOSSES.items() if not contract.pairs]
    of_vectors = [*of_photos, *(name for name, contract in LOSSES.items() if contract.between)]
    photos = f"photos is {mix.photos}"
    wanted = {photos: (mix.photos != "none", of_photos), "vectors is true": (mix.vectors, of_vectors)}
    for setting, (mixed, able) in wanted.items():
        if mixed and (unable := [name for name in names if name not in able]):
            instead = setting == photos and not mix.vectors and {*names} <= {*of_vectors}
            raise InputError(
                f"mix.{setting}, but the loss {unable[0]} cannot use what is mixed; those that can: "
                f"{', '.join(able)}{'; or mix vectors (mix.vectors)' if instead else ''}"
            )


def _check_mixing(config: Config) -> None:
    """Mixing of nothing; losses of photos of one class, where every photo is of two."""
    mix, weight = config.mix, config.loss.part_centre
    if (mix.photos != "none" or mix.vectors) and mix.since >= mix.until:
        raise InputError(
            f"mix.since is {mix.since} and mix.until {mix.until}, so nothing is mixed; lower mix.since, or set "
            "mix.photos to none and mix.vectors to false"
        )
    if mix.photos != "none" and not mix.share:
        raise InputError(f"mix.photos is {mix.photos}, but mix.share is 0; raise it, or set mix.photos to none")
    if mix.vectors and not mix.weight:
        raise InputError("mix.vectors is true, but mix.weight is 0; raise it, or set mix.vectors to false")
    if mix.photos == "none" or mix.share < 1:
        return
    rests = {
        "mix.vectors is true": mix.vectors,
        f"loss.part_centre is {weight}": weight > 0 and not mix.since and mix.until == 1,
    }
    if setting := next((setting for setting, wanted in rests.items() if wanted), None):
        raise InputError(
            f"{setting}, which is of batches whose photos are not mixed, but mix.photos is {mix.photos} in all of "
            "them; lower mix.share"
        )


def _check_feature_views(config: Config) -> None:
    """What needs the photos themselves in every step, where they are seen once."""
    model, augment = config.model, config.augment
    faults = {
        f"model.frozen_stages is {model.frozen_stages}; set it to all": model.frozen_stages != "all",
        f"model.attention {model.attention} is trained; set it to none": model.attention != "none",
        f"model.pooling {model.pooling} is trained; take another": model.pooling in _TRAINED_POOLINGS,
        f"model.parts is {model.parts}; set it to 0": model.parts > 0,
        f"mix.photos is {config.mix.photos}; set it to none": config.mix.photos != "none",
        f"model.look is {model.look}; set it to none": model.look != "none",
        "augment.attended_crop or attended_drop is set; set both to 0": augment.attended_crop + augment.attended_drop
        > 0,
    }
    fault = next((fault for fault, there in faults.items() if there), None)
    if config.data.feature_views and fault:
        raise InputError(f"data.feature_views is {config.data.feature_views}, so photos are seen once, but {fault}")


def _check_cache(config: Config) -> None:
    """Views of what photos that are kept at the size of training have too few pixels for."""
    if config.data.cache and config.augment.pose_head:
        raise InputError(
            f"augment.pose_head is {config.augment.pose_head}, but data.cache keeps photos at the size of training, in "
            "which a head is too small to be seen closer; leave one of them out"
        )


def _check_crops(config: Config) -> None:
    """Crops that are squashed though photos are not."""
    if config.train.epochs and config.augment.relative_aspect and config.data.fit != "squash":
        raise InputError(
            f"augment.relative_aspect squashes crops as photos are, but data.fit {config.data.fit} squashes none; set "
            "it to squash, or relative_aspect to false"
        )


def comparing_places(config: Config) -> list[str]:
    """The options that compare the places of training photos, so that there must be several."""
    augment = config.augment
    wanted = {
        "augment.attended_crop": augment.attended_crop > 0,
        "augment.attended_drop": augment.attended_drop > 0,
        "mix.photos snapmix": config.mix.photos == "snapmix",
    }
    return [option for option, there in wanted.items() if there]
