"""The style of the status pages, and the headers that go with it: no script, nothing loaded, no frame, our own forms.

The style is allowed by its hash. `same-origin` as referrer policy, since under `no-referrer` browsers send
`Origin: null` with our own forms, and login could not tell them from another site's.
"""

import base64
import hashlib

STYLE = """
:root{color-scheme:light dark;--ink:#1b1b1f;--dim:#5c5c66;--ground:#f5f5f7;--card:#fff;--line:#e2e2e8;--link:#0b57d0;
--good:#146c2e;--wait:#8a5a00;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e6e6eb;--dim:#a5a5b0;--ground:#131316;--card:#1e1e22;--line:#35353c;
--link:#a8c7fa;--good:#7ddb93;--wait:#f0c36d;--bad:#ffb4ab}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}
main{max-width:76rem;margin:0 auto;padding:1.25rem 1rem 3rem}
header{display:flex;flex-wrap:wrap;align-items:baseline;gap:.25rem 1rem;margin-bottom:1rem}
h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:1.75rem 0 .6rem}p{margin:.4rem 0}
a{color:var(--link)}.dim{color:var(--dim);font-size:.875rem}.push{margin-left:auto}
.mark{white-space:nowrap}.good{color:var(--good)}.wait{color:var(--wait)}.bad{color:var(--bad)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem}
.card,.box{background:var(--card);border:1px solid var(--line);border-radius:.75rem}
.card{padding:.8rem 1rem}.card b{display:block;font-size:1.5rem;line-height:1.3;font-variant-numeric:tabular-nums}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.55rem .9rem;text-align:left;vertical-align:top}tbody tr{border-top:1px solid var(--line)}
thead th{font-size:.8rem;font-weight:600;color:var(--dim)}
tbody th{font-weight:600;overflow-wrap:anywhere}
input,button{font:inherit;padding:.55rem .8rem;border:1px solid var(--line);border-radius:.5rem;color:inherit}
input{width:100%;margin:.25rem 0 1rem;background:var(--ground)}
button{background:var(--card);cursor:pointer}.strong{background:var(--link);color:var(--card);border-color:var(--link)}
.login{max-width:26rem;margin:12vh auto;padding:1.75rem}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
@media(max-width:46rem){thead{position:absolute;clip-path:inset(50%)}tr{display:block;padding:.5rem 0}
tbody tr:first-child{border-top:0}tbody th,td{display:flex;
justify-content:space-between;gap:1rem;padding:.25rem .9rem}td{text-align:right}
td::before{content:attr(data-of);color:var(--dim)}}
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
