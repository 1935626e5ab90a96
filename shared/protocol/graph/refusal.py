"""What Graph's answer means: the whole answer or one part of a batch, by status and code, never by its message.

    answer                                                         kind
    2xx                                                            OK
    401                                                            EXPIRED
    410, whatever is in it; 400 to 410 SyncStateNotFound,
         SyncStateInvalid, ResyncRequired (any case)               NOT_FOUND: the delta link is dead
    404 with any code that is not about the mailbox                NOT_FOUND: gone
    403 ErrorQuotaExceeded                                         NOT_FOUND: delta does not work, listing does
    429, 509; ErrorTooManyObjectsOpened                            THROTTLED
    403 ErrorAccessDenied of one part of a batch                   THROTTLED: a burst was once answered so (facts A2-5)
    403 with any other code, alone                                 FORBIDDEN: the adapter has asked again by itself
    404 MailboxNotEnabledForRESTAPI, ErrorInvalidUser,
        ErrorNonExistentMailbox                                    FORBIDDEN: this user has no mailbox here (any more)
    404 with another code about a mailbox or a user                REFUSED: it says nothing of a message
    403, 404, 410 of a part without Graph's JSON error             DOWN: somebody's proxy; no page of HTML deletes mail
    any other 4xx                                                  REFUSED
    408, 5xx, anything else                                        DOWN

NOT_FOUND is what the protocol itself decides about; it reads the code with `codes`. A 410 needs no code: to walk a
folder again deletes nothing, but to ask a dead link for ever loses what is new.

Source: https://learn.microsoft.com/en-us/graph/errors; facts/graph.md A5
"""

import orjson

from shared.protocol.status import Kind, Status, retry_after_s, safe_reason
from shared.protocol.wire import Response

BODY_BYTES_MAX = 65536  # Graph's errors have less than 2 KB
CODES_MAX = 8  # nested inner errors

_DEAD = frozenset({"syncstatenotfound", "syncstateinvalid", "resyncrequired"})
_NO_MAILBOX = frozenset({"mailboxnotenabledforrestapi", "errorinvaliduser", "errornonexistentmailbox"})
_OF_MAILBOX = ("mailbox", "user")  # in a code: what is not found is more than the message
_BUSY = frozenset({"errortoomanyobjectsopened", "applicationthrottled", "toomanyrequests"})
_DENIED = frozenset({"erroraccessdenied", "accessdenied"})
OVER_QUOTA = "errorquotaexceeded"


def codes(response: Response) -> tuple[str, ...]:
    """The error's codes as they came, outermost first; () where the body is none of Graph's errors."""
    try:
        document = orjson.loads(response.body[:BODY_BYTES_MAX])
    except orjson.JSONDecodeError:
        return ()
    error = document.get("error") if isinstance(document, dict) else None
    found: list[str] = []
    while isinstance(error, dict) and len(found) < CODES_MAX:
        found.append(safe_reason(error.get("code")))
        error = error.get("innerError") or error.get("innererror")
    return tuple(filter(None, found))


def _says(response: Response) -> frozenset[str]:
    """Documents write lower camel case, the service answers in upper camel case: neither is looked at."""
    return frozenset(code.lower() for code in codes(response))


def is_dead_link(response: Response) -> bool:
    """The delta link leads nowhere any more: the folder is walked again."""
    return response.status == 410 or (400 <= response.status < 410 and not _DEAD.isdisjoint(_says(response)))


def is_over_quota(response: Response) -> bool:
    return response.status == 403 and OVER_QUOTA in _says(response)


def is_burst(response: Response) -> bool:
    """Access is denied, or only looks so because too much was asked at once: worth one more try by itself."""
    return response.status == 403 and not _DENIED.isdisjoint(_says(response))


def read(response: Response, now_s: float | None, *, of_batch: bool = False) -> Status:
    """`now_s` turns a date in Retry-After into a wait. `of_batch`: a part that reads a message or a folder, no link."""
    http = response.status
    if 200 <= http < 300:
        return Status(Kind.OK, http)
    said = codes(response)
    wait_s = retry_after_s(response.headers.get("retry-after"), now_s)
    return Status(_kind(response, _says(response), of_batch), http, said[0] if said else "", wait_s)


def _kind(response: Response, said: frozenset[str], of_batch: bool) -> Kind:
    http = response.status
    if http == 401:
        return Kind.EXPIRED
    if http in (429, 509) or not said.isdisjoint(_BUSY):
        return Kind.THROTTLED
    if 400 <= http <= 410 and not said.isdisjoint(_DEAD):
        return Kind.NOT_FOUND
    if http == 410 and not of_batch:
        return Kind.NOT_FOUND
    if http in (403, 404, 410):
        return _refused(http, said, of_batch) if said else Kind.DOWN
    return Kind.REFUSED if 400 <= http < 500 and http != 408 else Kind.DOWN


def _refused(http: int, said: frozenset[str], of_batch: bool) -> Kind:
    if http == 410:
        return Kind.NOT_FOUND
    if http == 404:
        if not said.isdisjoint(_NO_MAILBOX):
            return Kind.FORBIDDEN
        return Kind.REFUSED if any(about in code for code in said for about in _OF_MAILBOX) else Kind.NOT_FOUND
    if OVER_QUOTA in said:
        return Kind.NOT_FOUND
    return Kind.THROTTLED if of_batch and not said.isdisjoint(_DENIED) else Kind.FORBIDDEN
