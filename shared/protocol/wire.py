"""What crosses the wire, as values: a request that some adapter will send, and the response it got.

`Request.path` is relative to the provider's origin (`/gmail/v1/users/me/history`) or, for Graph's links, an absolute
URL that the protocol has already checked against the configured origin. `units` is what the request costs of the
mailbox's quota (Gmail units; 0 where the provider does not count in units). `perishable`: it names something that the
provider may have forgotten by now (a page token, a label): a refusal (4xx) is an answer then, which the protocol reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    units: int = 0
    perishable: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """Header names are lower case. The body is decoded (gzip) and bounded by the adapter that read it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
