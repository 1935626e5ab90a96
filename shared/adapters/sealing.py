"""Sealing what is stored: OAuth tokens by AES-256-GCM, addresses by HMAC.

    v1.<key id>.<base64url of nonce and ciphertext>     key id: the first 8 hex digits of the key's SHA-256
    associated data                                     account|provider|purpose|key id: a token moved to another
                                                        account, or used for another purpose, does not open
    lookup                                              HMAC-SHA256 of the address under a key derived by HKDF-SHA256

Keys are newest first: the first seals, all open (rotation: put the new key in front; drop the old one when
`is_current` holds for everything stored).

Addresses are looked up under every key: an entry is written under the first candidate and may be found under any,
then it is written again under the first. Deriving the look-up key from one fixed key instead would make that key
impossible to retire. Random nonces of 96 bits: NIST SP 800-38D allows 2^32 sealings per key.

cryptography is imported at the first sealing (7 ms, 7 MB): push-webhook only looks addresses up, with stdlib HMAC.
Source: https://www.rfc-editor.org/rfc/rfc5869 (HKDF)
"""

import base64
import binascii
import hashlib
import hmac
import os
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from shared.core.errors import ContractBroken

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = "v1"
NONCE_BYTES = 12
TAG_BYTES = 16
KEY_BYTES = 32
LOOKUP_INFO = b"tidemark address lookup v1"


class SealBroken(ContractBroken):
    """The text was changed, belongs to another account or purpose, or its key is not configured any more."""

    slug = "seal_broken"


class Sealer:
    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"sealing needs keys of {KEY_BYTES} bytes")
        self._keys = {key_id(key): key for key in keys}
        if len(self._keys) != len(keys):
            raise ValueError("two keys have the same id")
        self._newest = key_id(keys[0])
        self._lookup_keys = [_derived(key) for key in keys]

    def __repr__(self) -> str:
        return f"Sealer({', '.join(self._keys)})"

    def seal(self, plaintext: str, *, account_id: str, provider: str, purpose: str) -> str:
        """Twice the same text gives two different seals."""
        nonce = os.urandom(NONCE_BYTES)
        associated = _associated(account_id, provider, purpose, self._newest)
        sealed = nonce + self._ciphers[self._newest].encrypt(nonce, plaintext.encode(), associated)
        return f"{VERSION}.{self._newest}.{base64.urlsafe_b64encode(sealed).rstrip(b'=').decode()}"

    def open(self, sealed: str, *, account_id: str, provider: str, purpose: str) -> str:
        """The plaintext. Raises SealBroken, always with the same words: which check failed is nobody's business."""
        from cryptography.exceptions import InvalidTag

        version, _, rest = sealed.partition(".")
        name, _, text = rest.partition(".")
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            if version != VERSION or name not in self._keys or len(raw) < NONCE_BYTES + TAG_BYTES:
                raise SealBroken("a sealed value cannot be opened")
            associated = _associated(account_id, provider, purpose, name)
            return self._ciphers[name].decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], associated).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise SealBroken("a sealed value cannot be opened") from error

    def is_current(self, sealed: str) -> bool:
        """Whether the newest key sealed it; if not, seal it again at the next write."""
        return sealed.startswith(f"{VERSION}.{self._newest}.")

    def lookup(self, address: str) -> list[str]:
        """What stands for an address in keys: write under the first, look under all (newest first)."""
        text = unicodedata.normalize("NFC", address.strip()).casefold().encode()
        return [hmac.digest(key, text, "sha256").hex() for key in self._lookup_keys]

    def names(self, kind: str, text: str) -> list[str]:
        """Likewise for other texts that no key may show, taken as they are: a user id, a sender."""
        return [hmac.digest(key, f"{kind}|{text}".encode(), "sha256").hex() for key in self._lookup_keys]

    @cached_property
    def _ciphers(self) -> "dict[str, AESGCM]":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return {name: AESGCM(key) for name, key in self._keys.items()}


def key_id(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:8]


def _associated(*parts: str) -> bytes:
    if any("|" in part for part in parts):
        raise ValueError("a part of the associated data holds the separator")
    return "|".join(parts).encode()


def _derived(key: bytes) -> bytes:
    """HKDF-SHA256 with an empty salt, one block."""
    pseudorandom = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(pseudorandom, LOOKUP_INFO + b"\x01", "sha256")
