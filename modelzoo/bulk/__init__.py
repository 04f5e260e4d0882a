"""Any number of image files -> one file of labels or embeddings, resumed after an interruption."""

from modelzoo.bulk.rows import Request, Results
from modelzoo.bulk.run import (
    ENGINES,
    HERE,
    Engine,
    Execution,
    Summary,
    classify_files,
    embed_files,
    run_request,
)

__all__ = [
    "ENGINES",
    "HERE",
    "Engine",
    "Execution",
    "Request",
    "Results",
    "Summary",
    "classify_files",
    "embed_files",
    "run_request",
]
