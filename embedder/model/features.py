"""What every backbone offers, whichever library it comes from."""

from collections.abc import Iterable
from typing import Literal, NamedTuple, Self

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from eval.errors import InputError


class Features(NamedTuple):
    """What a backbone sees in a batch of photos.

    Attributes:
        map: [B, C, h, w], one feature vector a place.
        token: [B, C], a transformer's class token; None where there is none.
        attention: [B, H, h, w], the share of each place in the class token, for each head of the last layer: roll-out.
            None unless ``Backbone.watch_attention`` has asked for it.
        finer: [B, F, g, g], the map of an earlier layer with more places; None unless ``Backbone.watch_stride`` has.
    """

    map: Tensor
    token: Tensor | None
    attention: Tensor | None = None
    finer: Tensor | None = None


def layer_norm_of(layers: Iterable[nn.Module | None]) -> dict[str, Tensor] | None:
    """Weight and bias of the first layer norm among some layers; None where there is none."""
    found = (dict(one.state_dict()) for one in layers if isinstance(one, nn.LayerNorm))
    return next((one for one in found if {*one} == {"weight", "bias"}), None)


class Backbone(nn.Module):
    """A network without its classifier: normalised photos [B, 3, H, W] to ``Features``.

    Attributes:
        name: as the user wrote it.
        channels: C of the feature map.
        has_token: whether ``Features.token`` is there.
        mean: of each channel, for photos in [0, 1], as its weights expect it.
        std: of each channel, likewise.
        interpolation: how photos were resized when its weights were trained.
        stages: its parts in order from the input, each with the parameters that are frozen or given a rate together.
        waiting: those that stay in evaluation mode for now.
        pooled_norm: weight and bias of the layer norm that its pooled features went through; None where none did.
    """

    name: str
    channels: int
    has_token: bool = False
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    stages: list[nn.Module]
    pooled_norm: dict[str, Tensor] | None = None

    def __init__(self) -> None:
        super().__init__()
        self._still: list[nn.Module] = []
        self.waiting: list[nn.Module] = []

    def freeze(self, stages: int | Literal["all"], batch_norm: bool) -> None:
        """Keep the first stages as they are, and, where ``batch_norm``, the statistics of every batch norm.

        A frozen stage gets no gradient, keeps no graph and stays in evaluation mode while the rest trains. A batch norm
        that only keeps its statistics still trains its weight and bias.

        Raises:
            InputError: there are fewer stages than that.
        """
        if stages != "all" and not 0 <= stages <= len(self.stages):
            raise InputError(
                f"model.frozen_stages is {stages}, but {self.name} has {len(self.stages)} stages; or say all"
            )
        frozen = list(self.children()) if stages == "all" else self.stages[:stages]
        for module in frozen:
            module.requires_grad_(False)
        norms = [module for module in self.modules() if isinstance(module, _BatchNorm)] if batch_norm else []
        self._still = [*frozen, *norms]
        self.train(self.training)

    @property
    def trained_stages(self) -> list[nn.Module]:
        """Those of which something is trained."""
        return [stage for stage in self.stages if any(own.requires_grad for own in stage.parameters())]

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode, except for what ``freeze`` keeps as it is, and for what waits."""
        super().train(mode)
        for module in (*self._still, *self.waiting):
            module.eval()
        return self

    def watch_attention(self) -> None:
        """Give ``Features.attention`` from now on.

        Raises:
            InputError: there is no attention of a class token.
        """
        raise InputError(
            f"model.pooling rollout follows the attention of the class token of a plain transformer, and {self.name} "
            "is none; choose another model.pooling, or a backbone such as timm:deit_small_patch16_224"
        )

    def watch_stride(self, stride: int) -> int:
        """Give ``Features.finer`` from now on.

        Args:
            stride: pixels of the photo from one of its places to the next.

        Returns:
            F, its channels.

        Raises:
            InputError: no layer has such a map.
        """
        raise InputError(
            f"model.part_stride is {stride}, but {self.name} shows no map of an earlier layer; set it to 0, or take a "
            "backbone such as efficientnet-lite0 or timm:resnet50"
        )
