"""Settings that do not go together, told before a photo is read."""

from embedder.config import Config
from eval.errors import InputError

_TRAINED_POOLINGS = ("gem", "attention", "rollout")


def check_together(config: Config) -> None:
    """Refuse settings of which one takes away what another one needs.

    Raises:
        InputError: names both.
    """
    _check_parts(config)
    _check_mixing(config)
    _check_feature_views(config)


def _check_parts(config: Config) -> None:
    """Parts that nothing finds."""
    weight, model = config.loss.part_centre, config.model
    if not config.train.epochs:
        if model.look == "second" and not model.finds_parts:
            raise InputError(
                "model.look is second, but train.epochs is 0, and parts to look at are found by training; set it to "
                "first or none"
            )
    elif weight and not model.parts:
        raise InputError(f"loss.part_centre is {weight}, but the network has no parts; set model.parts, or it to 0")


def _check_mixing(config: Config) -> None:
    """Mixing that ends before it begins; losses of photos of one class, where every photo is of two."""
    mix, weight = config.mix, config.loss.part_centre
    if (mix.photos != "none" or mix.vectors) and mix.since >= mix.until > 0:
        raise InputError(f"mix.since is {mix.since} and mix.until {mix.until}, so nothing is mixed; lower mix.since")
    if mix.photos == "none" or mix.share < 1 or not mix.until:
        return
    rests = {
        "mix.vectors is true": mix.vectors,
        f"loss.part_centre is {weight}": weight > 0,
    }
    for setting in (setting for setting, wanted in rests.items() if wanted):
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
    if config.data.feature_views:
        for fault in (fault for fault, there in faults.items() if there):
            raise InputError(f"data.feature_views is {config.data.feature_views}, so photos are seen once, but {fault}")
