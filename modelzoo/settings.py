"""Every environment variable that modelzoo reads, with its meaning and default; nothing else reads them.

Some of them belong to others: Keras, OpenSSL, pip and the Hugging Face hub. What only others read stands with
them: HTTPS_PROXY and REQUESTS_CA_BUNDLE with requests, RAY_ADDRESS with Ray, all that pip reads with pip.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from modelzoo.errors import DownloadError, WeightsUnavailable

CACHE = "MODELZOO_CACHE"  # folders for weight files, separated as in PATH; the first one is written to
MIRROR = "MODELZOO_MIRROR"  # mirrors, separated by "|": folders, or file://, http:// or https:// addresses
TOKEN = "MODELZOO_TOKEN"  # sent as a bearer token to the mirrors alone
OFFLINE = "MODELZOO_OFFLINE"  # any value but those below: no socket is opened
MODEL = "MODELZOO_MODEL"  # which answers where none is named
REGISTRY = "MODELZOO_REGISTRY"  # a registry beside the packaged one: a file, or https://...#sha256=...
TIMEOUT = "MODELZOO_TIMEOUT"  # seconds without progress after which a download is given up
BACKEND = "KERAS_BACKEND"  # Keras' own, as the next; read to choose a runtime without importing Keras
KERAS_HOME = "KERAS_HOME"  # the folder of keras.json, which may name a backend, too
CERTIFICATES = "SSL_CERT_FILE"  # OpenSSL's own; certificates of further authorities
INDEX = "PIP_INDEX_URL"  # pip's own; read where pip is not installed
INDEX_CONFIGURATION = "PIP_CONFIG_FILE"  # pip's own; read where pip is not installed
HUB_ENDPOINT = "HF_ENDPOINT"  # the hub's own, as the next ones; the address of another hub
HUB_TOKEN = "HF_TOKEN"  # sent as a bearer token to the hub alone
HUB_TOKEN_FILE = "HF_TOKEN_PATH"  # the file of the token that `hf auth login` wrote
HUB_HOME = "HF_HOME"  # the folder of that file; of what else lies there nothing is read
HUB_NO_TOKEN = "HF_HUB_DISABLE_IMPLICIT_TOKEN"  # no token is sent
HUB_OFFLINE = "HF_HUB_OFFLINE"  # nothing is asked of the hub

HUB = "https://huggingface.co"
TRUE_VALUES = ("1", "on", "yes", "true")  # as the hub's own client reads its variables
LONGEST_TOKEN_FILE = 4096  # bytes
ONLINE_VALUES = ("", "0", "false", "no", "off")
DEFAULT_TIMEOUT = 300.0  # seconds
MIRROR_SEPARATOR = "|"  # in no address and in no path on Windows; spaces and colons are


def model() -> str | None:
    """The model that MODELZOO_MODEL names, or None."""
    return os.environ.get(MODEL) or None


def cache_roots() -> list[Path]:
    """The cache's folders, from MODELZOO_CACHE or the platform's for this user; none without a home."""
    folders = [folder for folder in os.environ.get(CACHE, "").split(os.pathsep) if folder]
    if not folders:
        import platformdirs

        try:
            folders = [platformdirs.user_cache_dir("modelzoo", False)]
        except (RuntimeError, KeyError):  # newer ones raise for a user without a home
            return []
    expanded = (os.path.expanduser(folder) for folder in folders)
    return [Path(folder) for folder in expanded if not folder.startswith("~")]  # a user without a home


def cache_home() -> Path:
    """The cache folder that is written to, made if need be; raises WeightsUnavailable if there is none."""
    advice = f"set {CACHE} to a folder for weight files that this user may write to"
    for root in cache_roots()[:1]:
        with suppress(OSError):
            root.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK):
            raise WeightsUnavailable(f"Nothing can be written to the cache {root}: {advice}.")
        return root
    raise WeightsUnavailable(f"This user has no home folder for a cache: {advice}.")


def mirrors() -> list[str]:
    """The mirrors of MODELZOO_MIRROR, in their order."""
    return [base.strip() for base in os.environ.get(MIRROR, "").split(MIRROR_SEPARATOR) if base.strip()]


def token() -> str:
    """The token of MODELZOO_TOKEN; "" if there is none."""
    return os.environ.get(TOKEN, "").strip()


def offline() -> bool:
    """Whether MODELZOO_OFFLINE forbids the network."""
    return os.environ.get(OFFLINE, "").lower() not in ONLINE_VALUES


def registry() -> str:
    """The place that MODELZOO_REGISTRY names; "" if there is none."""
    return os.environ.get(REGISTRY, "")


def timeout() -> float:
    """Seconds without progress after which a download is given up; raises DownloadError for another value."""
    value = os.environ.get(TIMEOUT, "")
    try:
        seconds = float(value or DEFAULT_TIMEOUT)
    except ValueError:
        seconds = -1
    if not 0 < seconds < float("inf"):
        raise DownloadError(f"{TIMEOUT}: expected a number of seconds above 0, got {value!r}")
    return seconds


def keras_backend() -> str:
    """The backend that Keras would run on: of KERAS_BACKEND, of keras.json, or TensorFlow, its default."""
    return os.environ.get(BACKEND, "") or _configured_backend() or "tensorflow"


def _configured_backend() -> str | None:
    """What keras.json names; None where it cannot be read, as Keras itself passes over a damaged one."""
    folder = os.environ.get(KERAS_HOME)
    if folder is None:
        folder = os.path.join(os.path.expanduser("~"), ".keras")
    try:
        text = Path(os.path.expanduser(os.path.join(folder, "keras.json"))).read_text("utf-8")
        backend: Any = json.loads(text)["backend"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return backend if isinstance(backend, str) else None


def certificates() -> str | None:
    """The file of SSL_CERT_FILE, if it is set."""
    return os.environ.get(CERTIFICATES) or None


def package_index() -> str | None:
    """The index of PIP_INDEX_URL, if it is set."""
    return os.environ.get(INDEX, "").strip() or None


def package_configuration() -> str | None:
    """The file of PIP_CONFIG_FILE, if it is set."""
    return os.environ.get(INDEX_CONFIGURATION) or None


def environment(**changes: str) -> dict[str, str]:
    """A copy of the whole environment with these variables changed, for another program."""
    return {**os.environ, **changes}


def hub_endpoint() -> str:
    """The address of the model hub, without a slash at its end."""
    return os.environ.get(HUB_ENDPOINT, "").strip().rstrip("/") or HUB


def hub_offline() -> bool:
    """Whether HF_HUB_OFFLINE or MODELZOO_OFFLINE forbids to ask the hub."""
    return offline() or os.environ.get(HUB_OFFLINE, "").lower() in TRUE_VALUES


def hub_token() -> str:
    """The token for the hub: of HF_TOKEN, or of the file that `hf auth login` wrote; "" if there is none."""
    if os.environ.get(HUB_NO_TOKEN, "").lower() in TRUE_VALUES:
        return ""
    if token := os.environ.get(HUB_TOKEN, "").strip():
        return token
    home = os.environ.get(HUB_HOME) or os.path.join("~", ".cache", "huggingface")
    path = os.environ.get(HUB_TOKEN_FILE) or os.path.join(home, "token")
    try:
        with open(os.path.expanduser(path), "rb") as file:
            return file.read(LONGEST_TOKEN_FILE).decode("ascii").strip()
    except (OSError, ValueError):
        return ""
