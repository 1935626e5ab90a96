"""The page a person looks at: HTML that the server writes, without a script; it reads itself anew every half minute.

What needs somebody comes first. Mailboxes are named by their account id, never by an address; everything is escaped,
since reasons and ids come from providers and apps.
"""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from starlette.responses import HTMLResponse

from shared.core.message import instant_s
from shared.status.style import HEADERS, STYLE

REFRESH_S = 30
MAILBOXES_MAX = 200
LAPSING_S = 86_400.0
STATES = {"active": ("good", "active"), "reauth_required": ("bad", "reconnect"), "paused": ("wait", "paused")}
BREAKERS = {"closed": ("good", "closed"), "half_open": ("wait", "half open"), "open": ("bad", "open")}
TARGETS = {"closed": ("good", "delivering"), "half_open": ("wait", "trying again"), "open": ("bad", "does not answer")}
NAMES = {"gmail": "Gmail", "outlook": "Outlook"}
UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def status_page(standing: Mapping[str, Any], *, session: bool) -> HTMLResponse:
    """`session`: opened by a cookie, so that there is something to log out of."""
    now_s = instant_s(standing["time"]) or 0.0
    mailboxes = sorted(standing["mailboxes"], key=lambda each: (not _troubles(each, now_s), each["account_id"]))
    out = '<form class="push" method="post" action="/status/logout"><button>Log out</button></form>' if session else ""
    body = (
        f'<header><h1>Tidemark</h1><span class="dim">{escape(standing["time"])}</span>{out}</header>'
        f'<div class="cards">{_cards(standing, mailboxes, now_s)}</div>'
        f"<h2>Providers</h2>{_providers(standing)}<h2>Mailboxes</h2>{_mailboxes(mailboxes, now_s)}"
        '<p class="dim">The same as data: <a href="/status/status.json">status.json</a>, '
        '<a href="/status/metrics">metrics</a>; what the functions answer to: '
        '<a href="/status/openapi.json">openapi.json</a></p>'
    )
    return _html("Tidemark", f"<main>{body}</main>", refresh=True)


def login_page(*, status: int = 200, said: str = "") -> HTMLResponse:
    told = f'<p class="bad" role="alert">{escape(said)}</p>' if said else ""
    body = (
        '<main><form class="box login" method="post" action="/status/login"><h1>Tidemark</h1>'
        f'{told}<p><label for="key">API key</label><input id="key" name="key" type="password" required autofocus '
        'autocomplete="current-password"></p><button class="strong">Show the status</button></form></main>'
    )
    return _html("Tidemark: log in", body, status=status)


def _html(title: str, body: str, *, status: int = 200, refresh: bool = False) -> HTMLResponse:
    again = f'<meta http-equiv="refresh" content="{REFRESH_S}">' if refresh else ""
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{again}'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>"
    )
    return HTMLResponse(text, status_code=status, headers=HEADERS)


def _troubles(mailbox: Mapping[str, Any], now_s: float) -> list[str]:
    """What somebody should look at, in words."""
    found = [str(alert).replace("_", " ") for alert in mailbox["alerts"]]
    if mailbox["state"] != "active":
        found.insert(0, str(mailbox["reason"] or mailbox["state"]).replace("_", " "))
    if mailbox["parked"]:
        found.append(f"{mailbox['parked']} could not be read so far")
    webhook = mailbox["webhook"]
    if webhook and webhook["dead_letters"]:
        found.append(f"{webhook['dead_letters']} dead letters")
    if webhook and webhook["attempts"]:
        found.append(f"webhook: {webhook['last_failure']}, {webhook['lag']} events wait")
    until_s = instant_s(mailbox["watch_expires_at"])
    if until_s is not None and until_s - now_s < LAPSING_S:
        found.append("watch lapsing" if until_s > now_s else "watch ended")
    return found


