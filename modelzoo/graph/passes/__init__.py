"""Passes: graph and arrays -> a graph that gives the same values, and its arrays. NumPy, and no framework."""

from modelzoo.graph.passes.channels import adapted, with_channels
from modelzoo.graph.passes.fold_batch_norms import fold_batch_norms, fold_batch_norms_lazily
from modelzoo.graph.passes.fold_padding import fold_padding
from modelzoo.graph.passes.output_stride import with_output_stride
from modelzoo.graph.passes.replace_head import replace_head
from modelzoo.graph.passes.training import drop_training_only

__all__ = [
    "adapted",
    "drop_training_only",
    "fold_batch_norms",
    "fold_batch_norms_lazily",
    "fold_padding",
    "replace_head",
    "with_channels",
    "with_output_stride",
]
