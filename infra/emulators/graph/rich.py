"""Resource data in notifications: encrypted for the subscriber's certificate, with a signed proof of who sent it.

    key          32 random bytes, RSA-OAEP (SHA-1, MGF1-SHA-1) under the certificate: dataKey
    data         AES-256-CBC, PKCS7, IV = the first 16 bytes of the key
    signature    HMAC-SHA256(key, ciphertext): dataSignature
    validation   JWT by the identity emulator's key: aud = the app, appid = Microsoft's change tracking app

Source: https://learn.microsoft.com/en-us/graph/change-notifications-with-resource-data
"""

import base64
import hashlib
import hmac
import secrets
from typing import Any

import jwt
import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from infra.emulators.graph.grants import TENANT_ID
from infra.emulators.graph.tokens import KEY_ID
from infra.emulators.microsoft_identity import MicrosoftIdentity

PUBLISHER_APP_ID = "0bf30f3b-4a52-48df-9a82-234910c4a086"  # Microsoft Graph Change Tracking
KEY_BITS_MIN, KEY_BITS_MAX = 2048, 4096
TOKEN_TTL_S = 3600
_SHA1 = hashes.SHA1  # as Graph does it; nothing here rests on its collisions


def certificate_fault(text: Any) -> str | None:
    """Why this is no encryptionCertificate; None if it is one."""
    try:
        key = _certificate(str(text)).public_key()
    except ValueError:
        return "encryptionCertificate must be a base64 encoded X.509 certificate."
    if not isinstance(key, rsa.RSAPublicKey) or not KEY_BITS_MIN <= key.key_size <= KEY_BITS_MAX:
        return f"encryptionCertificate must have an RSA key of {KEY_BITS_MIN} to {KEY_BITS_MAX} bits."
    return None


def encrypted_content(resource: dict[str, Any], certificate: str, certificate_id: str) -> dict[str, str]:
    parsed = _certificate(certificate)
    public = parsed.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    key = secrets.token_bytes(32)
    padder = PKCS7(128).padder()
    plain = padder.update(orjson.dumps(resource)) + padder.finalize()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    data = encryptor.update(plain) + encryptor.finalize()
    oaep = padding.OAEP(padding.MGF1(_SHA1()), _SHA1(), None)
    return {
        "data": base64.b64encode(data).decode(),
        "dataKey": base64.b64encode(public.encrypt(key, oaep)).decode(),
        "dataSignature": base64.b64encode(hmac.new(key, data, hashlib.sha256).digest()).decode(),
        "encryptionCertificateId": certificate_id,
        "encryptionCertificateThumbprint": parsed.fingerprint(_SHA1()).hex().upper(),
    }


def validation_token(identity: MicrosoftIdentity, app_id: str) -> str:
    now = int(identity.clock.now_s())
    claims = {
        "aud": app_id,
        "iss": f"https://sts.windows.net/{TENANT_ID}/",
        "iat": now,
        "nbf": now,
        "exp": now + TOKEN_TTL_S,
        "appid": PUBLISHER_APP_ID,
        "tid": TENANT_ID,
        "ver": "1.0",
    }
    return jwt.encode(claims, identity.tokens.signing_key, algorithm="RS256", headers={"kid": KEY_ID})


def _certificate(text: str) -> x509.Certificate:
    """PEM or DER, in base64; ValueError if it is neither."""
    raw = base64.b64decode(text, validate=False)
    return x509.load_pem_x509_certificate(raw) if b"BEGIN CERT" in raw else x509.load_der_x509_certificate(raw)
