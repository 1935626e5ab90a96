"""The few pages that a person meets while connecting a mailbox: static, without scripts, everything escaped.

The policy forbids whatever a page could load, run or be framed by; only the style that is written here is allowed, by
its hash. No page names an address, a token or what the provider said beyond words of ours.
"""

import base64
import hashlib
from collections.abc import Sequence
from html import escape

from starlette.responses import HTMLResponse

STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;margin:0;color:#1b1b1f;background:#f5f5f7}"
    "main{max-width:30rem;margin:12vh auto;padding:2rem 2.5rem;background:#fff;border-radius:.75rem}"
    "h1{font-size:1.35rem;margin:0 0 .75rem}code{overflow-wrap:anywhere}a{color:#0b57d0}"
    "@media(prefers-color-scheme:dark){body{color:#e3e3e8;background:#131316}main{background:#1e1e22}a{color:#a8c7fa}}"
)
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}


def page(title: str, text: str, *, items: Sequence[str] = (), back: str = "", status: int = 200) -> HTMLResponse:
    """`items` as a list below the text; `back`: where the person came from, checked before."""
    listed = "".join(f"<li><code>{escape(item)}</code></li>" for item in items)
    way = f'<p><a href="{escape(back)}" rel="noreferrer">Back to the application</a></p>' if back else ""
    body = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main><h1>{escape(title)}</h1>"
        f"<p>{escape(text)}</p>{f'<ul>{listed}</ul>' if listed else ''}{way}</main></body></html>"
    )
    return HTMLResponse(body, status_code=status, headers=HEADERS)
