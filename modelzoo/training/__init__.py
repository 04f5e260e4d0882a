"""Training: freezing parts of a model; and fine-tuning one for the classes of a folder.

The names below are imported when they are first used: Keras comes with most of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelzoo.lazy import attach

if TYPE_CHECKING:
    from modelzoo.training.delta import apply_delta as apply_delta
    from modelzoo.training.finetuning import Finetuned as Finetuned
    from modelzoo.training.finetuning import finetune as finetune
    from modelzoo.training.freezing import freeze as freeze
    from modelzoo.training.freezing import unfreeze as unfreeze
    from modelzoo.training.options import TrainingOptions as TrainingOptions

_HOMES = {
    "modelzoo.training.delta": ("apply_delta",),
    "modelzoo.training.finetuning": ("Finetuned", "finetune"),
    "modelzoo.training.freezing": ("freeze", "unfreeze"),
    "modelzoo.training.options": ("TrainingOptions",),
}
__getattr__, __dir__ = attach(_HOMES)
__all__ = sorted(name for names in _HOMES.values() for name in names)  # pyright: ignore
