"""All functions from one process: the first path segment names the function (make serve, Railway's single service).

python -m functions.app --host 127.0.0.1 --port 8080
functions-framework --source functions/app.py --target app --asgi
"""

import argparse
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from functions.accounts import accounts
from functions.gmail_sync import gmail_sync
from functions.mailbox import mailbox
from functions.outlook_sync import outlook_sync
from functions.push_webhook import push_webhook
from functions.status import status
from shared.edge import guarded, problem, segments

FUNCTIONS: dict[str, Any] = {
    "accounts": accounts,
    "gmail-sync": gmail_sync,
    "mailbox": mailbox,
    "outlook-sync": outlook_sync,
    "push-webhook": push_webhook,
    "status": status,
}

STOP_TIMEOUT_S = 10  # for requests in flight: a reader may wait longer, and a sync is resumed by the next


@functions_framework.aio.http
@partial(guarded, timeout_s=None)
async def app(request: Request) -> Response:
    function = FUNCTIONS.get(next(iter(segments(request, "")), ""))
    if function is None:
        return problem(404, "not_found", "there is nothing at this path")
    answer: Response = await function(request)
    return answer


def main() -> None:
    import uvicorn

    options = argparse.ArgumentParser(description="Serve every function of Tidemark from one process.")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=8080)
    given = options.parse_args()
    asgi = functions_framework.aio.create_asgi_app(  # type: ignore[no-untyped-call]
        "app", str(Path(__file__).resolve())
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn sends it on when it has stopped
    uvicorn.run(
        asgi,
        host=given.host,
        port=given.port,
        log_level="warning",
        lifespan="off",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
    )


if __name__ == "__main__":
    main()
