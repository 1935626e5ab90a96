"""The cron ping: asks the deployed service to work through its mailboxes, prints what it says, and exits.

    TIDEMARK_API_KEY=… PUBLIC_URL=https://… python -m infra.railway.ping

0 where both providers' pings were answered and no mailbox failed in a way that nobody has foreseen; 1 else, so that the
platform shows a failed run.
"""

import json
import os
import sys
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

FUNCTIONS = ("gmail-sync", "outlook-sync")
TIMEOUT_S = 400.0  # MAX_SYNC_DURATION and the service's waking up


def ping(base_url: str, key: str, function: str) -> bool:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = Request(f"{base_url.rstrip('/')}/{function}", b"{}", headers, method="POST")  # noqa: S310 - our own URL
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - likewise
            said = json.load(answer)
    except (HTTPError, URLError, TimeoutError, ValueError) as error:
        print(f"{function}: {type(error).__name__}", file=sys.stderr)
        return False
    failed = sum(result["status"] == "failed" for result in said["results"])
    print(f"{function}: {said['accounts']} accounts, {failed} failed, more: {said['more']}")
    return not failed


def main() -> int:
    missing = [name for name in ("PUBLIC_URL", "TIDEMARK_API_KEY") if not os.environ.get(name)]
    if missing:
        print(f"{missing[0]} is not set", file=sys.stderr)
        return 2
    answered = [ping(os.environ["PUBLIC_URL"], os.environ["TIDEMARK_API_KEY"], function) for function in FUNCTIONS]
    return 0 if all(answered) else 1


if __name__ == "__main__":
    sys.exit(main())
