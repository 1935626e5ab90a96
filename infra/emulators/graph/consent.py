"""Pages of the authorize endpoint: who are you, what may the app do; and the form that posts the answer back.

A script needs no browser: POST the same URL with `account`, `decision` (approve or deny) and one `scope` per granted
permission (none named: all that were asked for).
Source: https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow
"""

from collections.abc import Iterable
from html import escape

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 "Segoe UI", system-ui, sans-serif; background: #f2f2f2; margin: 0; color: #1b1b1b }}
main {{ background: #fff; max-width: 27rem; margin: 10vh auto; padding: 2.75rem; box-shadow: 0 2px 6px #0003 }}
h1 {{ font-size: 1.5rem; font-weight: 600 }} label {{ display: block; margin: .4rem 0 }}
button {{ font: inherit; padding: .4rem 1.6rem; border: 0; margin-right: .5rem; background: #ccc }}
button[value=approve] {{ background: #0067b8; color: #fff }} small {{ color: #666 }}
</style></head><body><main>{body}</main></body></html>"""


def consent_page(action: str, app_id: str, accounts: Iterable[str], scopes: Iterable[str], hint: str | None) -> str:
    choices = "".join(
        f'<label><input type="radio" name="account" value="{escape(address)}" required'
        f"{' checked' if number == 0 or address.lower() == (hint or '').lower() else ''}> {escape(address)}</label>"
        for number, address in enumerate(accounts)
    )
    boxes = "".join(
        f'<label><input type="checkbox" name="scope" value="{escape(scope)}" checked> {escape(scope)}</label>'
        for scope in scopes
    )
    body = (
        f"<small>Microsoft identity emulator</small><h1>Permissions requested</h1>"
        f"<p>App <code>{escape(app_id)}</code> asks for access to</p>"
        f'<form method="post" action="{escape(action)}">{choices}<hr>{boxes}<hr>'
        f'<input type="hidden" name="scopes_shown" value="1">'
        f'<button name="decision" value="approve">Accept</button>'
        f'<button name="decision" value="deny" formnovalidate>Cancel</button></form>'
    )
    return _PAGE.format(title="Sign in to your account", body=body)


def form_post_page(redirect_uri: str, fields: dict[str, str]) -> str:
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items()
    )
    body = (
        f'<form method="post" name="hiddenform" action="{escape(redirect_uri)}">{hidden}'
        f"<noscript><p>Script is disabled. Click Submit to continue.</p></noscript>"
        f'<button type="submit">Submit</button></form><script>document.forms[0].submit();</script>'
    )
    return _PAGE.format(title="Working...", body=body)


def refusal_page(text: str) -> str:
    return _PAGE.format(title="Sign in to your account", body=f"<h1>Sorry</h1><p>{escape(text)}</p>")
