"""PyTorch, which is an extra: where it is not installed, the types of the others can still be checked."""

from __future__ import annotations

import importlib
from typing import Any, TypeAlias

torch: Any = importlib.import_module("torch")
functional: Any = importlib.import_module("torch.nn.functional")
Tensor: TypeAlias = Any
