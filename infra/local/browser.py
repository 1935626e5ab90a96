"""A person with a browser, in small: follows redirects, keeps cookies, fills in a page's form and presses its button.

It knows no provider: a page is whatever form it holds. Choices (a list of accounts, radio buttons) are made by the
person's address, boxes are left ticked as they are, and the first button is the one that agrees. A form without
choices, as of Microsoft's form_post, is sent on as its script would.
"""

from html.parser import HTMLParser
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import httpx

PAGES_MAX = 10


class Browser:
    """A context manager; one browser is one set of cookies."""

    def __init__(self) -> None:
        self._client = httpx.Client(follow_redirects=True, timeout=60.0, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def agree(self, url: str, address: str) -> None:
        """Opens the page and agrees to whatever it leads to. Raises ValueError where that ends in a refusal."""
        page = self._client.get(url)
        for _ in range(PAGES_MAX):
            form = Form(page.text)
            if page.is_error or not form.found:
                break
            target = urljoin(str(page.url), form.action)
            page = self._client.request(form.method, target, data=form.filled(address))
        if page.is_error or form.found:
            raise ValueError(f"the consent ended with {page.status_code}")


class Form(HTMLParser):
    """The first form of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found = False
        self.method, self.action = "GET", ""
        self._fields: list[tuple[str, str]] = []
        self._choices: list[tuple[str, str]] = []
        self._list = ""
        self._pressed = False
        self.feed(text)

    def filled(self, address: str) -> dict[str, list[str]]:
        chosen = [choice for choice in self._choices if choice[1] == address]
        filled: dict[str, list[str]] = {}
        for name, value in (*self._fields, *chosen):
            filled.setdefault(name, []).append(value)
        return filled

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name, value = given.get("name", ""), given.get("value", "")
        match tag, given.get("type", ""):
            case "form", _:
                self.found = True
                self.method, self.action = given.get("method", "GET").upper(), given.get("action", "")
            case "input", "hidden":
                self._fields.append((name, value))
            case "input", "checkbox" if "checked" in given:
                self._fields.append((name, value))
            case "input", "radio":
                self._choices.append((name, value))
            case "select", _:
                self._list = name
            case "button", _ if not self._pressed:
                self._pressed = True
                self._fields += [(name, value)] if name else []

    def handle_data(self, data: str) -> None:
        """An option's text is its value."""
        if self._list and data.strip():
            self._choices.append((self._list, data.strip()))

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._list = ""
