"""Stages of the backbone that begin to train one after another, the last one first.

Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification" (2018), section 3.3: what is general in
the first stages is not disturbed by a head that knows nothing yet. A stage that waits is frozen whole, as they have it:
it stays in evaluation mode, so that its batch norms keep their statistics.
"""

from torch import nn

from embedder.model.features import Backbone


class Unfreezing:
    """What of a backbone trains at which step."""

    def __init__(self, backbone: Backbone, share: float, steps: int, alone: bool) -> None:
        """Plan the steps.

        Args:
            backbone: whose frozen stages stay frozen.
            share: of the steps over which its stages begin to train; 0 for all at once.
            steps: of the whole run.
            alone: whether no other process waits for the gradients of what does not train yet, so that they need not be
                computed.
        """
        trained = backbone.trained_stages
        self._stages = [(stage, [own for own in stage.parameters() if own.requires_grad]) for stage in trained]
        self._backbone = backbone
        self._last, self._alone, self._waiting = share * steps, alone, -1

    def waiting(self, step: int) -> list[nn.Parameter]:
        """The parameters that do not train yet in a step; the optimiser must leave them as they are.

        Their stages wait from the next time on that the network is put into training mode.
        """
        count = len(self._stages)
        begun = min(count, 1 + int(count * step / self._last)) if step < self._last else count
        if self._alone and count - begun != self._waiting:
            self._waiting = count - begun
            for number, (_, parameters) in enumerate(self._stages):
                for parameter in parameters:
                    parameter.requires_grad_(number >= self._waiting)
        waiting = self._stages[: count - begun]
        self._backbone.waiting = [stage for stage, _ in waiting]
        return [parameter for _, parameters in waiting for parameter in parameters]
