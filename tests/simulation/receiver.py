"""The app behind the webhook, in memory: what must hold of everything that it is sent.

    a post      comes to its address, by its name and path, signed with its secret over these bytes, a moment ago
    a batch     the range of one account's log that its id names; no id ever stands for two contents
    a gap       only where a batch is a dead letter, or the log was trimmed

In trouble, it does not answer, answers late, or with what is no 2xx, for a while or to some requests only.

Source: CONTRACT §4; README, "How an app gets the log pushed"
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from email.utils import formatdate
from random import Random
from typing import TYPE_CHECKING

import orjson

from shared.protocol.wire import Request, Response
from tests.simulation.inbox import Came, Inbox
from tests.simulation.plan import SKEW_MAX_S

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

URL = "https://app.example:8443/hook?from=tidemark"
NAME, HOST, PATH = "app.example", "app.example:8443", "/hook?from=tidemark"
KEY = b"k" * 32
SECRETS = ("whsec_" + base64.b64encode(KEY).decode(), "whsec_" + base64.b64encode(b"o" * 32).decode())
ADDRESSES = {"93.184.216.34": "https://93.184.216.34:8443", "2606:2800:21f::8": "https://[2606:2800:21f::8]:8443"}
PRIVATE = "10.0.0.8"
OTHER = "another"  # a mailbox of which nothing is simulated but its log
LATE_MAX_S = 2 * SKEW_MAX_S + 25.0  # between the signing clock and this one: a slow connection
OF_NAMES = ("no_name", "slow_name", "private")
TROUBLES = (
    *("refused", "500", "503", "429", "slow", "slow_taken", "lost", "400", "redirect", *OF_NAMES),
    *("refused", "500", "503", "lost", "410"),
)


@dataclass(slots=True)
class Trouble:
    kind: str = ""
    until_s: float = 0.0
    chance: float = 1.0


@dataclass(slots=True)
class Receiver:
    """`dice` decide what it does in trouble. `refused_to`: epoch and last place that it takes for poison."""

    sim: "Simulation"
    dice: Random
    trouble: Trouble = field(default_factory=Trouble)
    refused_to: tuple[str, int] = ("", 0)
    inboxes: dict[str, Inbox] = field(default_factory=dict)
    _contents: dict[str, bytes] = field(default_factory=dict)

    def fail(self, what: str) -> None:
        self.sim.witness.fail(f"the webhook: {what}")

    # --- how it stands

    def mend(self) -> None:
        self.trouble, self.refused_to = Trouble(), ("", 0)

    def met(self) -> str:
        """The trouble that this request has."""
        trouble = self.trouble
        if not trouble.kind or self.sim.loop.now_s >= trouble.until_s:
            return ""
        if trouble.chance < 1 and self.dice.random() >= trouble.chance:
            return ""
        self.sim.faults.met[f"hook: {trouble.kind}"] += 1
        return trouble.kind

    async def addresses(self, host: str) -> list[str]:
        if host != NAME:
            self.fail(f"{host} was looked up")
        kind = self.met() if self.trouble.kind in OF_NAMES else ""
        await self.sim.loop.wait(9.0 if kind == "slow_name" else 0.01)
        if kind == "no_name":
            raise OSError
        return [*ADDRESSES, PRIVATE] if kind == "private" else list(ADDRESSES)

    async def post(self, base_url: str, request: Request, tls_name: str, timeout_s: float) -> Response | None:
        """The answer, None for none."""
        self._is_for_us(base_url, request, tls_name)
        kind = "" if self.trouble.kind in OF_NAMES else self.met()
        if kind in ("slow", "slow_taken"):
            await self.sim.loop.wait(timeout_s)
        if kind in ("refused", "slow"):
            return None
        if kind in ("", "lost", "slow_taken"):
            batch = self._batch(request)
            epoch, place = self.refused_to
            if batch.epoch == epoch and batch.first <= place:
                self.sim.faults.met["hook: poison"] += 1
                return Response(422, {}, b"")
            self._take(batch)
            return None if kind else Response(self.dice.choice((200, 202, 204)), {}, b"")
        status = {"redirect": self.dice.choice((301, 307))}.get(kind) or int(kind)
        return Response(status, self._asks_to_wait() if kind in ("503", "429") else {}, b"")

    def _asks_to_wait(self) -> dict[str, str]:
        wait_s = self.dice.choice((0, 1, 30, 3_000, 100_000))
        if self.dice.random() < 0.3:
            return {"retry-after": formatdate(self.sim.now_s() + wait_s, usegmt=True)}
        return {"retry-after": str(wait_s)} if wait_s else {}

    # --- what it is sent

    def _is_for_us(self, base_url: str, request: Request, tls_name: str) -> None:
        headers, body = request.headers, request.body or b""
        to = (base_url in ADDRESSES.values(), request.method, request.path, headers["host"], tls_name)
        if to != (True, "POST", PATH, HOST, NAME) or "authorization" in headers:
            self.fail("a delivery went elsewhere")
        at_s = int(headers["webhook-timestamp"])
        signed = f"{headers['webhook-id']}.{at_s}.".encode() + body
        mac = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        signatures = headers["webhook-signature"].split(" ")
        if signatures[0] != f"v1,{mac}" or len(signatures) != len(SECRETS):
            self.fail("a signature is wrong")
        if abs(self.sim.now_s() - at_s) > LATE_MAX_S:
            self.fail(f"a signature is {self.sim.now_s() - at_s:.0f} s old")
        if headers["content-type"] != "application/cloudevents-batch+json":
            self.fail("a body is of another type")
        self._is_the_same(headers["webhook-id"], body)

    def _is_the_same(self, name: str, content: bytes) -> None:
        digest = hashlib.sha256(content).digest()
        if self._contents.setdefault(name, digest) != digest:
            self.fail(f"{name} stands for two contents")

    def _batch(self, request: Request) -> Came:
        events = orjson.loads(request.body or b"")
        account_id, epoch, places = request.headers["webhook-id"].rsplit("_", 2)
        first, last = (int(each) for each in places.split("-"))
        named = [f"{account_id}.{epoch}.{place}" for place in range(first, last + 1)]
        if account_id not in (self.sim.account_id, OTHER) or [event["id"] for event in events] != named:
            self.fail(f"{request.headers['webhook-id']} brings {[event['id'] for event in events]}")
        for event in events:
            self._is_the_same(event["id"], orjson.dumps(event))
        return Came(account_id, epoch, first, events)

    def _take(self, came: Came) -> None:
        inbox = self.inbox(came.account_id)
        passed_over = inbox.missing(came)
        if passed_over:
            self.sim.faults.met["hook: gap"] += 1
            if not self.sim.hook.explains(came, passed_over):
                self.fail(f"{passed_over.start} to {passed_over.stop - 1} were passed over")
        self.sim.faults.met["hook: again"] += came.epoch == inbox.epoch and came.first <= inbox.furthest
        wrong = inbox.take(came, first_epoch=came.account_id == OTHER or self.sim.witness.epochs == 1)
        if wrong:
            self.fail(wrong)

    def inbox(self, account_id: str) -> Inbox:
        if account_id not in self.inboxes:
            self.inboxes[account_id] = Inbox(self.sim.box.ends_promise)
        return self.inboxes[account_id]
