"""Settings: what is read from the environment, what is accepted, and how a bad value is said."""

import base64
import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.config import GMAIL_FIELDS, SETTINGS, Settings, SettingsError, describe, load

ROOT = Path(__file__).parent.parent
CONTRACT = ROOT.parent / "shared" / "CONTRACT.md"
NONE = "\N{EN DASH}"  # the contract's sign for a variable without a default
KEY, OLDER = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
BAD_MASKS = (
    *("id threadId", "id)x(", "(", ")", "(id)", "id(", "id()", "id(a", "id(a))", "a(b)c", "a(b)(c)", "a(b)/c", "a,(b)"),
    *(",", "id,", ",id", "id,,a", "/a", "a/", "a//b", "a/(b)", "a(/b)", "a(b,)", "id!", "1a", "*a", "a*", "a" * 2001),
    *("(" * 1000 + "a" + ")" * 1000, "a-b", "id\n,a"),
)
NEEDED = {
    "UPSTASH_REDIS_REST_URL": "http://127.0.0.1:8079",
    "UPSTASH_REDIS_REST_TOKEN": "redis-token",
    "TIDEMARK_API_KEY": "api-key",
    "TOKEN_ENCRYPTION_KEYS": KEY,
}


def loaded(**changed: str) -> Settings:
    return load({**NEEDED, **changed})


def refusal(**changed: str) -> str:
    with pytest.raises(SettingsError) as refused:
        loaded(**changed)
    return str(refused.value)


def test_the_required_variables_are_enough() -> None:
    settings = loaded()
    assert settings.gmail_batch_size == 20
    assert settings.upstash_redis_rest_url == "http://127.0.0.1:8079"
    assert settings.token_encryption_keys == (b"\x01" * 32,)
    assert settings.gmail_api_url == "https://gmail.googleapis.com"
    assert settings.google_client_id is None
    assert settings.return_to_origins == settings.webhook_secrets == ()
    assert settings.webhook_allow_private is False


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("value", ["", "  "])
def test_a_required_variable_that_is_missing_or_empty_is_named(name: str, value: str) -> None:
    assert refusal(**{name: value}).startswith(f"{name} is not set; accepted: ")
    with pytest.raises(SettingsError, match=name):
        load({key: text for key, text in NEEDED.items() if key != name})


def test_an_empty_value_is_an_unset_one() -> None:
    assert loaded(GMAIL_BATCH_SIZE=" ", GMAIL_PUBSUB_TOPIC="", MICROSOFT_TENANT="") == loaded()


def test_spaces_around_a_value_are_ignored() -> None:
    assert loaded(OUTLOOK_PAGE_SIZE=" 200\n").outlook_page_size == 200


def test_the_rate_follows_the_price_list_unless_it_is_said() -> None:
    assert loaded().gmail_units_per_minute == 6_000
    assert loaded(GMAIL_QUOTA="legacy").gmail_units_per_minute == 15_000
    assert loaded(GMAIL_QUOTA="legacy", GMAIL_UNITS_PER_MINUTE="900").gmail_units_per_minute == 900


def test_all_is_said_as_none() -> None:
    settings = loaded(INITIAL_SYNC_MESSAGES="all", OUTLOOK_FOLDERS="all")
    assert settings.initial_sync_messages is None
    assert settings.outlook_folders is None
    assert loaded(INITIAL_SYNC_MESSAGES="0").initial_sync_messages == 0
    assert loaded(OUTLOOK_FOLDERS="inbox, archive,inbox").outlook_folders == ("inbox", "archive")


def test_keys_are_read_newest_first_in_either_alphabet_with_or_without_padding() -> None:
    odd = b"\xfb\xff" * 16
    urlsafe = base64.urlsafe_b64encode(odd).decode().rstrip("=")
    assert loaded(TOKEN_ENCRYPTION_KEYS=f"{urlsafe}, {OLDER}").token_encryption_keys == (odd, b"\x02" * 32)


def test_urls_lose_their_trailing_slash() -> None:
    settings = loaded(GRAPH_API_URL="http://localhost:9000/", PUBLIC_URL="https://tidemark.example/hooks/")
    assert settings.graph_api_url == "http://localhost:9000"
    assert settings.public_url == "https://tidemark.example/hooks"


