"""Networks out of the zoo: one writer a format, and the proof that each file answers as the network does."""

from modelzoo.exporters.delivery import Exported, deliver
from modelzoo.exporters.formats import FORMATS, RETIRED, Format, format_of
from modelzoo.exporters.inspection import Inspection, inspect
from modelzoo.exporters.metadata import Metadata
from modelzoo.exporters.options import Options, Precision
from modelzoo.exporters.proof import Comparison, Proof
from modelzoo.exporters.samples import Samples
from modelzoo.exporters.upstream import Upstream

__all__ = [
    "FORMATS",
    "RETIRED",
    "Comparison",
    "Exported",
    "Format",
    "Inspection",
    "Metadata",
    "Options",
    "Precision",
    "Proof",
    "Samples",
    "Upstream",
    "deliver",
    "format_of",
    "inspect",
]
