"""The one table of what the functions answer to: path, method, key, query, body, answers.

It describes; the functions decide. tests/functions/test_routes.py holds it against them from both sides: every path
that a function matches is here with exactly its methods, its query parameters, and whether it wants the key.
"""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel

from shared import bodies
from shared.status import answers

HTML, JSON, TEXT, FORM = "text/html", "application/json", "text/plain", "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    said: str
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "string", "minLength": 1})
    required: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    said: str
    model: type[BaseModel] | None = None
    media_type: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """`key`: "bearer", "session" (the bearer key, or the status page's cookie) or "none". `errors`: statuses besides
    those that any request may get."""

    method: str
    path: str
    said: str
    answers: tuple[Answer, ...]
    key: Literal["bearer", "session", "none"] = "bearer"
    query: tuple[Parameter, ...] = ()
    body: type[BaseModel] | None = None
    body_type: str = JSON
    body_required: bool = True
    errors: tuple[int, ...] = ()
    for_browsers: bool = False  # an error may be a page too

    @property
    def function(self) -> str:
        return self.path.split("/")[1]


def _json(model: type[BaseModel], status: int = 200, said: str = "Done.") -> Answer:
    return Answer(status, said, model, JSON)


ACCOUNT_ID = Parameter("account_id", "the account", required=True)
USER_ID = Parameter(
    "user_id", "the app's name for the user", {"type": "string", "minLength": 1, "maxLength": 256}, required=True
)
VALIDATION = Parameter("validationToken", "Graph's handshake: it is echoed", {"type": "string", "maxLength": 4096})
LINK = Parameter("link", "the sealed link", required=True)
STATE, CODE = Parameter("state", "single-use state"), Parameter("code", "authorization code")
CHANGES_QUERY = (
    ACCOUNT_ID,
    Parameter("after", "the cursor of the page before (exclusive), or `earliest`", {"type": "string"}),
    Parameter("limit", "events at most", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
    Parameter("wait", "seconds to wait for something new", {"type": "integer", "minimum": 0, "default": 0}),
    Parameter("reader", "who reads", {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,64}$", "default": "default"}),
)
SYNCED = (
    Answer(200, "Outcomes are 200: of the account, or of a ping.", None, JSON),  # the two models: openapi.ONE_OF
)
READ = (404, 409, 429, 502)
PAGE = Answer(200, "A page.", media_type=HTML)
TO_PROVIDER = Answer(302, "To the provider's consent page.")
BACK = (PAGE, Answer(303, "Back to return_to, with account_id."))
PUSHED = (Answer(202, "Taken."), Answer(200, "The validationToken.", media_type=TEXT))
TO_THE_PAGE = (Answer(303, "To the page."),)

ROUTES: tuple[Route, ...] = (
    *(
        Route("POST", f"/{name}-sync", said, SYNCED, body=bodies.Sync, body_required=False, errors=(404, 502))
        for name, said in (
            ("gmail", "Sync a Gmail account, or all that are due"),
            ("outlook", "Sync an Outlook account, or all that are due"),
        )
    ),
    Route("GET", "/accounts", "List the mailboxes", (_json(answers.Accounts),)),
    Route(
        "POST",
        "/accounts",
        "Connect a mailbox by its refresh token",
        (_json(answers.Connected, 201, "Connected."), _json(answers.Connected, 200, "Known; its token is replaced.")),
        body=bodies.Import,
        errors=(409, 502),
    ),
    Route("GET", "/accounts/{account_id}", "Show a mailbox", (_json(answers.Account),), errors=(404,)),
    Route("DELETE", "/accounts/{account_id}", "Delete a mailbox", (Answer(204, "Gone."),), errors=(404, 502)),
    Route(
        "POST",
        "/accounts/{account_id}/resync",
        "Compare with the mailbox again; with content: as a snapshot in the log",
        (_json(answers.Accepted, 202, "At the next sync."),),
        body=bodies.Resync,
        body_required=False,
        errors=(404,),
    ),
    Route(
        "POST",
        "/accounts/{account_id}/redeliver",
        "Deliver the change log to the webhook again, and end its pause",
        (_json(answers.Accepted, 202, "With the next ping, if not before."),),
        body=bodies.Redeliver,
        body_required=False,
        errors=(404, 409, 410),
    ),
    Route(
        "POST",
        "/accounts/connect",
        "Make a link that connects a mailbox in a browser",
        (_json(answers.Link),),
        body=bodies.Connect,
    ),
    Route(
        "GET",
        "/accounts/connect",
        "That link",
        (TO_PROVIDER,),
        key="none",
        query=(LINK,),
        errors=(502,),
        for_browsers=True,
    ),
    *(
        Route(
            method,
            f"/accounts/callback/{name}",
            "Where the provider comes back",
            BACK,
            key="none",
            query=query,
            for_browsers=True,
        )
        for name in ("google", "microsoft")
        for method, query in (("GET", (STATE, CODE)), ("POST", ()))
    ),
    Route("POST", "/push-webhook/gmail", "A Pub/Sub push", (Answer(204, "Taken."),), key="none", errors=(401,)),
    *(
        Route("POST", f"/push-webhook/{path}", said, PUSHED, key="none", query=(VALIDATION,))
        for path, said in (("outlook", "Graph's notifications"), ("outlook/lifecycle", "Graph's lifecycle events"))
    ),
    Route(
        "GET",
        "/mailbox/changes",
        "Read the change log",
        (_json(answers.Changes),),
        query=CHANGES_QUERY,
        errors=(404, 410),
    ),
    Route(
        "GET",
        "/mailbox/messages",
        "Read messages, through the cache",
        (_json(answers.Messages),),
        query=(ACCOUNT_ID, Parameter("ids", "1 to 100 message ids, with commas between them", required=True)),
        errors=READ,
    ),
    Route(
        "GET",
        "/mailbox/threads/{thread_id}",
        "Read a thread, through the cache",
        (_json(answers.Thread),),
        query=(ACCOUNT_ID,),
        errors=READ,
    ),
    Route("GET", "/mailbox/folders", "Folders or labels", (_json(answers.Folders),), query=(ACCOUNT_ID,), errors=READ),
    Route("GET", "/mailbox/preferences", "What is kept warm", (_json(answers.Preferences),), query=(USER_ID,)),
    Route(
        "PUT",
        "/mailbox/preferences",
        "Say what to keep warm",
        (_json(answers.Preferences),),
        query=(USER_ID,),
        body=answers.Preferences,
    ),
    Route("GET", "/status", "How things stand, for a person", (PAGE,), key="session", for_browsers=True),
    Route("GET", "/status/status.json", "The same as data", (_json(answers.Standing),), key="session"),
    Route("GET", "/status/metrics", "For Prometheus", (Answer(200, "Metrics.", media_type=TEXT),), key="session"),
    Route("GET", "/status/openapi.json", "This description", (Answer(200, "OpenAPI 3.1.", None, JSON),), key="session"),
    Route("GET", "/status/health", "Whether the process lives", (_json(answers.Health),), key="none"),
    Route("GET", "/status/login", "The form", (PAGE,), key="none"),
    Route(
        "POST",
        "/status/login",
        "Swap the key for a session",
        TO_THE_PAGE,
        key="none",
        body=bodies.Login,
        body_type=FORM,
        for_browsers=True,
        errors=(401, 403, 415),
    ),
    Route("POST", "/status/logout", "End the session", TO_THE_PAGE, key="none", errors=(403, 415)),
)

ONE_OF: MappingProxyType[str, tuple[type[BaseModel], ...]] = MappingProxyType(
    {"/gmail-sync": (answers.Synced, answers.Swept), "/outlook-sync": (answers.Synced, answers.Swept)}
)
