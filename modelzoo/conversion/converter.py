"""Converter: how the files of one source keep an architecture's weights, as a value that works both ways."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from modelzoo.conversion import averages, leftovers, pairing
from modelzoo.conversion.layouts import Layout
from modelzoo.conversion.leftovers import NOTHING
from modelzoo.errors import ConversionError, readable
from modelzoo.formats import TensorInfo, Tensors

# Of tensors in upstream files; all become the first, which loses nothing. bfloat16 is read as float32.
DTYPES = (np.dtype(np.float32), np.dtype(np.float16))
HEAD_DIMENSIONS = 2  # at most, of the weights of dense layers and their norms, of which heads are made

# From a variant and the names in a file to the function from our path to the name there. Without a file's
# names it is how the source's program writes them today.
UpstreamNames = Callable[[str, Collection[str]], Callable[[str], str]]


@dataclass(frozen=True)
class Converter:
    """What is known of one source's files, model by model: nothing is matched by order or by shape."""

    name: str  # its key in CONVERTERS and in registries, and a part of every converted file's provenance
    upstream_names: UpstreamNames
    layout: Layout
    # Names that a file of this source may hold beyond the network, matched whole, and beside what training
    # leaves in any file.
    ignored: re.Pattern[str] = NOTHING
    # Raises ConversionError for a file that could pair and still be wrong, or that a sentence can name.
    check: Callable[[str, Tensors], None] | None = None
    # Of a format without names: the shape of every tensor by name, in the order of the file, by the variant
    # and how many values the file has; and what a file with another count of values is.
    plan: Callable[..., dict[str, tuple[int, ...]]] | None = None
    known_sizes: Mapping[int, str] = field(default_factory=dict, hash=False)
    # Whether moving averages are taken where a file holds them beside the raw weights, as the authors did to
    # measure the published accuracy; None where no file has any.
    takes_averages: bool | None = None

    def pair(
        self,
        variant: str,
        shapes: Mapping[str, tuple[int, ...]],
        tensors: Tensors,
        *,
        top: Collection[str] = (),
        include_top: bool = True,
        average: bool | None = None,
    ) -> dict[str, str]:
        """The upstream name of each of our weights, of the right shape and dtype.

        `shapes` are ours by path. Unless `include_top`, all of `top` may be missing, or none, and a head of
        the user's own may be left over. `average` asks for moving averages or for raw weights; None is as the
        authors evaluated. Raises ConversionError, as PairingError where it is the tensors that differ.
        """
        if self.check is not None:
            self.check(variant, tensors)
        names = self._names(variant, shapes, tensors, average)
        left = set(tensors) - self._passed_by(set(names.values()), tensors)
        own = None if include_top else left & self._own_head(names, shapes, tensors, top)
        pairs = pairing.pair(shapes, left, names.__getitem__, self.ignored, top, own)
        expected = {path: self.layout.upstream_shape(path, shapes[path]) for path in pairs}
        pairing.check_shapes(pairs, expected, {name: tensors[name].shape for name in pairs.values()})
        pairing.check_dtypes(pairs, DTYPES, {name: tensors[name].dtype for name in pairs.values()})
        return pairs

    def left_over(self, pairs: Mapping[str, str], tensors: Tensors) -> list[str]:
        """What the pairs leave of the file, beside what may always be there: a head of the user's own."""
        used = set(pairs.values())
        return sorted(set(tensors) - used - self._passed_by(used, tensors))

    def head_shapes(
        self, variant: str, head: Collection[str], tensors: Tensors
    ) -> dict[str, tuple[int, ...]] | None:
        """The shape, as ours are laid out, of each of the head's weights; None unless the file has all."""
        names = self._names(variant, head, tensors, None)
        if not all(name in tensors for name in names.values()):
            return None
        return {path: self._our_shape(path, tensors[name].shape) for path, name in names.items()}

    def is_ignored(self, name: str, info: TensorInfo) -> bool:
        """Whether a file may hold this beyond the network; so may it the average of such a variable."""
        name = averages.base_name(name)
        return leftovers.is_left(name, info) or self.ignored.fullmatch(name) is not None

    def _passed_by(self, used: Collection[str], tensors: Tensors) -> set[str]:
        """What need not pair: what may lie beside the network, and other copies of what is used."""
        found = set() if self.takes_averages is None else averages.other_copies(used)
        found |= {name for name, info in tensors.items() if self.is_ignored(name, info)}
        return found - set(used)

    def _own_head(
        self,
        names: Mapping[str, str],
        shapes: Mapping[str, tuple[int, ...]],
        tensors: Tensors,
        top: Collection[str],
    ) -> set[str]:
        """The names of a head that is not the network's: dense layers, of other names or on other inputs."""
        used = set(names.values())
        own = {name for name, info in tensors.items() if name not in used and _may_be_of_a_head(info)}
        of_top = {path: names[path] for path in top if names[path] in tensors}
        fits = [self._our_shape(path, tensors[name].shape) == shapes[path] for path, name in of_top.items()]
        if not all(fits) and all(_may_be_of_a_head(tensors[name]) for name in of_top.values()):
            own |= set(of_top.values())
        return own

    def _our_shape(self, path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that an upstream tensor has as ours; its own if it cannot be this weight."""
        try:
            return self.layout.to_keras(path, np.broadcast_to(np.float32(0), shape)).shape
        except ValueError:
            return shape

    def _names(
        self, variant: str, paths: Collection[str], upstream: Collection[str], average: bool | None
    ) -> dict[str, str]:
        name_of = self.upstream_names(variant, upstream)
        if self.takes_averages is not None:
            return averages.names_of(name_of, paths, upstream, average=average, default=self.takes_averages)
        if average:
            raise ConversionError(f"There are no moving averages in files of {self.name}: ask for none.")
        return {path: name_of(path) for path in paths}

    def arrays(self, pairs: Mapping[str, str], tensors: Tensors) -> Iterator[tuple[str, np.ndarray]]:
        """Our weights by path, one at a time, contiguous; raises ConversionError if one is not finite."""
        for path, name in pairs.items():
            array = tensors.read(name).astype(DTYPES[0], copy=False)
            if not np.isfinite(array).all():
                raise ConversionError(
                    f"{readable(name)} in {tensors.path} holds values that are not finite: the file is "
                    "damaged, or its training diverged. Use another file."
                )
            yield path, np.ascontiguousarray(self.layout.to_keras(path, array))

    def upstream_arrays(
        self, variant: str, arrays: Mapping[str, np.ndarray], names: Collection[str] = ()
    ) -> dict[str, np.ndarray]:
        """The way back: our weights by path, all or some, as the source's program names and lays them out.

        `names` are those that the program has, where they depend on its version; by default today's. The
        arrays are contiguous, and those that need no rearranging are ours, not copies.
        """
        name_of = self.upstream_names(variant, names)
        return {
            name_of(path): np.ascontiguousarray(self.layout.to_upstream(path, array))
            for path, array in arrays.items()
        }


def _may_be_of_a_head(info: TensorInfo) -> bool:
    return len(info.shape) <= HEAD_DIMENSIONS
