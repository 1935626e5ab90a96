"""How things stand, as Prometheus text: provider and account id as labels, nothing that names a person.

    tidemark_accounts{provider,state}                       mailboxes
    tidemark_breaker_state{provider,state}                  1 for the state that the provider's breaker is in
    tidemark_webhook_state{state}                           1 for the state that the webhook's target is in
    tidemark_webhook_lag, _dead_letters{account_id}         events that wait; batches that were given up
    tidemark_cursor_age_seconds{provider,account_id}        since the mailbox was last confirmed current; _max over all
    tidemark_last_sync_timestamp_seconds, tidemark_watch_expiry_timestamp_seconds{provider,account_id}
    tidemark_messages, tidemark_parked_messages, tidemark_backfilling, tidemark_alert{…,alert}
    tidemark_syncs_total, tidemark_messages_synced_total, tidemark_sync_seconds_total,
    tidemark_provider_calls_total, tidemark_quota_units_total{provider,account_id}
    tidemark_recent_sync_seconds{provider,quantile}         of the last hundred syncs

The totals live with the account: they end when it is deleted, as Prometheus expects of a series that is gone. Rejected:
prometheus_client here (a registry for what is read once a request); the tests read this text with its parser.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from shared.core.message import instant_s

MEDIA_TYPE = "text/plain; version=0.0.4"
BREAKER_STATES = ("closed", "half_open", "open")
TARGET_STATES = ("closed", "half_open", "open", "paused")
TOTALS = {
    "syncs": ("tidemark_syncs_total", "Syncs that ended and gave their lease back."),
    "messages": ("tidemark_messages_synced_total", "Changes appended to the log."),
    "duration_s": ("tidemark_sync_seconds_total", "Time spent in those syncs."),
    "api_calls": ("tidemark_provider_calls_total", "HTTP requests to the provider."),
    "quota_units": ("tidemark_quota_units_total", "Quota units, refused parts included."),
}
Sample = tuple[Mapping[str, str], float]


def exposition(standing: Mapping[str, Any]) -> str:
    return "".join(
        _family(*each) for each in (*_providers(standing), *_mailboxes(standing["mailboxes"]), *_webhook(standing))
    )


def _providers(standing: Mapping[str, Any]) -> Iterable[tuple[str, str, str, list[Sample]]]:
    mailboxes = standing["mailboxes"]
    counted = Counter((each["provider"], each["state"]) for each in mailboxes)
    accounts: list[Sample] = [({"provider": of, "state": state}, n) for (of, state), n in sorted(counted.items())]
    yield "tidemark_accounts", "gauge", "Mailboxes by state.", accounts
    breakers: list[Sample] = [
        ({"provider": of, "state": state}, float(state == now))
        for of, now in standing["breakers"].items()
        for state in BREAKER_STATES
    ]
    yield "tidemark_breaker_state", "gauge", "1 for the state that the breaker is in.", breakers
    oldest: dict[str, float] = {}
    for each in mailboxes:
        if each["state"] == "active":
            oldest[each["provider"]] = max(oldest.get(each["provider"], 0.0), each["cursor_age_s"])
    ages: list[Sample] = [({"provider": of}, age_s) for of, age_s in sorted(oldest.items())]
    yield "tidemark_cursor_age_seconds_max", "gauge", "Of the active mailbox that was longest not confirmed.", ages
    recent: list[Sample] = [
        ({"provider": of, "quantile": quantile}, figures["duration_s"][name])
        for of, figures in standing["performance"].items()
        for quantile, name in (("0.5", "p50"), ("0.95", "p95"), ("1", "max"))
    ]
    yield "tidemark_recent_sync_seconds", "gauge", "Duration of the last syncs.", recent


def _mailboxes(mailboxes: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str, str, list[Sample]]]:
    of = [({"provider": each["provider"], "account_id": each["account_id"]}, each) for each in mailboxes]

    def gauge(name: str, said: str, value: str) -> tuple[str, str, str, list[Sample]]:
        return name, "gauge", said, [(labels, float(each[value])) for labels, each in of]

    def moment(name: str, said: str, value: str) -> tuple[str, str, str, list[Sample]]:
        known = [(labels, instant_s(each[value])) for labels, each in of]
        return name, "gauge", said, [(labels, at_s) for labels, at_s in known if at_s is not None]

    yield gauge("tidemark_cursor_age_seconds", "Since the mailbox was last confirmed current.", "cursor_age_s")
    yield moment("tidemark_last_sync_timestamp_seconds", "When the last sync ended.", "last_sync_at")
    yield moment("tidemark_watch_expiry_timestamp_seconds", "When the watch or subscription ends.", "watch_expires_at")
    yield gauge("tidemark_messages", "Messages in the index.", "messages")
    yield gauge("tidemark_parked_messages", "Messages that could not be read so far.", "parked")
    backfilling: list[Sample] = [(labels, float(each["backfill"] is not None)) for labels, each in of]
    yield "tidemark_backfilling", "gauge", "1 while older mail is being read.", backfilling
    alerts: list[Sample] = [({**labels, "alert": alert}, 1.0) for labels, each in of for alert in each["alerts"]]
    yield "tidemark_alert", "gauge", "1 for every alert that is raised.", alerts
    for total, (name, said) in TOTALS.items():
        yield name, "counter", said, [(labels, float(each["totals"][total])) for labels, each in of]


def _webhook(standing: Mapping[str, Any]) -> Iterable[tuple[str, str, str, list[Sample]]]:
    """Nothing where there is none."""
    target = standing["webhook"]
    if target is None:
        return
    states: list[Sample] = [({"state": state}, float(state == target["state"])) for state in TARGET_STATES]
    yield "tidemark_webhook_state", "gauge", "1 for the state that the webhook's target is in.", states
    of = [({"account_id": each["account_id"]}, each["webhook"]) for each in standing["mailboxes"]]
    for value, said in (("lag", "Events that are not delivered yet."), ("dead_letters", "Batches that were given up.")):
        yield f"tidemark_webhook_{value}", "gauge", said, [(labels, float(each[value])) for labels, each in of]


def _family(name: str, kind: str, said: str, samples: list[Sample]) -> str:
    if not samples:
        return ""
    lines = [f"# HELP {name} {said}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{{{inside}}} {value:.15g}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
