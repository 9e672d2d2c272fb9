"""Photos to vectors: data, network, losses, training, export, and the runtime without torch."""

import embedder.quiet  # noqa: F401 - before whatever imports ONNX Runtime
from embedder.runtime import Embedder

__all__ = ["Embedder"]
