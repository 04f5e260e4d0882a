"""What training leaves in a file beside the network: one rule for the files of all sources.

Optimizers keep an array or two for each weight, programs count steps and batches, and wrappers put a name
before every other name. What only one source's files hold (an auxiliary head, the mean of the training
images) is its converter's `ignored`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np

from modelzoo.formats import AVERAGE, TensorInfo, Tensors

NOTHING = re.compile(r"(?!)")
# TensorFlow names an optimizer's arrays after the weight and the optimizer, further ones "_1" and "_2".
SLOTS = re.compile(
    r".+/(Momentum|RMSProp|Adam|AdamW|Adamax|Adagrad|AdagradDA|Adadelta|Ftrl|LARS(Optimizer)?)(_\d+)?"
)
# Of Keras on TensorFlow 1; and what a batch norm with zero_debias keeps for each of its statistics.
SCOPES = re.compile(r"(.+/)?training(_\d+)?/.+|.+/moving_(mean|variance)/(biased|local_step)")
COUNTERS = re.compile(
    r"(.+[/.])?(global_step|beta[12]_power|learning_rate|num_batches_tracked|iterations|iter|step)(_\d+)?"
)
# In front of all names: of torch's DataParallel, of programs that keep the network in an attribute, of
# torch.compile.
PREFIXES = ("module.", "model.", "net.", "_orig_mod.")


def is_left(name: str, info: TensorInfo) -> bool:
    """Whether training left this in a file: a number alone is no weight of any network.

    >>> one = TensorInfo((1,), np.dtype("float32"))
    >>> [is_left(name, one) for name in ("conv1/weights/Adam_1", "optimize/beta1_power", "conv1/weights")]
    [True, True, False]
    """
    return info.shape == () or any(rule.fullmatch(name) for rule in (SLOTS, SCOPES, COUNTERS))


def prefix_of(names: Iterable[str]) -> str:
    """What stands before every name and is none of the network's.

    >>> prefix_of(["module.model.conv1.weight", "module.model.bn1.bias"])
    'module.model.'
    """
    names, prefix = list(names), ""
    while names and (more := next((p for p in PREFIXES if all(n.startswith(prefix + p) for n in names)), "")):
        prefix += more
    return prefix


class Renamed(Tensors):
    """A file's tensors under other names, some of them left out."""

    def __init__(self, tensors: Tensors, names: Mapping[str, str]):
        """`names` are those in the file by the new ones."""
        super().__init__(tensors.path, {ours: tensors[name] for ours, name in names.items()})
        self.beside = tensors.beside
        self._tensors, self._names = tensors, names

    def _read(self, name: str) -> np.ndarray:
        return self._tensors.read(self._names[name])

    def close(self) -> None:
        self._tensors.close()


def without_prefix(tensors: Tensors) -> Tensors:
    """The tensors under the names that the network gives them; of those that training left, the rest.

    Raw weights and their averages may have different prefixes.
    """
    names: dict[str, str] = {}
    for copy in (True, False):
        own = [name for name in tensors if name.endswith(AVERAGE) is copy]
        prefix = prefix_of(name for name in own if not is_left(name.removesuffix(AVERAGE), tensors[name]))
        names |= {name.removeprefix(prefix): name for name in own if name.startswith(prefix)}
    return tensors if names.keys() == tensors.keys() else Renamed(tensors, names)
