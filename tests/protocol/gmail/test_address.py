"""Addresses out of whatever a header holds (shared/protocol/gmail/address.py)."""

import time

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.protocol.gmail import address
from shared.protocol.gmail.address import addresses, first_address


def pairs(*values: str) -> list[tuple[str | None, str | None]]:
    return [(entry["name"], entry["address"]) for entry in addresses(values)]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("jane@x.org", [(None, "jane@x.org")]),
        ("<jane@x.org>", [(None, "jane@x.org")]),
        ("Jane Doe <jane@x.org>", [("Jane Doe", "jane@x.org")]),
        ("Jane  \t Doe\r\n <jane@x.org>", [("Jane Doe", "jane@x.org")]),
        ("a@x.org, B <b@x.org>,, c@x.org,", [(None, "a@x.org"), ("B", "b@x.org"), (None, "c@x.org")]),
        ("a@x.org; b@x.org", [(None, "a@x.org"), (None, "b@x.org")]),
        ("jane@[192.0.2.1], joe@[IPv6:2001:db8::1]", [(None, "jane@[192.0.2.1]"), (None, "joe@[IPv6:2001:db8::1]")]),
        (
            "jane@[IPv6:2001:db8::1]; joe@[IPv6:2001:db8::2]; ",
            [(None, "jane@[IPv6:2001:db8::1]"), (None, "joe@[IPv6:2001:db8::2]")],
        ),
        ("x" * 506 + "@x.org", [(None, "x" * 506 + "@x.org")]),
        ("j+a=b%c!d@x", [(None, "j+a=b%c!d@x")]),
        ("jürgen@bücher.example", [(None, "jürgen@bücher.example")]),
    ],
)
def test_ordinary_addresses(value: str, found: list[tuple[str | None, str | None]]) -> None:
    assert pairs(value) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ('"Doe, Jane" <jane@x.org>', [("Doe, Jane", "jane@x.org")]),
        (r'"Jane \"J\" Doe" <jane@x.org>', [('Jane "J" Doe', "jane@x.org")]),
        ('"a@x.org" <b@x.org>', [("a@x.org", "b@x.org")]),
        ('"jane doe"@x.org', [(None, '"jane doe"@x.org')]),
        ('<"jane doe"@x.org>', [(None, '"jane doe"@x.org')]),
        ('<"a" @ x.org>', [('"a" @ x.org', None)]),
        ('"Jane <jane@x.org>, b@x.org', [("Jane", "jane@x.org"), (None, "b@x.org")]),
        ('Jane "" <jane@x.org> "', [("Jane", "jane@x.org")]),
    ],
)
def test_quoted_strings_hide_signs_and_an_open_quote_is_text(
    value: str, found: list[tuple[str | None, str | None]]
) -> None:
    assert pairs(value) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("jane@x.org (Jane Doe)", [("Jane Doe", "jane@x.org")]),
        ("<jane@x.org> (Jane (the one) Doe)", [("Jane (the one) Doe", "jane@x.org")]),
        (r"jane@x.org (Jane \) Doe)", [("Jane ) Doe", "jane@x.org")]),
        (r"jane@x.org (Jane \()", [("Jane (", "jane@x.org")]),
        ("Jane (work) <jane@x.org>", [("Jane", "jane@x.org")]),
        ("jane(a)@(b)x(c).org", [("a", "jane@x.org")]),
        ("Pete <pete(his account)@silly.test(his host)>", [("Pete", "pete@silly.test")]),
        ("Jane (open <jane@x.org>, (b@x.org", [("Jane (open", "jane@x.org"), ("(b@x.org", None)]),
        ("(nobody)", []),
        ("() (x) a@x.org", [("x", "a@x.org")]),
    ],
)
def test_comments_name_who_has_no_other_name(value: str, found: list[tuple[str | None, str | None]]) -> None:
    assert pairs(value) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("=?utf-8?q?J=C3=B6rg?= <j@x.org>", [("Jörg", "j@x.org")]),
        ('"=?utf-8?q?J=C3=B6rg?=" <j@x.org>', [("Jörg", "j@x.org")]),
        ("=?utf-8?q?Doe,_J;:<>=28?= <j@x.org>", [("Doe, J;:<>(", "j@x.org")]),
        ("=?utf-8?b?SsO2?= =?utf-8?b?cmc=?= X <j@x.org>", [("Jörg X", "j@x.org")]),
        ("j@x.org (=?iso-8859-1?q?J=F6rg?=)", [("Jörg", "j@x.org")]),
        ("=?utf-8?q?evil=40x.org?=", [("evil@x.org", None)]),
        ("=?utf-8?q?evil@x.org?=", [("evil@x.org", None)]),
        ("a=b@x.org", [(None, "a=b@x.org")]),
    ],
)
def test_encoded_words_are_names_and_never_become_addresses(
    value: str, found: list[tuple[str | None, str | None]]
) -> None:
    assert pairs(value) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("undisclosed-recipients:;", []),
        ("undisclosed-recipients:", []),
        ("undisclosed-recipients: , a@x.org", [(None, "a@x.org")]),
        ("Team: root;", [("root", None)]),
        ("Team: a@x.org, B <b@x.org>;, c@x.org", [(None, "a@x.org"), ("B", "b@x.org"), (None, "c@x.org")]),
        ("A: a@x.org; B: (none) ;", [(None, "a@x.org")]),
        ("A: a@x.org; B: b@x.org;", [(None, "a@x.org"), (None, "b@x.org")]),
        ("lost@x.org Team: a@x.org;", [(None, "a@x.org")]),
        ("lost@x.org: a@x.org;", [(None, "lost@x.org"), (None, "a@x.org")]),
        ("lo=st@x.org: a@x.org;", [(None, "lo=st@x.org"), (None, "a@x.org")]),
        ("Re: Jane <jane@x.org>", [("Re: Jane", "jane@x.org")]),
    ],
)
def test_groups_give_their_members(value: str, found: list[tuple[str | None, str | None]]) -> None:
    assert pairs(value) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("", []),
        (" , ;, ", []),
        ("<>", []),
        ("Mail Delivery <>", [("Mail Delivery", None)]),
        ("root", [("root", None)]),
        ("<root>", [("root", None)]),
        ("Jane <not an address>", [("Jane", None)]),
        ("Jane Doe jane@x.org", [("Jane Doe jane@x.org", None)]),
        ("a@b@c", [("a@b@c", None)]),
        ("@x.org, jane@", [("@x.org", None), ("jane@", None)]),
        ("Jane <jane@x.org", [("Jane jane@x.org", None)]),
        ("jane@x.org>", [("jane@x.org>", None)]),
        ("[jane", [("[jane", None)]),
        ("x" * 507 + "@x.org", [("x" * 507 + "@x.or", None)]),
    ],
)
def test_what_is_no_address_stays_a_name(value: str, found: list[tuple[str | None, str | None]]) -> None:
    assert pairs(value) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("jane @ x . org", [(None, "jane@x.org")]),
        ("<@relay.example,@b:jane@x.org>", [(None, "jane@x.org")]),
        ("<mailto:jane@x.org>, MAILTO:b@x.org", [(None, "jane@x.org"), (None, "b@x.org")]),
        ("<mailto: jane@x.org>, <mailto:mailto:b@x.org>", [(None, "jane@x.org"), (None, "b@x.org")]),
        ("a@x.org b@x.org", [(None, "a@x.org"), (None, "b@x.org")]),
        ("c@x.org, a@x.org b@x.org", [(None, "c@x.org"), (None, "a@x.org"), (None, "b@x.org")]),
        ("A <a@x.org> B <b@x.org>", [("A", "a@x.org"), ("B", "b@x.org")]),
        ("A <a@x.org> <b@x.org>", [("A", "a@x.org"), (None, "b@x.org")]),
        ("A <a@x.org> b@x.org", [("A", "a@x.org"), (None, "b@x.org")]),
        ("A <a@x.org> via list, b@x.org", [("A", "a@x.org"), (None, "b@x.org")]),
    ],
)
def test_obsolete_and_careless_spellings_are_understood(value: str, found: list[tuple[str | None, str | None]]) -> None:
    assert pairs(value) == found


