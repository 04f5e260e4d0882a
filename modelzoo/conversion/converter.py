"""Converter: how the files of one source keep an architecture's weights, as a value that works both ways."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from modelzoo.conversion import averages, pairing
from modelzoo.conversion.layouts import Layout
from modelzoo.errors import ConversionError
from modelzoo.formats import Tensors

DTYPE = np.dtype(np.float32)  # of every tensor in every upstream file so far

# From a variant and the names in a file to the function from our path to the name there. Without a file's
# names it is how the source's program writes them today.
UpstreamNames = Callable[[str, Collection[str]], Callable[[str], str]]


@dataclass(frozen=True)
class Converter:
    """What is known of one source's files, model by model: nothing is matched by order or by shape."""

    name: str  # its key in CONVERTERS and in registries, and a part of every converted file's provenance
    upstream_names: UpstreamNames
    layout: Layout
    ignored: re.Pattern[str]  # names that a file may hold beyond the network, matched whole
    # Raises ConversionError for a file that could pair and still be wrong, or that a sentence can name.
    check: Callable[[str, Tensors], None] | None = None
    # Of a format without names: the shape of every tensor by name, in the order of the file; and what a file
    # with another count of values is.
    plan: Callable[[str], dict[str, tuple[int, ...]]] | None = None
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

        `shapes` are ours by path. All of `top` may be missing, or none, unless `include_top`. `average` asks
        for moving averages or for raw weights; None is as the authors evaluated. Raises ConversionError, as
        PairingError where it is the tensors that differ.
        """
        if self.check is not None:
            self.check(variant, tensors)
        names = self._names(variant, shapes, tensors, average)
        used = set(names.values())
        passed_by = set() if self.takes_averages is None else averages.other_copies(used)
        passed_by |= {name for name in tensors if self.is_ignored(name)}
        left = set(tensors) - (passed_by - used)
        pairs = pairing.pair(shapes, left, names.__getitem__, self.ignored, top, include_top)
        expected = {path: self.layout.upstream_shape(path, shapes[path]) for path in pairs}
        pairing.check_shapes(pairs, expected, {name: tensors[name].shape for name in pairs.values()})
        pairing.check_dtypes(pairs, DTYPE, {name: tensors[name].dtype for name in pairs.values()})
        return pairs

    def is_ignored(self, name: str) -> bool:
        """Whether a file may hold this beyond the network; so may it the average of such a variable."""
        return self.ignored.fullmatch(averages.base_name(name)) is not None

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
            array = tensors.read(name)
            if not np.isfinite(array).all():
                raise ConversionError(
                    f"{name} holds values that are not finite: the file is damaged. Download it again."
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
