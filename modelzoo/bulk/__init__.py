"""Any number of image files -> one file of labels or embeddings, resumed after an interruption."""

from modelzoo.bulk.run import ENGINES, Engine, Execution, Summary, classify_files, embed_files

__all__ = ["ENGINES", "Engine", "Execution", "Summary", "classify_files", "embed_files"]