def test_a_field_given_twice_is_one_list() -> None:
    assert pairs("a@x.org", '"open, b@x.org', "c@x.org") == [
        (None, "a@x.org"),
        ("open", None),
        (None, "b@x.org"),
        (None, "c@x.org"),
    ]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("Jane <jane@x.org>, b@x.org", ("Jane", "jane@x.org")),
        ("Doe, Jane <jane@x.org>", ("Doe, Jane", "jane@x.org")),
        ("MAILER-DAEMON, postmaster@x.org", ("MAILER-DAEMON", None)),
        ("just, names", ("just", None)),
    ],
)
def test_from_is_the_first_and_an_unquoted_comma_in_it_is_mended(value: str, found: tuple[str, str | None]) -> None:
    first = first_address([value])
    assert first is not None
    assert (first["name"], first["address"]) == found


def test_from_may_be_missing() -> None:
    assert first_address([]) is None
    assert first_address(["", "<>"]) is None


def test_as_many_recipients_as_gmail_sends_to_are_all_kept_and_no_more() -> None:
    many = [f'"Recipient Number {n}, of Sales" <recipient.number.{n}@department.example.com>' for n in range(600)]
    assert [entry["address"] for entry in addresses([", ".join(many)])] == [
        f"recipient.number.{n}@department.example.com" for n in range(address.ADDRESSES_MAX)
    ]
    assert len(addresses(many)) == address.ADDRESSES_MAX


