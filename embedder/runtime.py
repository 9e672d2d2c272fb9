"""From photos to vectors without torch: Pillow, NumPy and ONNX Runtime."""

import json
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from embedder.memory import keep_some_freed_memory
from embedder.prefetch import batched, prefetched
from embedder.preprocess import Preprocessing
from eval.cores import available_cores
from eval.errors import InputError
from eval.images import Box, open_image
from eval.stages import stage

EMBEDDER = "embedder.onnx"
METADATA_KEY = "fieldmark"
FORMAT = 1
BATCH = 32
"""Photos that are worked on together: more is no faster, and takes memory."""

CPU = "CPUExecutionProvider"
"""What ONNX Runtime calls it."""

GPU_BATCH = 256
"""Photos that a GPU is given at once."""

SAME_VECTORS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
"""Settings by which an NVIDIA GPU computes in full float32, and in one way."""

AT_ONCE = 2
"""Photos that a network on one core sees at once: their feature maps still fit into the core's cache."""

AGREEMENT = 0.9999
"""The least cosine of two vectors of one photo that are taken for the same, whatever has made them."""

Photo = Path | str | bytes | Image.Image
"""A file, the bytes of one, or an image that is open already, which is taken at its full size."""


class Embedder:
    """An exported network with everything that it needs: ``Embedder.open("runs/birds").embed(photos)``.

    Safe to use from several threads at once.

    Attributes:
        path: the ``embedder.onnx`` file.
        cores: how many work on photos in one call, and on the network too unless a GPU does.
        at_once: photos that the network is shown at once.
        fingerprint: names the weights, graph, preprocessing and views; vectors of different fingerprints never meet.
        dimension: length D of a vector.
        preprocessing: how a photo becomes the pixels that the network is given, squares of S x S.
        views: what a vector is made from: some of ``whole`` (the photo), ``closer`` (the square attended to;
            alone, what a box has cut out, where there is one),
            ``mirror`` (the mirror image of what comes first) and ``smaller`` (what comes first, seen smaller).
        summary: how the network was trained.
    """

    def __init__(self, path: Path, session: onnxruntime.InferenceSession, metadata: dict[str, Any], cores: int) -> None:
        """Use ``open`` instead."""
        self.path = path
        self.cores = cores
        self._on_cpu = session.get_providers()[0] == CPU
        self.at_once = (AT_ONCE if cores == 1 else BATCH) if self._on_cpu else GPU_BATCH
        self.fingerprint: str = metadata["fingerprint"]
        self.dimension: int = metadata["dimension"]
        self.preprocessing = Preprocessing.from_json(metadata["preprocessing"])
        self.views: tuple[str, ...] = tuple(metadata["views"])
        self.summary: dict[str, Any] = metadata["summary"]
        self._session = session

    @classmethod
    def open(cls, path: Path | str, cores: int | None = None, *, provider: str = CPU) -> "Embedder":
        """Open a run folder or an ``embedder.onnx``.

        Args:
            path: of one of these.
            cores: how many the network works on in one call; by default all that this process may use.
            provider: what ONNX Runtime runs the network on; see ``embedder.gpu``.

        Raises:
            InputError: there is no embedder, or it is damaged or of a newer version; or there is no such provider.
        """
        keep_some_freed_memory()
        file, cores = _embedder_file(Path(path)), cores or available_cores()
        session = open_session(file, cores, provider)
        return cls(file, session, _metadata(file, session), cores)

    @cached_property
    def on_one_core(self) -> "Embedder":
        """The same network on one core a call.

        Threads that have photos of their own and a core each are faster than one that has all cores: none waits for
        the others at the end of every layer, or while a photo is decoded.
        """
        if self.cores == 1:
            return self
        other = Embedder.open(self.path, cores=1)
        if other.fingerprint != self.fingerprint:
            raise InputError(f"{self.path} has been replaced meanwhile; run the command again")
        return other

    @cached_property
    def trained_on(self) -> frozenset[str] | None:
        """The ids of the photos that the network was trained on; None, unknown, where no ``trained_on.npy`` is there.

        Beside ``NAME.onnx`` or ``embedder-NAME.onnx`` the list is called ``trained_on-NAME.npy``.

        Raises:
            InputError: the list is damaged.
        """
        file = trained_on_file(self.path)
        try:
            return frozenset(np.load(file, allow_pickle=False).tolist()) if file.exists() else None
        except (ValueError, EOFError) as error:
            raise InputError(f"{file} is damaged ({error}); train the run anew with --overwrite, or copy it") from None

    @cached_property
    def classes_trained_on(self) -> frozenset[str] | None:
        """The names of the classes that the network was trained on; None where its summary does not say."""
        names = self.summary.get("classes_trained_on")
        return None if names is None else frozenset(names)

    def embed(self, photos: Iterable[Photo]) -> NDArray[np.float32]:
        """Turn photos into vectors.

        Args:
            photos: files, bytes or open images; N of them, of which no box has been cut out (see ``prepare``).

        Returns:
            Vectors of unit length, float32 ``[N, D]``, in the order of the photos.

        Raises:
            BadImage: one of the photos cannot be read.
        """
        if isinstance(photos, Photo):
            raise InputError("embed takes several photos; put the one into a list")
        batches = batched(photos, BATCH)
        first, rest = next(batches, []), next(batches, [])
        if len(first) == 1:
            image = open_image(first[0], enough=self.preprocessing.enough)
            return self.vectors(self.preprocessing(image, self.cores)[None])
        if not rest:
            return self.vectors(self._stacked(prefetched(self.prepare, first, threads=self.cores, ahead=BATCH)))

        def embedded(batch: list[Photo]) -> NDArray[np.float32]:
            return one_core.vectors(self._stacked(map(self.prepare, batch)))

        one_core, batches = self.on_one_core, chain([first, rest], batches)
        return np.concatenate([*prefetched(embedded, batches, threads=self.cores, ahead=self.cores)])

    def prepare(self, photo: Photo, box: Box | None = None) -> NDArray[np.uint8]:
        """Turn one photo, or the part of it in ``box``, into the pixels that the network is given.

        They are uint8 ``[S, S, 3]``, or ``[S, S, 4]`` of a network that otherwise looks for the subject itself.

        Raises:
            BadImage: the photo cannot be read.
        """
        return self.preprocessing(open_image(photo, box, self.preprocessing.enough), boxed=box is not None)

    def vectors(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn prepared photos, uint8 ``[B, S, S, 3]`` or 4, into vectors of unit length, float32 ``[B, D]``.

        Raises:
            InputError: the batch has another type or shape.
        """
        height, width, channels = self.preprocessing.shape
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1:] != (height, width, channels):
            wanted = f"uint8 (B, {height}, {width}, {channels})"
            raise InputError(f"the batch is {batch.dtype} {batch.shape}; it must be {wanted}")
        parts = [batch[start : start + self.at_once] for start in range(0, len(batch), self.at_once)]
        with stage("network"):
            vectors = [self._run(part)[0] for part in parts]
        return np.concatenate(vectors) if vectors else np.empty((0, self.dimension), np.float32)

    def outputs(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """All that the network gives for a few prepared photos, uint8 ``[B, S, S, 3]`` or 4, by name.

        ``vector`` ``[B, D]`` and ``features`` ``[B, C, h, w]``, and of some networks ``parts``, ``region``
        and ``smaller``.
        """
        names = [output.name for output in self._session.get_outputs()]
        with stage("network"):
            return dict(zip(names, self._run(batch, names), strict=True))

    def _run(self, part: NDArray[np.uint8], names: Sequence[str] = ("vector",)) -> list[NDArray[np.float32]]:
        """What the network gives for photos that it is shown at once.

        A GPU is always shown as many, so that it never looks for another way to compute them.
        """
        if self._on_cpu:
            return self._session.run(names, {"images": part})
        padded = np.zeros((self.at_once, *part.shape[1:]), np.uint8)
        padded[: len(part)] = part
        return [output[: len(part)] for output in self._session.run(names, {"images": padded})]

    def _stacked(self, pixels: Iterable[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Prepared photos as one batch, which may be empty."""
        return np.array([*pixels], np.uint8).reshape(-1, *self.preprocessing.shape)


def trained_on_file(embedder: Path) -> Path:
    """Where the list of the photos lies that an embedder was trained on: beside its file, and named like it."""
    name = "" if embedder.name == EMBEDDER else f"-{embedder.stem.removeprefix('embedder-')}"
    return embedder.with_name(f"trained_on{name}.npy")


def open_session(file: Path, cores: int | None = None, provider: str = CPU) -> onnxruntime.InferenceSession:
    """Open an ONNX file on some cores, by default on all that this process may use, or on a GPU.

    On a machine with several GPUs, ``torchrun`` gives each process its own (LOCAL_RANK).

    Raises:
        InputError: it is not an ONNX file, or damaged; or the GPU cannot be used.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores or available_cores()
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    providers: list[Any] = [CPU]
    if provider != CPU:
        onnxruntime.preload_dlls()  # of CUDA, from the packages that pip has installed
        providers.insert(0, (provider, {"device_id": os.environ.get("LOCAL_RANK", "0"), **SAME_VECTORS}))
    try:
        with stage("open the network"):
            session = onnxruntime.InferenceSession(file, options, providers=providers, enable_fallback=False)
    except Exception as error:  # ONNX Runtime's own errors have no base class in common
        if provider != CPU:
            raise InputError(f"ONNX Runtime cannot start its {provider} ({error})") from None
        raise InputError(f"{file} is not an ONNX file, or damaged ({error}); export it or copy it again") from None
    session.disable_fallback()
    if session.get_providers()[0] != provider:
        raise InputError(f"ONNX Runtime cannot start its {provider}; see what it has printed above")
    return session


def _embedder_file(path: Path) -> Path:
    """The embedder's file, given itself or its folder."""
    if not path.exists():
        raise InputError(f"{path} does not exist; give a run folder or an {EMBEDDER}")
    if path.is_file():
        return path
    if (path / EMBEDDER).is_file():
        return path / EMBEDDER
    if (path / "config.yaml").is_file():
        raise InputError(
            f"{path} has no {EMBEDDER} yet, because its training is not finished; go on with "
            f"python -m embedder.train --config {path / 'config.yaml'} --run {path}"
        )
    raise InputError(f"{path} is no run folder: it has no {EMBEDDER}")


def _metadata(file: Path, session: onnxruntime.InferenceSession) -> dict[str, Any]:
    """What the exporter wrote about the embedder into its file."""
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise InputError(f"{file} is an ONNX file but no Fieldmark embedder; give one that embedder.train has made")
    metadata = json.loads(text)
    if metadata["format"] > FORMAT:
        raise InputError(
            f"{file} has format {metadata['format']}, and this version of Fieldmark reads up to {FORMAT}; update it"
        )
    return metadata
