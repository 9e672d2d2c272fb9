"""Backbones from timm: a convolutional network or a transformer, either way a feature map."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError
from timm.models import get_pretrained_cfg, group_parameters
from timm.models._manipulate import MATCH_PREV_GROUP
from torch import Tensor, nn

from embedder.model.features import Backbone, Features, layer_norm_of
from embedder.model.rollout import attention_layers, roll_out, watched
from embedder.model.weights import fetching, load_file, load_package
from eval.errors import InputError

LITE0 = "efficientnet-lite0"
_FILE = "model.safetensors"


class TimmBackbone(Backbone):
    """One of timm's networks up to its last feature map."""

    def __init__(self, name: str, body: Any) -> None:
        super().__init__()
        config = body.pretrained_cfg
        self.name, self.body, self.channels = name, body, body.num_features
        self.mean, self.std, self.interpolation = config["mean"], config["std"], config["interpolation"]
        self.has_token = getattr(body, "cls_token", None) is not None
        self.stages = _stages(body)
        self._reduction: int = body.feature_info[-1]["reduction"]
        self._channels_last: bool = getattr(body, "output_fmt", None) == "NHWC"
        self._watched: list[Any] = []
        self._finer: str | None = None
        self._finer_channels = 0

    def forward(self, images: Tensor) -> Features:
        """Map photos, normalised, [B, 3, H, W] to their features, [B, C, h, w] and [B, C] or None."""
        with watched(self._watched) as seen, self._kept() as kept:
            out = self.body.forward_features(images)
        if isinstance(out, Tensor) and out.ndim == 4:
            return Features(self._channels_first(out), None, finer=self._finer_map(kept))
        # Where the photo's side is no multiple, some networks fill it up (XCiT, LeViT), and others cut it (Twins).
        filled = [-(-side // self._reduction) for side in images.shape[2:]]
        cut = [side // self._reduction for side in images.shape[2:]]
        for height, width in (filled, cut):
            if isinstance(out, Tensor) and out.ndim == 3 and height * width <= out.shape[1]:
                return self._lay_out(out, height, width, seen)._replace(finer=self._finer_map(kept))
        raise InputError(
            f"{self.name} has no feature map, which model.attention and model.pooling look at, and parts, looks and "
            "attended views too; choose another model.backbone"
        )

    def watch_attention(self) -> None:
        """Give ``Features.attention`` from now on; fused attention, which is faster, has no weights to look at."""
        self._watched = attention_layers(self.body)
        if not self._watched:
            super().watch_attention()
        for layer in self._watched:
            layer.fused_attn = False

    def watch_stride(self, stride: int) -> int:
        """Give ``Features.finer`` from now on: the last map of that stride among those that timm lists."""
        layers = dict(self.body.named_modules())
        listed = [one for one in self.body.feature_info if one["module"] in layers]  # some networks list other names
        finer = {one["reduction"]: one for one in listed if one["reduction"] < self._reduction}
        if stride not in finer:
            able = ", ".join(str(one) for one in sorted(finer)) or "none"
            raise InputError(
                f"model.part_stride is {stride}; the strides of the earlier maps of {self.name}: {able}; or set it to 0"
            )
        self._finer, self._finer_channels = finer[stride]["module"], int(finer[stride]["num_chs"])
        return self._finer_channels

    @contextmanager
    def _kept(self) -> Iterator[list[Tensor]]:
        """Collect the finer map while photos go through; see ``embedder.model.rollout.watched`` for why no longer."""
        kept: list[Tensor] = []
        layer = self._finer and self.body.get_submodule(self._finer)
        hook = layer and layer.register_forward_hook(lambda _layer, _given, found: kept.append(found))
        try:
            yield kept
        finally:
            if hook:
                hook.remove()

    def _finer_map(self, kept: list[Tensor]) -> Tensor | None:
        """The map that was kept, [B, F, g, g]; None where none is wanted."""
        if not self._finer:
            return None
        found = self._channels_first(kept[0]) if kept and kept[0].ndim == 4 else None
        if found is None or found.shape[1] != self._finer_channels:
            raise InputError(
                f"model.part_stride: {self.name} has no feature map of that stride, but a list of tokens; set it to 0"
            )
        return found

    def _channels_first(self, places: Tensor) -> Tensor:
        """A map as [B, C, h, w]."""
        return places.permute(0, 3, 1, 2) if self._channels_last else places

    def _lay_out(self, tokens: Tensor, height: int, width: int, seen: list[Tensor]) -> Features:
        """Patches [B, prefix + h * w, C] as a map; of the prefix (class token, registers) the class token is kept."""
        first = tokens.shape[1] - height * width
        laid_out = tokens[:, first:].transpose(1, 2).reshape(-1, self.channels, height, width)
        attention = roll_out(seen, height, width) if seen else None
        return Features(laid_out, tokens[:, 0] if self.has_token else None, attention)


def build_timm(name: str, weights: str) -> TimmBackbone:
    """Build ``efficientnet-lite0`` or ``timm:NAME``; see ``embedder.model.backbone.build_backbone``."""
    if name == LITE0:
        body = _create("tf_efficientnet_lite0", pretrained=False)
    else:
        model = name.removeprefix("timm:")
        body = _create_pretrained(model) if weights == "pretrained" else _create(model, pretrained=False)
    if name == LITE0 and weights == "pretrained":
        load_package(body)
    elif weights not in ("pretrained", "random"):
        load_file(body, Path(weights), _classifiers(body))
    norm = layer_norm_of([getattr(body, "fc_norm", None), getattr(getattr(body, "head", None), "norm", None)])
    after_pooling = ["fc_norm", *(["head"] if any(one.startswith("head") for one in _classifiers(body)) else [])]
    for part in after_pooling:
        if hasattr(body, part):
            setattr(body, part, nn.Identity())
    backbone = TimmBackbone(name, body)
    backbone.pooled_norm = norm
    return backbone


def _classifiers(body: Any) -> tuple[str, ...]:
    """The names of the layers that timm calls a network's classifiers; without one, a head is part of the features."""
    named = body.pretrained_cfg["classifier"] or ()
    return (named,) if isinstance(named, str) else tuple(named)


def _create(model: str, pretrained: bool) -> Any:
    """One of timm's networks without its classifier, taking photos of any size where it can."""
    try:
        return timm.create_model(model, pretrained=pretrained, num_classes=0, dynamic_img_size=True)
    except TypeError:  # without a table of positions there is no such argument
        return timm.create_model(model, pretrained=pretrained, num_classes=0)


def _create_pretrained(model: str) -> Any:
    """The same with its pretrained weights, from the hub's cache or over the network."""
    config = get_pretrained_cfg(model)
    if config is None or not config.has_weights:
        raise InputError(f"timm has no pretrained weights for {model}; give --model.weights FILE or random")
    hub = config.hf_hub_id
    with fetching(f"timm:{model}", hf_hub_url(hub, _FILE) if hub else str(config.url)):
        if hub:
            _check_reachable(hub)
        return _create(model, pretrained=True)


def _check_reachable(hub: str) -> None:
    """Ask once for the file's header: the hub's own client asks for three quarters of a minute before it gives up."""
    if isinstance(try_to_load_from_cache(hub, _FILE), str):
        return
    try:
        get_hf_file_metadata(hf_hub_url(hub, _FILE), timeout=10.0)
    except EntryNotFoundError:  # it answers, and keeps the weights under another name
        return


def _stages(body: Any) -> list[nn.Module]:
    """The coarse groups that timm divides a network's parameters into, each as one module that shares them.

    What timm leaves to no group, such as a norm or a convolution behind the last block, is of the last one.
    """
    if not hasattr(body, "group_matcher"):  # timm does not part every network; such a one is a single stage
        return [body]
    try:
        matcher = body.group_matcher(coarse=True)
    except AssertionError:  # RDNet has finer groups alone
        matcher = body.group_matcher(coarse=False)
    if isinstance(matcher, dict):
        matcher |= {"rest": [(".", MATCH_PREV_GROUP)]}
    named = group_parameters(body, matcher, reverse=True)
    stage_of = {id(parameter): named[name] for name, parameter in body.named_parameters()}
    stages = [nn.Module() for _ in range(max(named.values()) + 1)]

    def collect(module: nn.Module, prefix: str) -> None:
        """Add the largest modules that lie in one stage, and parameters that stand alone."""
        for name, parameter in module.named_parameters(recurse=False):
            stages[stage_of[id(parameter)]].register_parameter(f"{prefix}{name}".replace(".", "_"), parameter)
        for name, child in module.named_children():
            numbers = {stage_of[id(parameter)] for parameter in child.parameters()}
            if len(numbers) == 1:
                stages[numbers.pop()].add_module(f"{prefix}{name}.".replace(".", "_"), child)
            elif numbers:
                collect(child, f"{prefix}{name}.")

    collect(body, "")
    return stages
