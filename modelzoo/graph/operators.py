"""All operators, by name: the one explicit list."""

from __future__ import annotations

from modelzoo.graph.convolutions import Conv, Dense, DepthwiseConv, SeparableConv, TransposedConv
from modelzoo.graph.elementwise import (
    ELU,
    Activation,
    Add,
    Dropout,
    LeakyReLU,
    Multiply,
    PReLU,
    ReLU,
    Subtract,
)
from modelzoo.graph.normalization import BatchNorm, ChannelScale, LayerNorm, Normalization, Rescale
from modelzoo.graph.operator import Operator
from modelzoo.graph.pooling import AveragePool, GlobalPool, MaxPool
from modelzoo.graph.shaping import (
    Concat,
    Cropping,
    Flatten,
    Permute,
    Reshape,
    SamePadding,
    UpSampling,
    ZeroPadding,
)

OPERATORS: dict[str, type[Operator]] = {
    operator.__name__: operator
    for operator in (
        *(Conv, DepthwiseConv, SeparableConv, TransposedConv, Dense),
        *(BatchNorm, LayerNorm, ChannelScale, Normalization, Rescale),
        *(Add, Multiply, Subtract, Concat),
        *(MaxPool, AveragePool, GlobalPool),
        *(Activation, ReLU, LeakyReLU, ELU, PReLU, Dropout),
        *(ZeroPadding, SamePadding, Cropping, Reshape, Flatten, Permute, UpSampling),
    )
}
