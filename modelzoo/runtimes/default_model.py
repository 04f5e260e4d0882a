"""Which model answers where none is named: one of ImageNet if its weights are available, or the bundled."""

from __future__ import annotations

from dataclasses import dataclass

from modelzoo import registry, settings, store
from modelzoo.errors import UnknownModel, WeightsUnavailable
from modelzoo.runtimes.deployment import DEFAULT_MODEL

PREFERRED_MODEL = "efficientnet_lite0"  # 1,000 classes of ImageNet in 17 MB, from any package index


@dataclass(frozen=True)
class DefaultModel:
    """A registry name, and why it is this one; None where there is no choice."""

    model: str
    reason: str | None


def default_model() -> DefaultModel:
    """What MODELZOO_MODEL names; or the preferred model if its weights are available; or the bundled one.

    Raises nothing: weights that are not at hand, and could not be fetched just now, are the reason.
    """
    if named := settings.model():
        return DefaultModel(named, None)
    try:
        entry = registry.info(PREFERRED_MODEL)
    except UnknownModel:
        return DefaultModel(DEFAULT_MODEL, None)
    try:
        found = store.locate(entry)
    except WeightsUnavailable as error:
        tried = "" if settings.offline() else f"; {settings.OFFLINE}=1 saves the attempt"
        return DefaultModel(DEFAULT_MODEL, f"it comes with the package. {error}{tried}")
    source = found.cached.pointer.source if found.cached else "the package"
    return DefaultModel(PREFERRED_MODEL, f"the default, with weights from {source}")
