import math

import pytest
import torch
from torch import nn

from embedder.model.features import Backbone, Features
from embedder.model.pooling import AttentionPooling, AveragePooling, GeneralizedMeanPooling, build_pooling
from eval.errors import InputError


class Stub(Backbone):
    name = "stub"

    def __init__(self, has_token: bool) -> None:
        super().__init__()
        self.has_token = has_token


@pytest.fixture
def features() -> Features:
    generator = torch.Generator().manual_seed(0)
    return Features(torch.randn(2, 3, 4, 5, generator=generator), torch.randn(2, 3, generator=generator))


def test_poolings_agree_with_loops(features: Features) -> None:
    stub = Stub(has_token=True)
    pooled = {name: build_pooling(name, stub)(features).detach() for name in ("avg", "max", "avg+max", "gem", "token")}
    for photo in range(2):
        for channel in range(3):
            values = [float(value) for value in features.map[photo, channel].flatten()]
            average, greatest = sum(values) / 20, max(values)
            p_mean = (sum(max(value, 1e-6) ** 3 for value in values) / 20) ** (1 / 3)
            wanted = {"avg": average, "max": greatest, "avg+max": average + greatest, "gem": p_mean}
            for name, value in wanted.items():
                assert float(pooled[name][photo, channel]) == pytest.approx(value, abs=1e-5)
            assert pooled["token"][photo, channel] == features.token[photo, channel]


def test_the_p_of_the_p_mean_is_learned_and_never_below_the_mean(features: Features) -> None:
    pooling = GeneralizedMeanPooling()
    pooling(features).sum().backward()
    assert pooling.p.grad != 0
    with torch.no_grad():
        pooling.p.fill_(1.0)
    assert torch.allclose(pooling(features), features.map.clamp(min=1e-6).mean((2, 3)))
    pooled, gradients = [], []
    for p in (0.5, 1.5):
        pooling.p.grad = None
        pooling.p.data.fill_(p)
        pooled.append(pooling(features))
        pooled[-1].sum().backward()
        gradients.append(float(pooling.p.grad))
    assert torch.equal(*pooled)
    assert gradients[0] == -gradients[1] < 0


@pytest.mark.parametrize("p", [3.0, 8.0, 50.0])
def test_the_p_mean_of_a_channel_that_is_nowhere_active_is_the_least_that_it_takes(p: float) -> None:
    seen = torch.tensor([[[[0.0, 0.0, 0.0]], [[0.5, 1.0, 2.0]]]], requires_grad=True)
    pooling = GeneralizedMeanPooling(p)
    pooled = pooling(Features(seen, None))
    pooled.sum().backward()
    assert pooled[0, 0].item() == pytest.approx(1e-6)
    assert pooled[0, 1].item() == pytest.approx(((0.5**p + 1 + 2.0**p) / 3) ** (1 / p), rel=1e-5)
    raised = [(((0.5**q + 1 + 2.0**q) / 3) ** (1 / q)) for q in (p - 1e-4, p + 1e-4)]
    assert pooling.p.grad.item() == pytest.approx((raised[1] - raised[0]) / 2e-4, rel=1e-3)
    slopes = [one ** (p - 1) * pooled[0, 1].item() ** (1 - p) / 3 for one in (0.5, 1.0, 2.0)]
    assert seen.grad[0, 1, 0].tolist() == pytest.approx(slopes, rel=1e-4)


def test_the_p_mean_of_half_precision_maps_does_not_overflow() -> None:
    large = Features(torch.full((1, 2, 3, 3), 1000.0, dtype=torch.float16), None)
    pooled = GeneralizedMeanPooling()(large)
    assert pooled.dtype == torch.float32
    assert torch.allclose(pooled, torch.tensor(1000.0))


def test_attention_pooling_agrees_with_loops(features: Features) -> None:
    stub = Stub(has_token=False)
    stub.channels = 3
    pooling = build_pooling("attention", stub)
    with torch.no_grad():
        pooling.score.copy_(torch.tensor([0.7, -1.2, 0.4]).view(1, 3, 1, 1))
    seen = features.map.double() / 3
    single = pooling(Features(seen.float(), None)).detach()
    pooled = pooling.double()(Features(seen, None))
    assert (single.dtype, pooled.dtype) == (torch.float32, torch.float64)
    assert torch.allclose(single.double(), pooled, rtol=0, atol=1e-6)
    weights = pooling.score.flatten().tolist()
    for photo in range(2):
        places = seen[photo].flatten(1).T.tolist()
        shares = [math.exp(sum(w * v for w, v in zip(weights, place, strict=True))) for place in places]
        for channel in range(3):
            mean = sum(share * place[channel] for share, place in zip(shares, places, strict=True)) / sum(shares)
            assert pooled[photo, channel].item() == pytest.approx(mean, abs=1e-12)


@pytest.mark.parametrize("side", [1, 3, 7])
def test_attention_pooling_begins_as_the_mean_bit_for_bit_and_learns(side: int) -> None:
    seen = Features(torch.randn(2, 5, side, side + 1, generator=torch.Generator().manual_seed(0)), None)
    pooling = AttentionPooling(5)
    pooled = pooling(seen)
    assert torch.equal(pooled, AveragePooling()(seen))
    pooled[:, 0].sum().backward()
    assert pooling.score.grad.all()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_attention_pooling_of_half_precision_maps_is_that_of_single_precision(kind: torch.dtype) -> None:
    """Scores of 400 to 424, which have no exponentials and of which half precision keeps the even ones."""
    seen = (100 + torch.arange(36.0) % 7).view(1, 4, 3, 3).to(kind)
    pooling = AttentionPooling(4).to(kind)
    nn.init.constant_(pooling.score, 1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = pooling(Features(seen, None))
    assert pooled.dtype == torch.float32
    shares = seen.double().sum(1).flatten(1).softmax(1).view(1, 1, 3, 3)
    assert torch.allclose(pooled.double(), (seen.double() * shares).sum((2, 3)), rtol=1e-6)


def test_token_needs_a_backbone_that_has_one(features: Features) -> None:
    with pytest.raises(InputError, match="stub has no class token; choose --model"):
        build_pooling("token", Stub(has_token=False))
    with pytest.raises(InputError, match="unknown pooling 'gme'; did you mean 'gem'"):
        build_pooling("gme", Stub(has_token=False))
