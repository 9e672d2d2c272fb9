"""How the learning rate goes over a run."""

import math


def learning_rate_share(step: int, steps: int, warmup: float) -> float:
    """The learning rate at ``step`` as a share of its peak: a linear rise over ``warmup`` of the steps, then a cosine.

    Loshchilov and Hutter (2017), SGDR, equation 5, without restarts.
    """
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1.0 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
