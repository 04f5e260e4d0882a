"""Pipeline: images -> answers, by one network that is loaded once and one head that reads its outputs.

Threads, not processes, prepare images while the network runs: Pillow, NumPy and the runtimes release Python's
lock while they compute.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from threading import Thread
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from modelzoo import images as image_room
from modelzoo.errors import ImageError, readable
from modelzoo.registry import Entry, Preprocessing
from modelzoo.runtimes import Deployment, predictor
from modelzoo.zoo import NetworkOptions

if TYPE_CHECKING:
    from concurrent.futures import Future

    from modelzoo.images import ImageInput

BATCH_SIZE = 32  # inputs of the network; more gains nothing on a CPU and costs memory
BATCHES_AHEAD = 2  # prepared images wait for the network; these bound the memory
THREADS = os.cpu_count() or 1

Item = TypeVar("Item")
Result = TypeVar("Result")
Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)


@dataclass(frozen=True)
class Prepared:
    """What the network gets of one image, and what a head may ask about the image itself."""

    inputs: np.ndarray  # float32 (crops, height, width, 3)
    size: tuple[int, int]  # height and width of the image, in pixels


@dataclass(frozen=True)
class Unreadable:
    """In place of an answer: why an image has none, as one sentence."""

    reason: str


class Head(Protocol[Answer_co]):
    """What is asked of a network: which outputs it must have, and what they mean."""

    @property
    def batch_size(self) -> int:
        """Inputs of the network at a time."""
        ...

    def options(self, deployment: Deployment) -> NetworkOptions:
        """The part of the network that is needed; raises ValueError for a deployment that cannot answer."""
        ...

    def preprocessing(self, entry: Entry) -> Preprocessing:
        """How images are prepared."""
        ...

    def decode(self, output: np.ndarray, size: tuple[int, int], entry: Entry) -> Answer_co:
        """The answer for one image of a size in pixels, from the network's output for it."""
        ...


def network_options(deployment: Deployment, head: Head[Any]) -> NetworkOptions:
    """The part of the network that the head needs. Raises ValueError or ImageError if they do not fit."""
    options = head.options(deployment)
    if deployment.crops > 1:
        image_room.check_ten_crops(head.preprocessing(deployment.entry))
    return options


