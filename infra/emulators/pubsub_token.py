"""The OIDC token of a push, as Google signs it for the subscription's service account, and the forgeries on order.

Source: https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions; facts/gmail.md 4 and (b) 28
"""

from typing import Any

TOKEN_LIFE_S, TOKEN_REUSE_S = 3600, 3300
FORGERIES = [
    "wrong_aud",
    "wrong_email",
    "email_unverified",
    "wrong_iss",
    "expired",
    "skew",
    "future",
    "no_token",
    "unknown_kid",
    "alg_none",
    "hs256",
    "wrong_signature",
]


def claims(audience: str, service_account: str, now_s: float, forge: str | None) -> dict[str, Any]:
    iat = int(now_s) + {"skew": 2, "future": 900, "expired": -7200}.get(forge or "", 0)
    return {
        "iss": "https://attacker.example" if forge == "wrong_iss" else "https://accounts.google.com",
        "aud": "https://elsewhere.example" if forge == "wrong_aud" else audience,
        "azp": "113774264463038321964",
        "sub": "113774264463038321964",
        "email": "stranger@example.com" if forge == "wrong_email" else service_account,
        "email_verified": forge != "email_unverified",
        "iat": iat,
        "exp": iat + TOKEN_LIFE_S,
    }