def test_a_field_that_is_cut_loses_the_address_that_was_cut_in_two() -> None:
    many = ", ".join(f"{'x' * 200}{n}@example.com" for n in range(1000))
    found = addresses([many, "later@x.org"])
    assert len(orjson.dumps(found)) < 2 * address.FIELD_CHARACTERS_MAX
    assert all((entry["address"] or "").endswith("@example.com") for entry in found)
    assert addresses(["x" * 100_000]) == []


def test_the_limit_is_of_all_lines_of_a_field_together() -> None:
    def padded(characters: int) -> str:
        return "a@x.org," + " " * (characters - 16) + ",b@x.org"

    def count(*characters: int) -> int:
        return len(addresses(map(padded, characters)))

    limit = address.FIELD_CHARACTERS_MAX
    assert (count(limit), count(limit + 1)) == (2, 1)
    assert (count(40_000, limit - 40_000), count(40_000, limit - 40_000 + 1), count(limit, 16)) == (4, 3, 2)


def test_a_long_name_is_cut() -> None:
    (found,) = addresses([f"{'ü' * 1000} <a@x.org>"])
    assert found == {"name": "ü" * (address.NAME_BYTES_MAX // 2), "address": "a@x.org"}


@pytest.mark.whole  # each of its many calls is counted where mutants are looked for: that is no time to measure
@pytest.mark.parametrize(
    "unit",
    [
        '"',
        '"\\',
        "(",
        "(\\",
        "(a)",
        "<",
        "<a",
        "=?",
        "=?a?q?",
        "=?a?b?=?=",
        "[",
        "a ",
        " ",
        ",",
        ":",
        ";:",
        "@",
        "a@",
        "\\",
    ],
)
def test_hostile_fields_cost_linear_time(unit: str) -> None:
    began = time.process_time()
    many = unit * ((address.FIELD_CHARACTERS_MAX - 2) // len(unit))
    addresses([many])
    addresses([f"<{many}>"])
    addresses([many * 4])
    assert time.process_time() - began < 3


@settings(deadline=None)
@given(st.lists(st.text(alphabet=st.characters(exclude_categories=[])), max_size=3))
def test_no_text_raises_and_all_that_leaves_is_json(values: list[str]) -> None:
    orjson.dumps([addresses(values), first_address(values)])


@settings(deadline=None)
@given(st.text('aA1@<>(),;:"\\=?[] \r\n\x00é\ud800', max_size=60))
def test_what_leaves_as_an_address_stands_in_the_text(value: str) -> None:
    shown = "".join(value.split()).replace("\ud800", "\ufffd")  # no lone surrogate leaves
    for entry in addresses([value]):
        assert entry["address"] is None or entry["address"].rpartition("@")[2] in shown