@pytest.mark.parametrize(
    "mask",
    [
        GMAIL_FIELDS,
        "*",
        "id,*",
        "payload/*,id",
        "payload(headers,parts(body/size,parts(*)),filename),id",
        "a(b)",
        "_a1/b",
        "a(" * 300 + "b" + ")" * 300,
    ],
)
def test_a_mask_with_the_syntax_of_one_is_taken_whatever_it_names(mask: str) -> None:
    assert loaded(GMAIL_FIELDS=mask).gmail_fields == mask


@pytest.mark.parametrize("topic", ["projects/p/topics/t", "projects/example.com:p-1/topics/Gmail-push_2"])
def test_a_topic_is_named_with_its_project(topic: str) -> None:
    assert loaded(GMAIL_PUBSUB_TOPIC=topic).gmail_pubsub_topic == topic


def test_push_needs_topic_audience_and_service_account() -> None:
    push = {
        "GMAIL_PUBSUB_TOPIC": "projects/p-1/topics/gmail",
        "PUBSUB_AUDIENCE": "https://tidemark.example/push-webhook/gmail",
        "PUBSUB_SERVICE_ACCOUNT": "push@p-1.iam.gserviceaccount.com",
    }
    assert loaded(**push).push_configured
    for name in push:
        assert not loaded(**{**push, name: ""}).push_configured


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("GMAIL_BATCH_SIZE", "ten", "is not a whole number: 'ten'; accepted: a whole number from 1 to 100"),
        ("GMAIL_BATCH_SIZE", "101", "is out of range: 101; accepted: a whole number from 1 to 100"),
        ("GMAIL_BATCH_SIZE", "1.5", "is not a whole number: '1.5'; accepted: a whole number from 1 to 100"),
        ("MAX_SYNC_DURATION", "0", "is out of range: 0;"),
        ("MAX_SYNC_DURATION", "nan", "is not a number: 'nan';"),
        ("WARM_QUOTA_SHARE", "1.1", "is out of range: 1.1; accepted: a number from 0 to 1"),
        ("GMAIL_FORMAT", "raw", "is none of its values: 'raw'; accepted: metadata or full"),
        ("OUTLOOK_BODY", "TEXT", "is none of its values: 'TEXT'; accepted: text, html, none"),
        ("WEBHOOK_ALLOW_PRIVATE", "maybe", "is neither true nor false: 'maybe'; accepted: true or false"),
        ("INITIAL_SYNC_MESSAGES", "-1", "is out of range: -1; accepted: a whole number from 0 to 1000000000, or all"),
        *(("GMAIL_FIELDS", mask, "does not have the right form; accepted: a partial-resp") for mask in BAD_MASKS),
        ("OUTLOOK_FOLDERS", "inbox,a/b", "does not have the right form"),
        ("GMAIL_API_URL", "https://gmail.googleapis.com/v1", "has a path; accepted: an https origin"),
        ("GMAIL_API_URL", "http://gmail.googleapis.com", "is plain http to another machine"),
        ("GRAPH_API_URL", "ftp://graph.microsoft.com", "is not an http or https URL"),
        ("GOOGLE_TOKEN_URL", "https://oauth2.googleapis.com/token?x=1", "has a query or fragment"),
        ("WEBHOOK_URL", "https://app.example/hook?x=1#y", "has a query or fragment"),
        ("GRAPH_API_URL", "https://graph.microsoft.com?x=1", "has a query or fragment"),
        ("GRAPH_API_URL", "https://a:99999", "is not a URL"),
        ("GRAPH_API_URL", "https://a\\@b", "is not a URL"),
        ("UPSTASH_REDIS_REST_URL", "https://user:hunter2@redis.example", "holds a user name or password"),
        ("TOKEN_ENCRYPTION_KEYS", "hunter2!", "is not base64"),
        ("TOKEN_ENCRYPTION_KEYS", f"{KEY},c2hvcnQ=", "has a key of 5 bytes (number 2)"),
        ("TOKEN_ENCRYPTION_KEYS", f"{KEY},{KEY}", "holds the same key twice"),
        ("TOKEN_ENCRYPTION_KEYS", ",", "holds no key"),
        ("TIDEMARK_API_KEY", "hunter 2", "does not have the right form; accepted: printable ASCII without spaces"),
        ("GMAIL_PUBSUB_TOPIC", "gmail", "does not have the right form; accepted: projects/PROJECT/topics/TOPIC"),
        ("WEBHOOK_SECRETS", "whsec_c2hvcnQ=", "has a secret of 5 bytes (number 1)"),
        ("RETURN_TO_ORIGINS", "https://app.example,https://app.example/back", "has a path"),
        ("MICROSOFT_TENANT", "a/b", "does not have the right form"),
    ],
)
def test_a_bad_value_is_said_in_one_line_that_names_variable_fault_and_what_is_accepted(
    name: str, value: str, fault: str
) -> None:
    said = refusal(**{name: value})
    assert said.startswith(f"{name} {fault}")
    assert "; accepted: " in said
    assert "\n" not in said
    assert "hunter" not in said


