"""What a provider promises to push, in memory: Gmail's watch, Graph's subscriptions; renewed by pings.

    alive    at the end: the account knows of a promise that the provider keeps; of Graph's there is one

Nothing rests on it but how soon something is noticed: here it is looked at whether renewing disturbs what does.
Source: facts/gmail.md §4; facts/graph.md A3
"""

from typing import TYPE_CHECKING, Any

import orjson

from shared.core.message import instant_s
from shared.core.watch import RENEW_AFTER_MAX_S
from shared.protocol.wire import Request, Response
from tests.simulation.plan import SKEW_MAX_S

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

SETTINGS: dict[str, Any] = {
    "gmail_pubsub_topic": "projects/p/topics/mail",
    "pubsub_audience": "https://tidemark.example/push-webhook/gmail",
    "pubsub_service_account": "push@p.iam.gserviceaccount.com",
    "public_url": "https://tidemark.example",
}
LIFE_S = 7 * 86_400.0
JSON = {"content-type": "application/json"}
DOWN = Response(503, {"content-type": "text/html"}, b"<html>Service Unavailable</html>")


class Watches:
    def __init__(self, sim: "Simulation") -> None:
        self.sim = sim
        self.until_s = 0.0
        self.subscriptions: dict[str, dict[str, Any]] = {}

    def asked(self, request: Request) -> bool:
        return request.path.endswith("/watch") or request.path.startswith("/v1.0/subscriptions")

    def answer(self, request: Request) -> Response:
        self.sim.faults.met[f"watch: {request.method}"] += 1
        if request.path.endswith("/watch"):
            self.until_s = self.sim.now_s() + LIFE_S
            return _ok({"historyId": "1", "expiration": str(int(self.until_s * 1000))})
        name = request.path.rpartition("/")[2]
        body = orjson.loads(request.body) if request.body else {}
        match request.method:
            case "GET":
                return _ok({"value": list(self._living().values())})
            case "POST":
                name = f"s{self.sim.number()}"
                self.subscriptions[name] = {"id": name} | body
                return _ok(self.subscriptions[name], 201)
        if name not in self._living():
            return Response(404, JSON, b'{"error": {"code": "ResourceNotFound", "message": "No."}}')
        if request.method == "DELETE":
            del self.subscriptions[name]
            return Response(204, {}, b"")
        self.subscriptions[name] |= body
        return _ok(self.subscriptions[name])

    def _living(self) -> dict[str, dict[str, Any]]:
        now_s = self.sim.now_s()
        return {
            name: each
            for name, each in self.subscriptions.items()
            if (instant_s(each["expirationDateTime"]) or 0.0) > now_s
        }

    def lose(self) -> None:
        """The provider drops it; nobody is told."""
        self.until_s = 0.0
        self.subscriptions.clear()

    def waits_s(self) -> float:
        """Until a ping may renew what is not alive; 0 where it is."""
        if not self.sim.plan.watch or self._alive():
            return 0.0
        account = self.sim.account
        renewed_s = float(account.get("watch_renewed_s", "0"))
        due_s = renewed_s + RENEW_AFTER_MAX_S if renewed_s else 0.0
        if account.get("watch_reason"):
            due_s = float(account["watch_retry_s"])
        return max(1.0, due_s - self.sim.now_s() + SKEW_MAX_S)

    def _alive(self) -> bool:
        account, now_s = self.sim.account, self.sim.now_s()
        if float(account.get("watch_until_s", "0")) <= now_s or account.get("watch_reason"):
            return False
        if self.sim.plan.provider == "gmail":
            return self.until_s > now_s
        return list(self._living()) == [account["watch_id"]]


def _ok(body: dict[str, Any], status: int = 200) -> Response:
    return Response(status, JSON, orjson.dumps(body))
