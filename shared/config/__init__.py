"""Every setting of CONTRACT §2: from the environment into one frozen value, or one line that says what is wrong.

    load(os.environ) -> Settings        the attribute is the variable's name in lower case
    SETTINGS                            the table: name, default, parser, what is accepted, meaning

A bad value raises SettingsError: one line that names the variable, the fault and what is accepted. Values are shown
only for numbers, switches and choices, never for what may hold a secret, an address or a URL with credentials.
An empty or blank value is the same as an unset one. Durations are seconds.
With DISPATCH=http one of the two sync URLs is enough; hints of the other provider wait for the next cron ping.
`WEBHOOK_URL` needs `WEBHOOK_SECRETS`: an unsigned event could be anyone's.

Rejected: pydantic-settings (75 ms of cold start for a job that a table does in one, and its errors quote values).
Imports nothing but the standard library: push-webhook starts with this module.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Literal

from shared.config import parsers as p
from shared.core.errors import TidemarkError

UNITS_PER_MINUTE = {"2026": 6_000, "legacy": 15_000}  # facts/gmail.md §1.1
YEAR_S = 366 * 86_400
STEP_BYTES_MAX = 2 * 1024 * 1024  # a step's content, DESIGN invariant 4: one body may not be larger
GMAIL_FIELDS = "id,threadId,labelIds,snippet,payload/headers,internalDate"


class SettingsError(TidemarkError):
    """One line: which variable, what is wrong with it, what is accepted."""

    slug = "settings"


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """`None` means unset, except `initial_sync_messages` and `outlook_folders`, where it is `all`."""

    gmail_batch_size: int
    gmail_max_concurrent_batches: int
    gmail_fields: str
    gmail_format: Literal["metadata", "full"]
    gmail_quota: Literal["2026", "legacy"]
    gmail_units_per_minute: int
    outlook_page_size: int
    outlook_max_parallel_pages: int
    outlook_folders: tuple[str, ...] | None
    outlook_body: Literal["text", "html", "none"]
    body_bytes_max: int
    initial_sync_messages: int | None
    cache_message_ttl: int
    cache_sync_token_ttl: int
    cache_user_preferences_ttl: int
    max_sync_duration: float
    circuit_breaker_failure_threshold: int
    circuit_breaker_cooldown: float
    rate_limit_backoff_factor: float
    max_retries: int
    quarantine_after: float
    slow_sync_threshold: float
    lease_ttl: float
    dispatch: Literal["inline", "http", "pubsub"]
    gmail_sync_url: str | None
    outlook_sync_url: str | None
    dispatch_pubsub_topic: str | None
    log_retention_days: float
    log_retention_bytes: int
    warm_quota_share: float
    freshness_objective: float
    upstash_redis_rest_url: str
    upstash_redis_rest_token: str
    tidemark_api_key: str
    token_encryption_keys: tuple[bytes, ...]
    public_url: str | None
    return_to_origins: tuple[str, ...]
    google_client_id: str | None
    google_client_secret: str | None
    gmail_pubsub_topic: str | None
    pubsub_audience: str | None
    pubsub_service_account: str | None
    gmail_api_url: str
    google_auth_url: str
    google_token_url: str
    google_certs_url: str
    google_revoke_url: str
    microsoft_client_id: str | None
    microsoft_client_secret: str | None
    microsoft_tenant: str
    graph_api_url: str
    microsoft_authority_url: str
    webhook_url: str | None
    webhook_secrets: tuple[str, ...]
    webhook_allow_private: bool

    def __repr__(self) -> str:
        """Hidden: half of the values are secrets, and a Settings ends up in tracebacks and debuggers."""
        return "Settings(…)"

    @property
    def push_configured(self) -> bool:
        """Gmail push is on; without all three it is off and the push endpoint fails closed."""
        return bool(self.gmail_pubsub_topic and self.pubsub_audience and self.pubsub_service_account)


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    default: str | None
    parse: p.Parser
    meaning: str
    required: bool = False

    @property
    def accepted(self) -> str:
        return self.parse.accepted


def _s(name: str, default: object, parse: p.Parser, meaning: str) -> Setting:
    return Setting(name, None if default is None else str(default), parse, meaning)


def _required(name: str, parse: p.Parser, meaning: str) -> Setting:
    return Setting(name, None, parse, meaning, required=True)


_TTL, _SPAN, _WAIT = p.whole(1, YEAR_S), p.number(0.001, YEAR_S), p.number(0, YEAR_S)
_URL, _ORIGIN, _TEXT, _MASK = p.url(), p.origin(), p.text(), p.field_mask()
_TOPIC = p.pattern(r"projects/[A-Za-z0-9.:-]+/topics/[A-Za-z][A-Za-z0-9._~+%-]*", "projects/PROJECT/topics/TOPIC")
_EMAIL = p.pattern(r"[!-?A-~]+@[!-?A-~]+", "an e-mail address")
_TENANT = p.pattern(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}", "a tenant's id or domain, or common")

SETTINGS: tuple[Setting, ...] = (
    _s("GMAIL_BATCH_SIZE", 20, p.whole(1, 100), "parts in one multipart batch"),
    _s("GMAIL_MAX_CONCURRENT_BATCHES", 3, p.whole(1, 20), "most batches in flight for one mailbox"),
    _s("GMAIL_FIELDS", GMAIL_FIELDS, _MASK, "partial response of a message; what Tidemark itself needs is added"),
    _s("GMAIL_FORMAT", "metadata", p.choice("metadata", "full"), "headers only, or with bodies"),
    _s("GMAIL_QUOTA", "2026", p.choice("2026", "legacy"), "price list of the Google project"),
    _s("GMAIL_UNITS_PER_MINUTE", None, p.whole(1, 10_000_000), "rate per mailbox; unset: 6000, or 15000 for legacy"),
    _s("OUTLOOK_PAGE_SIZE", 50, p.whole(1, 1000), "messages in one delta page"),
    _s("OUTLOOK_MAX_PARALLEL_PAGES", 5, p.whole(1, 100), "page requests in flight for one mailbox; at most 3 are used"),
    _s("OUTLOOK_FOLDERS", "all", p.names_or_all(), "folders that are followed"),
    _s("OUTLOOK_BODY", "text", p.choice("text", "html", "none"), "form of the bodies asked for"),
    _s("BODY_BYTES_MAX", 65_536, p.whole(0, STEP_BYTES_MAX), "longer bodies are cut and marked truncated"),
    _s("INITIAL_SYNC_MESSAGES", 100, p.whole_or_all(0, 1_000_000_000), "newest messages of the first sync"),
    _s("CACHE_MESSAGE_TTL", 3_600, _TTL, "seconds that message content is cached"),
    _s("CACHE_SYNC_TOKEN_TTL", 86_400, _TTL, "seconds after which a cursor has to be confirmed by the provider"),
    _s("CACHE_USER_PREFERENCES_TTL", 1_800, _TTL, "seconds that preferences are cached"),
    _s("MAX_SYNC_DURATION", 300, _SPAN, "seconds that one invocation may work"),
    _s("CIRCUIT_BREAKER_FAILURE_THRESHOLD", 5, p.whole(1, 10_000), "failures in a row that open a breaker"),
    _s("CIRCUIT_BREAKER_COOLDOWN", 60, _SPAN, "seconds until an open breaker lets one probe through"),
    _s("RATE_LIMIT_BACKOFF_FACTOR", 2, p.number(1, 60), "base of the back-off"),
    _s("MAX_RETRIES", 3, p.whole(1, 100), "attempts of one provider call"),
    _s("QUARANTINE_AFTER", 600, _WAIT, "seconds that a message must have failed before it is said as quarantined"),
    _s("SLOW_SYNC_THRESHOLD", 30, _SPAN, "seconds after which a sync raises the performance alert"),
    _s("LEASE_TTL", 60, p.number(1, 3_600), "seconds that an instance may hold a mailbox without renewing"),
    _s("DISPATCH", "inline", p.choice("inline", "http", "pubsub"), "how a hint becomes a sync"),
    _s("GMAIL_SYNC_URL", None, _URL, "where DISPATCH=http calls gmail-sync"),
    _s("OUTLOOK_SYNC_URL", None, _URL, "where DISPATCH=http calls outlook-sync"),
    _s("DISPATCH_PUBSUB_TOPIC", None, _TOPIC, "where DISPATCH=pubsub publishes hints"),
    _s("LOG_RETENTION_DAYS", 7, p.number(0.001, 3_660), "days that an account's change log is kept"),
    _s("LOG_RETENTION_BYTES", 4_194_304, p.whole(1, 1 << 40), "bytes of an account's change log that are kept"),
    _s("WARM_QUOTA_SHARE", 0.1, p.number(0, 1), "most of a mailbox's quota that cache warming may use"),
    _s("FRESHNESS_OBJECTIVE", 300, _SPAN, "seconds after which an unconfirmed mailbox raises an alert"),
    _required("UPSTASH_REDIS_REST_URL", _URL, "the Redis"),
    _required("UPSTASH_REDIS_REST_TOKEN", _TEXT, "its token"),
    _required("TIDEMARK_API_KEY", _TEXT, "bearer key of this API"),
    _required("TOKEN_ENCRYPTION_KEYS", p.keys(), "keys that seal the OAuth tokens, newest first"),
    _s("PUBLIC_URL", None, _URL, "where the providers reach these functions"),
    _s("RETURN_TO_ORIGINS", None, p.origins(), "origins allowed as return_to"),
    _s("GOOGLE_CLIENT_ID", None, _TEXT, "Gmail OAuth client"),
    _s("GOOGLE_CLIENT_SECRET", None, _TEXT, "its secret"),
    _s("GMAIL_PUBSUB_TOPIC", None, _TOPIC, "topic that Gmail publishes to"),
    _s("PUBSUB_AUDIENCE", None, _TEXT, "audience expected in push tokens"),
    _s("PUBSUB_SERVICE_ACCOUNT", None, _EMAIL, "e-mail expected in them"),
    _s("GMAIL_API_URL", "https://gmail.googleapis.com", _ORIGIN, "Gmail's origin"),
    _s("GOOGLE_AUTH_URL", "https://accounts.google.com/o/oauth2/v2/auth", _URL, "Google's consent page"),
    _s("GOOGLE_TOKEN_URL", "https://oauth2.googleapis.com/token", _URL, "Google's token endpoint"),
    _s("GOOGLE_CERTS_URL", "https://www.googleapis.com/oauth2/v1/certs", _URL, "Google's certificates, a PEM map"),
    _s("GOOGLE_REVOKE_URL", "https://oauth2.googleapis.com/revoke", _URL, "Google's revocation endpoint"),
    _s("MICROSOFT_CLIENT_ID", None, _TEXT, "Azure app"),
    _s("MICROSOFT_CLIENT_SECRET", None, _TEXT, "its secret"),
    _s("MICROSOFT_TENANT", "common", _TENANT, "its tenant"),
    _s("GRAPH_API_URL", "https://graph.microsoft.com", _ORIGIN, "Graph's origin"),
    _s("MICROSOFT_AUTHORITY_URL", "https://login.microsoftonline.com", _ORIGIN, "the part before the tenant"),
    _s("WEBHOOK_URL", None, p.url(query_allowed=True), "where change events are pushed"),
    _s("WEBHOOK_SECRETS", None, p.webhook_secrets(), "Standard Webhooks secrets, newest first"),
    _s("WEBHOOK_ALLOW_PRIVATE", "false", p.switch(), "whether private addresses may be connected to"),
)

_TUPLES = frozenset({"RETURN_TO_ORIGINS", "WEBHOOK_SECRETS"})  # unset is empty
# (variable, when it is needed, because of what): checked after each value has been read on its own
_NEEDS: tuple[tuple[str, Callable[[Mapping[str, Any]], bool], str], ...] = (
    ("GMAIL_SYNC_URL", lambda v: v["dispatch"] == "http" and not v["outlook_sync_url"], "DISPATCH=http"),
    ("DISPATCH_PUBSUB_TOPIC", lambda v: v["dispatch"] == "pubsub", "DISPATCH=pubsub"),
    ("WEBHOOK_SECRETS", lambda v: v["webhook_url"] is not None, "WEBHOOK_URL"),
)


def describe() -> Iterator[tuple[str, str | None, str, str]]:
    """(name, default or None, what is accepted, meaning) of every setting, in the contract's order."""
    return ((s.name, s.default, s.accepted, s.meaning) for s in SETTINGS)


