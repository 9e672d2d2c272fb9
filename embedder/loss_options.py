"""Reading the names and options of losses from the settings."""

import re
from typing import Any

from embedder.loss_contracts import LOSSES, Option, Value
from eval.errors import InputError, unknown


def split_names(joined: str) -> list[str]:
    """The losses of a sum such as ``triplet+proxy-nca++``: a plus sign joins where another name follows.

    Raises:
        InputError: an unknown name, or the same name twice.
    """
    names = re.split(r"\+(?=\w)", joined)
    for name in names:
        if name not in LOSSES:
            raise unknown("loss", name, LOSSES)
    if len(set(names)) < len(names):
        raise InputError(f"loss.name is {joined!r}; name each loss once, and weigh it with loss.weights")
    return names


def resolve_options(names: list[str], given: dict[str, Any]) -> dict[str, dict[str, Value]]:
    """Every option of the named losses.

    Args:
        names: of the losses.
        given: options by name, each for all the named losses that declare it, or by loss and name.

    Returns:
        By loss and name: what is given under the loss's own name, else what is given for all, else the default.

    Raises:
        InputError: an option that no named loss declares, or a value of another type or outside its range.
    """
    resolved = {name: {key: option.default for key, option in LOSSES[name].options.items()} for name in names}
    for key, value in given.items():
        if isinstance(value, dict):
            continue
        takers = [name for name in names if key in resolved[name]]
        if not takers:
            raise unknown(f"option of {'+'.join(names)}", key, {option for name in names for option in resolved[name]})
        for name in takers:
            resolved[name][key] = _checked(name, key, value)
    for name, own in given.items():
        if not isinstance(own, dict):
            continue
        if name not in names:
            raise unknown("loss in loss.options", name, names)
        for key, value in own.items():
            if key not in resolved[name]:
                raise unknown(f"option of {name}", key, resolved[name])
            resolved[name][key] = _checked(name, key, value)
    return resolved


def _checked(name: str, key: str, value: Any) -> Value:
    """A value of the option's own type and inside its range."""
    option: Option = LOSSES[name].options[key]
    kind = type(option.default)
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise InputError(f"loss option {key} of {name} is {value!r}; it must be of type {kind.__name__}")
    if not option.least <= value <= option.greatest:
        raise InputError(
            f"loss option {key} of {name} is {value}; it must lie between {option.least:g} and {option.greatest:g}"
        )
    return kind(value)
