"""Google's signing keys in small: RS256 tokens, and the two certificate documents that verify them.

    /oauth2/v1/certs    {kid: X.509 certificate in PEM}
    /oauth2/v3/certs    {"keys": [JWK]}

`rotate` signs with a new key and keeps publishing the one before, as Google does.
A key costs a tenth of a second to make, so none is made before it is needed.
Source: https://www.googleapis.com/oauth2/v1/certs, https://www.googleapis.com/oauth2/v3/certs
"""

import base64
import hashlib
import hmac
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

MAX_AGE_S = 21_600  # Cache-Control of both documents


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


@dataclass(frozen=True, slots=True)
class _Key:
    kid: str
    private: rsa.RSAPrivateKey
    certificate: str

    def jwk(self) -> dict[str, str]:
        public = self.private.public_key().public_numbers()
        modulus = public.n.to_bytes((public.n.bit_length() + 7) // 8, "big")
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.kid,
            "n": _b64(modulus),
            "e": _b64(public.e.to_bytes(3, "big")),
        }


def _make_key() -> _Key:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "federated-signon.system.gserviceaccount.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .sign(private, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    return _Key(hashlib.sha256(pem).hexdigest()[:40], private, pem.decode("ascii"))


class GoogleKeys:
    def __init__(self) -> None:
        self._keys: list[_Key] = []  # the newest signs
        self._foreign: _Key | None = None
        self._lock = threading.Lock()  # pushes are signed on one thread, certificates served on another

    def _newest(self) -> _Key:
        with self._lock:
            if not self._keys:
                self._keys.append(_make_key())
            return self._keys[-1]

    def rotate(self, keep_old: bool = True) -> str:
        """A new key signs from now on; returns its kid. The one before stays published, if at all."""
        self._newest()
        self._keys = [*(self._keys[-1:] if keep_old else []), _make_key()]
        return self._keys[-1].kid

    def certs_v1(self) -> dict[str, str]:
        self._newest()
        return {key.kid: key.certificate for key in self._keys}

    def certs_v3(self) -> dict[str, list[dict[str, str]]]:
        self._newest()
        return {"keys": [key.jwk() for key in self._keys]}

    def sign(self, claims: dict[str, Any], forge: str | None = None) -> str:
        """A JWT. `forge`: unknown_kid, alg_none, hs256 (HMAC with the public certificate), wrong_signature."""
        key = self._newest()
        if forge in ("unknown_kid", "wrong_signature"):
            self._foreign = self._foreign or _make_key()
        signing = self._foreign if forge in ("unknown_kid", "wrong_signature") and self._foreign else key
        header: dict[str, str] = {"alg": "RS256", "kid": key.kid, "typ": "JWT"}
        if forge == "unknown_kid":
            header["kid"] = signing.kid
        elif forge == "alg_none":
            header["alg"] = "none"
        elif forge == "hs256":
            header["alg"] = "HS256"
        signed = f"{_b64(orjson.dumps(header))}.{_b64(orjson.dumps(claims))}"
        if forge == "alg_none":
            return f"{signed}."
        if forge == "hs256":
            return f"{signed}.{_b64(hmac.digest(key.certificate.encode(), signed.encode(), 'sha256'))}"
        signature = signing.private.sign(signed.encode("ascii"), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_b64(signature)}"