def load(environ: Mapping[str, str]) -> Settings:
    """Raises SettingsError for the first bad value, in the table's order."""
    values = {setting.name.lower(): _value(setting, environ.get(setting.name, "")) for setting in SETTINGS}
    for name, needed, because in _NEEDS:
        if needed(values) and not values[name.lower()]:
            accepted = next(setting.accepted for setting in SETTINGS if setting.name == name)
            raise SettingsError(f"{name} is not set, and {because} needs it; accepted: {accepted}")
    if values["gmail_units_per_minute"] is None:
        values["gmail_units_per_minute"] = UNITS_PER_MINUTE[values["gmail_quota"]]
    return Settings(**values)


def _value(setting: Setting, raw: str) -> Any:
    text = raw.strip() or setting.default
    if text is None:
        if setting.required:
            raise SettingsError(f"{setting.name} is not set; accepted: {setting.accepted}")
        return () if setting.name in _TUPLES else None
    try:
        return setting.parse(text)
    except p.Bad as bad:
        raise SettingsError(f"{setting.name} {bad}; accepted: {setting.accepted}") from None


@lru_cache(maxsize=1)
def settings_or_exit() -> Settings:
    """Read once a process. A bad value stops the function at start, with one line that names it."""
    try:
        return load(os.environ)
    except SettingsError as error:
        raise SystemExit(str(error)) from None


assert [s.name.lower() for s in SETTINGS] == [f.name for f in fields(Settings)]
