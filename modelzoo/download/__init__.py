"""A URL and what is known of its content -> a verified file. Knows no models."""

from modelzoo.download.addresses import PACKAGE, needs_network, without_password
from modelzoo.download.fetch import by_checksum, fetch
from modelzoo.download.packages import Wheel, fetch_wheel, indexed

__all__ = [
    "PACKAGE",
    "Wheel",
    "by_checksum",
    "fetch",
    "fetch_wheel",
    "indexed",
    "needs_network",
    "without_password",
]
