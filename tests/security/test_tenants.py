"""One account's ids, cursors and readers mean nothing under another."""

from tests.functions.stand import Stand, assert_problem


def test_what_belongs_to_one_account_is_not_found_under_another(stand: Stand) -> None:
    first, second = stand.mailbox(3), stand.mailbox(1)
    one, two = stand.connect(first, user_id="u1"), stand.connect(second, user_id="u2")
    stand.sync(one)
    stand.sync(two)
    page = stand.changes(one, reader="app")
    theirs = list(stand.gmail.truth(first))
    foreign = stand.client.get("/mailbox/messages", params={"account_id": two, "ids": ",".join(theirs)})
    assert (foreign.json()["messages"], sorted(foreign.json()["missing"])) == ([], sorted(theirs))
    thread = stand.client.get(f"/mailbox/threads/{theirs[0]}", params={"account_id": two})
    assert_problem(thread, 404, "unknown_thread")
    with_cursor = stand.client.get("/mailbox/changes", params={"account_id": two, "after": page["cursor"]})
    assert_problem(with_cursor, 410, "cursor_expired")
    assert {each["data"]["account_id"] for each in stand.changes(two)["changes"]} == {two}
    assert not [
        name for name in stand.stored() if name.startswith(f"td:{two}:message:") and name.rpartition(":")[2] in theirs
    ]


def test_deleting_one_account_leaves_the_other_whole(stand: Stand) -> None:
    first, second = stand.mailbox(2), stand.mailbox(2)
    one, two = stand.connect(first, account_id="ab"), stand.connect(second, account_id="a")
    stand.sync(one)
    stand.sync(two)
    kept = [name for name in stand.stored() if name.startswith("td:ab:")]
    assert stand.client.delete("/accounts/a").status_code == 204
    assert [name for name in stand.stored() if name.startswith("td:ab:")] == kept
    assert stand.folded(one).keys() == stand.gmail.truth(first).keys()
    assert stand.client.get(f"/accounts/{two}").status_code == 404
