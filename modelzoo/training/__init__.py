"""Training of what is loaded: freezing parts of it."""

from modelzoo.training.freezing import freeze, unfreeze

__all__ = ["freeze", "unfreeze"]
