"""A URL and what is known of its content -> a verified file. Knows no models."""

from modelzoo.download.addresses import needs_network, without_password
from modelzoo.download.fetch import by_checksum, fetch

__all__ = ["by_checksum", "fetch", "needs_network", "without_password"]
