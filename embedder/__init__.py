"""Photos to vectors: data, network, losses, training, export, and the runtime without torch."""

from embedder.runtime import Embedder

__all__ = ["Embedder"]