def _cards(standing: Mapping[str, Any], mailboxes: Iterable[Mapping[str, Any]], now_s: float) -> str:
    active = [each for each in mailboxes if each["state"] == "active"]
    troubled = sum(bool(_troubles(each, now_s)) for each in mailboxes)
    opened = [NAMES.get(of, of) for of, state in standing["breakers"].items() if state != "closed"]
    oldest = _span(max((each["cursor_age_s"] for each in active), default=0.0)) if active else "–"
    cards = [
        ("Mailboxes", str(standing["accounts"]["total"]), ""),
        ("Need attention", str(troubled), "bad" if troubled else "good"),
        ("Oldest cursor", oldest, ""),
        ("Backfilling", str(sum(each["backfill"] is not None for each in active)), ""),
        ("Breakers", ", ".join(opened) or "closed", "bad" if opened else "good"),
    ]
    if standing["webhook"]:
        kind, text = TARGETS.get(standing["webhook"]["state"], ("bad", "paused by 410"))
        cards.append(("Webhook", text, kind))
    return "".join(f'<div class="card">{name}<b class="{kind}">{escape(text)}</b></div>' for name, text, kind in cards)


def _providers(standing: Mapping[str, Any]) -> str:
    rows = []
    for of, breaker in standing["breakers"].items():
        figures = standing["performance"].get(of)
        cells = [("Breaker", _marked(*BREAKERS[breaker]))]
        if figures is None:
            cells.append(("Last syncs", "none yet"))
        else:
            took = figures["duration_s"]
            cells += [
                ("Last syncs", f"{figures['syncs']}"),
                ("Messages", f"{figures['messages']}, {figures['messages_per_second']:g}/s"),
                ("Seconds p50, p95, max", f"{took['p50']:.2f}, {took['p95']:.2f}, {took['max']:.2f}"),
                ("Provider calls", f"{figures['api_calls']:g}"),
                ("Quota units", f"{figures['quota_units']:g}"),
            ]
        rows.append((NAMES.get(of, of), cells))
    heads = ("Breaker", "Last syncs", "Messages", "Seconds p50, p95, max", "Provider calls", "Quota units")
    return _table(("Provider", *heads), rows)


def _mailboxes(mailboxes: list[Mapping[str, Any]], now_s: float) -> str:
    if not mailboxes:
        return '<p class="dim">None is connected yet: POST /accounts/connect makes a link for one.</p>'
    rows = [(each["account_id"], _cells(each, now_s)) for each in mailboxes[:MAILBOXES_MAX]]
    more = len(mailboxes) - MAILBOXES_MAX
    rest = f'<p class="dim">{more} more, all of them in status.json.</p>' if more > 0 else ""
    heads = ("Mailbox", *(name for name, _ in rows[0][1]))
    return _table(heads, rows) + rest


def _cells(mailbox: Mapping[str, Any], now_s: float) -> list[tuple[str, str]]:
    backfill = mailbox["backfill"]
    done = escape(" ".join(map(str, backfill.values()))) if backfill else "done"
    troubles = escape(", ".join(_troubles(mailbox, now_s)))
    return [
        ("Provider", escape(NAMES.get(mailbox["provider"], mailbox["provider"]))),
        ("State", _marked(*STATES.get(mailbox["state"], ("wait", mailbox["state"])))),
        ("Cursor age", _span(mailbox["cursor_age_s"])),
        ("Last sync", _ago(mailbox["last_sync_at"], now_s)),
        ("Backfill", done),
        ("Watch ends", _ago(mailbox["watch_expires_at"], now_s)),
        ("Messages", f"{mailbox['messages']:,}"),
        ("Attention", f'<span class="bad">{troubles}</span>' if troubles else "–"),
    ]


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, list[tuple[str, str]]]]) -> str:
    """`rows`: what a row is of, and its cells as (head, HTML); a narrow screen shows each row as a list."""
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(of)}</th>'
        + "".join(f'<td data-of="{name}"><span>{text}</span></td>' for name, text in cells)
        + "</tr>"
        for of, cells in rows
    )
    return f'<div class="box"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _marked(kind: str, text: str) -> str:
    return f'<span class="mark {kind}">● {escape(text)}</span>'


def _ago(moment: str | None, now_s: float) -> str:
    at_s = instant_s(moment)
    if at_s is None:
        return "–"
    return f"in {_span(at_s - now_s)}" if at_s > now_s else f"{_span(now_s - at_s)} ago"


def _span(seconds: float) -> str:
    for unit_s, name in UNITS:
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {name}"
    return f"{seconds:.0f} s"
