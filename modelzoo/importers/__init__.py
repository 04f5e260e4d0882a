"""Networks into the zoo: a reader for each kind of file, and what opens any of them."""

from modelzoo.importers.files import READERS, Reader, is_network, opened, reader_of
from modelzoo.importers.imported import Imported

__all__ = ["READERS", "Imported", "Reader", "is_network", "opened", "reader_of"]
