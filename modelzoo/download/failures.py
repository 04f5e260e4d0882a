"""Why a transfer failed, and whether another try may help."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import requests
import urllib3

from modelzoo.errors import DownloadError

ERROR_CODE = "X-Error-Code"  # of model hubs


class Interrupted(DownloadError):
    """The transfer may succeed if it is tried again, after `wait` seconds if the host says so."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


class Unreachable(Interrupted):
    """No connection came about: another source is likelier to help than another try."""


class HostRefused(DownloadError):
    """The host's answer is that it does not give the file; `code` is its own word for the reason, if any."""

    def __init__(self, reason: str, status: int, headers: Mapping[str, str]):
        super().__init__(reason)
        self.status, self.headers = status, headers

    @property
    def code(self) -> str:
        return self.headers.get(ERROR_CODE, "")


class ResumeRefused(DownloadError):
    """The host cannot continue the file where it broke off: it has to start over."""


@contextmanager
def reasons() -> Generator[None]:
    """Turns what requests and urllib3 raise into one short reason, which never holds the address."""
    try:
        yield
    except DownloadError:
        raise
    except requests.exceptions.ProxyError as error:
        raise Unreachable("no connection through the proxy that HTTP_PROXY or HTTPS_PROXY names") from error
    except (requests.exceptions.SSLError, urllib3.exceptions.SSLError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise DownloadError(
                "the host's certificate is not trusted (SSL_CERT_FILE may name your authority's)"
            ) from error
        raise Interrupted("the secure connection broke off") from error
    except requests.exceptions.ConnectTimeout as error:
        raise Unreachable("no connection in time") from error
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise Interrupted("no answer in time") from error
    except requests.exceptions.ConnectionError as error:
        cause = getattr(error.args[0] if error.args else None, "reason", None)
        if isinstance(cause, urllib3.exceptions.NameResolutionError):
            raise Unreachable("no connection: the host's name is not known") from error
        if isinstance(cause, urllib3.exceptions.NewConnectionError):
            raise Unreachable("no connection") from error
        if isinstance(cause, urllib3.exceptions.TimeoutError):
            raise Interrupted("no answer in time") from error
        raise Interrupted("the connection broke off") from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise Interrupted("the connection broke off") from error
    except requests.RequestException as error:
        raise DownloadError(f"the host cannot be asked: {type(error).__name__}") from None
    except urllib3.exceptions.HTTPError as error:
        raise Interrupted("the connection broke off") from error
    except ValueError:
        raise DownloadError("the address cannot be understood") from None  # the error may quote a password
    except OSError as error:
        raise DownloadError(f"the host cannot be asked: {error}") from error
