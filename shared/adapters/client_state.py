"""The keys of Graph subscriptions' client states, derived from TOKEN_ENCRYPTION_KEYS: a secret nobody has to set.

The newest key makes client states, every key proves them: a subscription outlives a rotation, as a sealed token does.
Source: https://www.rfc-editor.org/rfc/rfc5869 (HKDF-SHA256 with an empty salt, one block)
"""

import hmac
from collections.abc import Sequence

INFO = b"tidemark graph client state v1"


def client_state_keys(keys: Sequence[bytes]) -> tuple[bytes, ...]:
    """In the order of the keys they are derived from: newest first."""
    return tuple(hmac.digest(hmac.digest(bytes(32), key, "sha256"), INFO + b"\x01", "sha256") for key in keys)