def test_what_another_setting_needs_is_asked_for() -> None:
    assert refusal(DISPATCH="http").startswith("GMAIL_SYNC_URL is not set, and DISPATCH=http needs it; accepted: ")
    assert refusal(DISPATCH="pubsub").startswith("DISPATCH_PUBSUB_TOPIC is not set, and DISPATCH=pubsub needs it")
    assert refusal(WEBHOOK_URL="https://app.example/hook").startswith("WEBHOOK_SECRETS is not set, and WEBHOOK_URL")
    assert loaded(DISPATCH="http", OUTLOOK_SYNC_URL="http://localhost:1/outlook-sync").dispatch == "http"
    assert loaded(WEBHOOK_URL="https://app.example/hook", WEBHOOK_SECRETS=SECRET).webhook_secrets == (SECRET,)


@given(name=st.sampled_from([s.name for s in SETTINGS]), value=st.text(max_size=60))
def test_any_text_is_either_read_or_refused_in_one_line(name: str, value: str) -> None:
    try:
        load({**NEEDED, name: value})
    except SettingsError as refused:
        said = str(refused)
    else:
        return
    assert len(said.splitlines()) == 1
    assert name in said


def test_settings_are_frozen_and_show_nothing() -> None:
    settings = loaded()
    assert repr(settings) == str(settings) == "Settings(…)"
    with pytest.raises(FrozenInstanceError):
        settings.gmail_batch_size = 1  # type: ignore[misc]


def test_every_default_is_accepted_by_its_own_parser() -> None:
    assert all(accepted and meaning for _, _, accepted, meaning in describe())
    for setting in SETTINGS:
        if setting.default is not None:
            setting.parse(setting.default)


def test_env_example_holds_every_setting_with_its_default_and_meaning() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    expected = [f"{s.name}=" if s.required else f"# {s.name}={s.default or ''}" for s in SETTINGS]
    assert [line for line in lines if re.match(r"(# )?[A-Z_]+=", line)] == expected
    for setting in SETTINGS:
        place = lines.index(f"{setting.name}=" if setting.required else f"# {setting.name}={setting.default or ''}")
        assert setting.meaning.lower() in lines[place - 1].lower()
        assert setting.accepted in lines[place - 1]


@pytest.mark.skipif(not CONTRACT.exists(), reason="the contract is not beside the project")
def test_the_contract_and_the_table_name_the_same_variables_and_defaults() -> None:
    section = CONTRACT.read_text().split("## 2. Environment")[1].split("\n## ")[0]
    defaults: dict[str, str] = {}
    for row in re.findall(r"^\| (`[A-Z].*?) \| (.*?) \| ", section, re.MULTILINE):
        names, values = re.findall(r"`([A-Z_]+)`", row[0]), row[1].split(", ")
        defaults |= dict(zip(names, values if len(values) == len(names) else [row[1]] * len(names), strict=True))
    table = {setting.name: setting.default for setting in SETTINGS}
    assert set(table) - set(defaults) == {"GMAIL_SYNC_URL", "OUTLOOK_SYNC_URL", "DISPATCH_PUBSUB_TOPIC"}
    for name, said in defaults.items():
        if said.startswith("from "):
            assert table[name] is None
        elif said.endswith("'s"):
            assert table[name], name
        else:
            assert (table[name] or NONE) == said.strip("`"), name
    assert all(f"`{name}`" in section for name in table)
