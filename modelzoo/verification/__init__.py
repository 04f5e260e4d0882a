"""Our networks against their original programs, and their answers against the published ones."""

from modelzoo.verification.checks import Check, verify

__all__ = ["Check", "verify"]