class Pipeline(Generic[Answer]):
    """A deployment and a head, loaded once and used often, by several threads if need be.

    Raises as modelzoo.load does, and ValueError or ImageError if they do not fit.
    """

    def __init__(self, deployment: Deployment, head: Head[Answer]):
        options = network_options(deployment, head)
        self.deployment, self.head, self.entry = deployment, head, deployment.entry
        self.preprocessing = head.preprocessing(self.entry)
        importing = Thread(target=lambda: image_room.prepare, daemon=True)  # Pillow, meanwhile
        importing.start()
        self.network = predictor(deployment, options)
        importing.join()

    def with_head(self, head: Head[Answer]) -> Pipeline[Answer]:
        """The same loaded network, read by another head that asks for the same outputs and images."""
        other: Pipeline[Answer] = object.__new__(type(self))
        vars(other).update(vars(self), head=head)
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it is made of: another process loads the network itself, from the same weights."""
        if self.network.made_by is None:
            self.network.__reduce__()  # raises the reason
        return type(self), (self.deployment, self.head)

    @property
    def images_at_once(self) -> int:
        """How many images fill a batch."""
        return max(1, self.head.batch_size // self.deployment.crops)

    def __call__(self, images: ImageInput | Sequence[ImageInput]) -> list[Answer]:
        """The answer for each image, in order. Raises ImageError."""
        return list(self._each_named(image_room.name_images(images)))

    def each(self, images: Iterable[ImageInput]) -> Iterator[Answer]:
        """The same for any number of images, read when they are needed, in constant memory."""
        return self._each_named(
            (image, image_room.image_name(image, f"Image {n}")) for n, image in enumerate(images, 1)
        )

    def each_or_error(self, images: Iterable[ImageInput]) -> Iterator[Answer | Unreadable]:
        """The same, but in place of an error why an image has no answer; the others get theirs."""
        named = ((image_room.image_name(image, f"Image {n}"), image) for n, image in enumerate(images, 1))
        for batch in self.each_or_reason(named, fill=False):
            yield from (answer for _, answer in batch)

    def _each_named(self, named: Iterable[tuple[ImageInput, str]]) -> Iterator[Answer]:
        prepared = (self.prepare(image, name) for image, name in named)
        while batch := list(islice(prepared, self.images_at_once)):
            yield from self.answers(batch)

    def prepare(self, image: ImageInput, name: str | None = None) -> Prepared:
        """One image for the network. Raises ImageError, with the image's name."""
        fast, ten = self.deployment.fast_decode, self.deployment.crops == 10
        return Prepared(*image_room.prepare(image, self.preprocessing, name, fast_decode=fast, ten=ten))

    def answers(self, batch: Sequence[Prepared], *, fill: bool = False) -> list[Answer]:
        """The answer for each prepared image of a batch; `fill` as in outputs()."""
        outputs = self.outputs(batch, fill=fill)
        return [
            self.head.decode(output, prepared.size, self.entry)
            for output, prepared in zip(outputs, batch, strict=True)
        ]

    def outputs(self, batch: Sequence[Prepared], *, fill: bool = False) -> np.ndarray:
        """The network's output for each image, the mean of its crops, float32.

        With `fill`, zeros fill the batch up: another size of batch may take other kernels, which round in
        another way, so that only with it an answer depends on nothing but the image.
        """
        inputs = np.concatenate([prepared.inputs for prepared in batch])
        count = len(inputs)
        if fill and count < self.head.batch_size:
            padding = np.zeros((self.head.batch_size - count, *inputs.shape[1:]), np.float32)
            inputs = np.concatenate([inputs, padding])
        output = self.network.predict(inputs)[:count]
        crops = self.deployment.crops
        return output if crops == 1 else output.reshape(-1, crops, *output.shape[1:]).mean(axis=1)

    def each_or_reason(
        self, named: Iterable[tuple[str, ImageInput]], *, fill: bool = True
    ) -> Iterator[list[tuple[str, Answer | Unreadable]]]:
        """For each batch of named images the names with the answers, or why an image has none.

        It has none if it cannot be read or the network's output for it is not finite. Images are prepared
        while the network runs. With `fill` answers depend on nothing but the image, see outputs().
        """
        prepared = in_order(
            lambda pair: (pair[0], self._prepared_or_reason(*pair)),
            named,
            ahead=BATCHES_AHEAD * self.images_at_once,
        )
        with closing(prepared):
            while batch := list(islice(prepared, self.images_at_once)):
                good = [item for _, item in batch if isinstance(item, Prepared)]
                outputs = iter(self.outputs(good, fill=fill) if good else ())
                yield [
                    (name, self._decoded_or_reason(next(outputs), item, name))
                    if isinstance(item, Prepared)
                    else (name, item)
                    for name, item in batch
                ]

    def _prepared_or_reason(self, name: str, image: ImageInput) -> Prepared | Unreadable:
        name = readable(name)
        try:
            return self.prepare(image, name)
        except ImageError as error:
            return Unreadable(str(error))
        except (MemoryError, OSError) as error:
            return Unreadable(f"{name} cannot be read ({readable(str(error) or type(error).__name__)}).")

    def _decoded_or_reason(self, output: np.ndarray, prepared: Prepared, name: str) -> Answer | Unreadable:
        if not np.isfinite(output).all():
            what = f"{self.entry.key} in {self.deployment.precision}"
            return Unreadable(f"The output of {what} for {readable(name)} is not finite; it means nothing.")
        return self.head.decode(output, prepared.size, self.entry)


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int, threads: int = THREADS
) -> Generator[Result]:
    """function(item) of each item, in the items' order; up to `ahead` are computed before they are needed."""
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(threads, thread_name_prefix="modelzoo")
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
