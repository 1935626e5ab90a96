"""After a rotation of TOKEN_ENCRYPTION_KEYS: what an account has sealed is sealed anew by its next sync.

    refresh, access, email      opened by the key that sealed them, sealed by the newest
    address                     looked up by the newest key's HMAC from now on
    Graph's subscription        made anew: its client state is proven by a key too

So the old key can be dropped once every account has been synced; Google's refresh tokens are never replaced by
themselves. It costs
one request, and none for an account whose seals are current.
"""

from collections.abc import Mapping

from shared.adapters import redis_access_scripts as scripts
from shared.adapters import redis_keys as keys
from shared.adapters.redis_client import RedisClient
from shared.adapters.sealing import SealBroken, Sealer

SEALED = ("refresh", "access", "email")


async def rekeyed(
    account_id: str, provider: str, fields: Mapping[str, str], sealer: Sealer, redis: RedisClient
) -> dict[str, str]:
    """The account's fields, as they are stored now. What no key opens is left as it is: who needs it will say so."""
    of = {"account_id": account_id, "provider": provider}
    old = [name for name in SEALED if fields.get(name) and not sealer.is_current(fields[name])]
    try:
        opened = {name: sealer.open(fields[name], **of, purpose=name) for name in old}
    except SealBroken:
        return dict(fields)
    if not opened:
        return dict(fields)
    new = {name: sealer.seal(text, **of, purpose=name) for name, text in opened.items()}
    address = fields["address"]
    if "email" in opened:
        new["address"] = f"{provider}|{sealer.lookup(opened['email'])[0]}"
    if fields.get("watch_id"):
        new["watch_ask"] = "recreate"
    changes = [part for name, value in new.items() for part in (name, fields.get(name, ""), value)]
    args = [account_id, address, new.get("address", address), *changes]
    await redis.run(scripts.REKEY, [keys.of(account_id, "account"), keys.ADDRESSES], args)
    return {**fields, **new}
