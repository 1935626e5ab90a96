"""How the fake Outlook mailbox answers requests: routes, batches, pages, and the faults that are laid over them.

Source: facts/graph.md A1-22 to 27, A5
"""

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import orjson

from shared.protocol.graph import batch
from shared.protocol.graph.cursor import decode
from shared.protocol.wire import Request, Response
from tests.simulation.faults import PARTS, Faults
from tests.simulation.graph import GraphBox
from tests.simulation.graph_chains import Dead, NoFolder, folder_row, message_row
from tests.simulation.witness import Violation

if TYPE_CHECKING:
    from tests.simulation.process import Process

ORIGIN = "https://graph.invalid"
JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html"}
SIZE = re.compile(r"odata\.maxpagesize=(\d+)")
FOLDER = re.compile(r"/mailFolders(?:/|\(')([^/']+)(?:'\))?", re.IGNORECASE)


def refusal(status: int, code: str, **headers: str) -> Response:
    return Response(status, JSON | headers, orjson.dumps({"error": {"code": code, "message": "No."}}))


UNAUTHENTICATED = refusal(401, "InvalidAuthenticationToken")
THROTTLED = refusal(429, "ApplicationThrottled")
DENIED = refusal(403, "ErrorAccessDenied")
BACKEND_ERROR = refusal(500, "UnknownError")
NOT_FOUND = refusal(404, "ErrorItemNotFound")
NO_FOLDER = refusal(404, "ErrorItemNotFound")
DEAD = refusal(410, "SyncStateNotFound")
OVER_QUOTA = refusal(403, "ErrorQuotaExceeded")
PAGE_404 = Response(404, HTML, b"<html>Not Found</html>")
WHOLE_ANSWERS = {
    "garbage": Response(200, HTML, b"<html>Please sign in</html>"),
    "unavailable": refusal(504, "UnknownError"),
    "backend_error": BACKEND_ERROR,
    "not_json_404": PAGE_404,
}
PART_ANSWERS = {
    "part_429": THROTTLED,
    "part_403": DENIED,
    "part_500": BACKEND_ERROR,
    "part_401": UNAUTHENTICATED,
    "part_html_404": Response(404, HTML, b"null"),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, or one part of a batch."""

    key: str
    path: str
    query: dict[str, str]
    size: int


class GraphMailbox(GraphBox):
    """The mailbox with its wire."""

    def asked(self, request: Request) -> list[Asked]:
        if request.path == batch.PATH:
            assert request.body is not None
            return [_asked(part["id"], part["url"], part["headers"]) for part in orjson.loads(request.body)["requests"]]
        path = request.path.removeprefix(ORIGIN).removeprefix("/v1.0")
        query = "&".join(f"{name}={value}" for name, value in request.query)
        return [_asked("", f"{path}?{query}" if query else path, request.headers)]

    def answer(
        self, request: Request, asked: list[Asked], faults: Faults, fault: str, accepted: bool, outer_401: bool
    ) -> Response:
        if not accepted or fault == "unauthenticated":
            return UNAUTHENTICATED
        if fault == "rate_limited":
            return replace(THROTTLED, headers=JSON | {"retry-after": str(self.noise.choice((1, 2, 30)))})
        if fault == "locked_out":
            return replace(THROTTLED, headers=JSON | {"retry-after": str(self.noise.choice((60, 900)))})
        if refused := WHOLE_ANSWERS.get(fault):
            return refused
        if request.path == batch.PATH:
            response = self._batch(asked, faults, fault)
        elif fault == "quota":
            response = self._over_quota(asked[0])
        else:
            response = self._one(asked[0])
        return replace(response, body=response.body[: len(response.body) * 3 // 5]) if fault == "cut" else response

    def told_s(self, response: Response) -> float:
        return float(response.headers.get("retry-after", "0"))

    def check_cursor(self, text: str) -> None:
        """A chain's links do not move back."""
        cursor = decode(text)
        for chain in (cursor.folders, *cursor.chains):
            token = chain.link.rpartition("token=")[2]
            if not token:
                continue
            number, _, generation = token.partition(".")
            before = self.reached.get(number, 0)
            if int(generation) < before:
                raise Violation(f"the cursor moved back from {number}.{before} to {token}")
            self.reached[number] = int(generation)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.reached: dict[str, int] = {}

    async def push(self, process: "Process") -> list[str]:
        return await process.hints.outlook([(process.sim.account_id, "", "")])

    # --- one request

    def _one(self, asked: Asked) -> Response:
        path = asked.path
        if path == "/me":
            return _ok({"id": "u", "mail": self.address, "userPrincipalName": self.address})
        if path == "/me/messages":
            return self._list("", asked)
        if path.startswith("/me/messages/"):
            mail = self.mails.get(unquote(path.rpartition("/")[2]))
            return NOT_FOUND if mail is None else _ok(message_row(mail, "body" in asked.query["$select"].split(",")))
        if path.lower() == "/me/mailfolders/delta":
            return self._delta("", asked)
        found = FOLDER.search(path)
        assert found is not None, f"nobody asks Graph for {path}"
        folder_id = unquote(found[1])
        if path.endswith("/delta"):
            return self._delta(folder_id, asked)
        if path.endswith("/messages"):
            return self._list(folder_id, asked)
        folder = next((each for each in self.folders.values() if folder_id in (each.id, each.well_known)), None)
        return NO_FOLDER if folder is None else _ok(folder_row(self, folder))

    def _delta(self, folder_id: str, asked: Asked) -> Response:
        token = asked.query.get("$skiptoken") or asked.query.get("$deltatoken") or ""
        with_body = "body" in asked.query.get("$select", "body").split(",")
        try:
            rows, link, ended = self.chains.page(folder_id, token, asked.size, with_body)
        except Dead:
            return DEAD
        except NoFolder:
            return NO_FOLDER
        middle = f"mailfolders('{folder_id}')/messages" if folder_id else "mailfolders"
        name, kind = ("@odata.deltaLink", "delta") if ended else ("@odata.nextLink", "skip")
        return _ok({name: f"{ORIGIN}/v1.0/me/{middle}/delta?${kind}token={link}", "value": rows})

    def _list(self, folder_id: str, asked: Asked) -> Response:
        """Newest first, page by page; `folder_id` "" is all of them."""
        if folder_id and folder_id not in self.folders:
            return NO_FOLDER
        least = asked.query.get("$filter", "").removeprefix("receivedDateTime ge ")
        found = sorted(
            (message_row(mail, True) for mail in self.mails.values() if folder_id in ("", mail.folder_id)),
            key=lambda row: str(row["receivedDateTime"]),
            reverse=True,
        )
        found = [row for row in found if row["receivedDateTime"] >= least]
        first = int(asked.query.get("$skip", "0"))
        answer: dict[str, Any] = {"value": found[first : first + asked.size]}
        if first + asked.size < len(found):
            more = "&".join(f"{name}={value}" for name, value in asked.query.items() if name != "$skip")
            more = more.replace(" ", "%20")
            answer["@odata.nextLink"] = f"{ORIGIN}/v1.0{asked.path}?{more}&$skip={first + asked.size}"
        return _ok(answer)

    def _over_quota(self, asked: Asked) -> Response:
        return OVER_QUOTA if asked.path.endswith("/delta") else self._one(asked)

    def _batch(self, asked: list[Asked], faults: Faults, whole: str) -> Response:
        answers: list[dict[str, Any]] = []
        for part in asked:
            response = self._over_quota(part) if whole == "quota" else self._one(part)
            if "/messages/" in part.path and faults.poisoned(unquote(part.path.rpartition("/")[2])):
                response = BACKEND_ERROR
            fault = faults.meet(PARTS)
            if fault == "part_missing":
                continue
            response = PART_ANSWERS.get(fault, response)
            body = orjson.loads(response.body) if response.body != b"null" else None
            if fault == "part_wrong_id" and "/messages/" in part.path and isinstance(body, dict) and "id" in body:
                body["id"] = "AAMkM999999="
            elif fault == "part_cut" and isinstance(body, dict) and response.status == 200:
                body.popitem()
                body.pop("id", None)
            answers.append({"id": part.key, "status": response.status, "headers": {}, "body": body})
            if fault == "part_doubled":
                answers.append(answers[-1])
            elif fault == "parts_shuffled":
                self.noise.shuffle(answers)
        body = orjson.dumps({"responses": answers})
        if faults.meet(("parts_cut",)):
            body = body[: int(len(body) * self.noise.random())]
        return Response(200, JSON, body)


def _asked(key: str, url: str, headers: Any) -> Asked:
    path, _, query = url.partition("?")
    size = SIZE.search({name.lower(): value for name, value in headers.items()}.get("prefer", ""))
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    return Asked(key, path, pairs, int(pairs.get("$top", size[1] if size else "10")))


def _ok(value: Any) -> Response:
    return Response(200, JSON, orjson.dumps(value))
