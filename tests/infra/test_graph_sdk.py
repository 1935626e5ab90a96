"""Microsoft's own msgraph-sdk against the Graph stand-in: a client nobody here wrote finds nothing odd."""

import asyncio
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.infra.graph_client import ADDRESS, IMMUTABLE, Stand, standing

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of its own, while it is imported
    from kiota_abstractions.authentication import (
        AccessTokenProvider,
        AllowedHostsValidator,
        BaseBearerTokenAuthenticationProvider,
    )
    from kiota_abstractions.base_request_configuration import RequestConfiguration
    from kiota_abstractions.method import Method
    from kiota_abstractions.request_information import RequestInformation
    from msgraph import GraphRequestAdapter, GraphServiceClient
    from msgraph.generated.models.message import Message
    from msgraph.generated.models.o_data_errors.o_data_error import ODataError
    from msgraph.generated.users.item.mail_folders.item.messages.delta.delta_request_builder import DeltaRequestBuilder
    from msgraph.generated.users.item.messages.item.move.move_post_request_body import MovePostRequestBody
    from msgraph.graph_request_adapter import options
    from msgraph_core import GraphClientFactory  # type: ignore[import-untyped]
    from msgraph_core.requests.batch_request_content import BatchRequestContent  # type: ignore[import-untyped]
    from msgraph_core.requests.batch_request_item import BatchRequestItem  # type: ignore[import-untyped]


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of its own, while it is used


class Bearer(AccessTokenProvider):  # type: ignore[misc]  # kiota is typed in name only
    def __init__(self, token: str) -> None:
        self.token = token

    async def get_authorization_token(self, uri: str, additional_authentication_context: Any = None) -> str:
        return self.token

    def get_allowed_hosts_validator(self) -> AllowedHostsValidator:
        return AllowedHostsValidator([])


def sdk(stand: Stand, use: Callable[[GraphServiceClient], Awaitable[Any]]) -> Any:
    token = stand.bearer()["Authorization"].removeprefix("Bearer ")

    async def run() -> Any:
        async with httpx.AsyncHTTPTransport() as transport:  # the SDK's own wrapper does not close it
            client = httpx.AsyncClient(transport=transport, trust_env=False)
            http = GraphClientFactory.create_with_default_middleware(client=client, options=options)
            adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(Bearer(token)), http)
            adapter.base_url = f"{stand.url}/v1.0"
            return await use(GraphServiceClient(request_adapter=adapter))

    return asyncio.run(run())


def test_the_sdk_lists_folders_and_messages() -> None:
    async def use(client: GraphServiceClient) -> tuple[list[str], list[str]]:
        folders = await client.me.mail_folders.get()
        messages = await client.me.mail_folders.by_mail_folder_id("inbox").messages.get()
        return [str(folder.display_name) for folder in folders.value], [str(each.subject) for each in messages.value]

    with standing(messages=3) as stand:
        folders, subjects = sdk(stand, use)
        assert "Inbox" in folders
        assert sorted(subjects) == ["n0", "n1", "n2"]


def test_the_sdk_walks_delta_to_its_link_and_on() -> None:
    async def use(client: GraphServiceClient) -> list[list[str]]:
        parameters = DeltaRequestBuilder.DeltaRequestBuilderGetQueryParameters(select=["subject", "isRead"])
        configuration = RequestConfiguration(query_parameters=parameters)
        configuration.headers.add("Prefer", f"odata.maxpagesize=2, {IMMUTABLE}")
        builder = client.me.mail_folders.by_mail_folder_id("inbox").messages.delta
        page = await builder.get(request_configuration=configuration)
        rounds = [[str(message.id) for message in page.value]]
        while page.odata_next_link:
            page = await builder.with_url(page.odata_next_link).get(request_configuration=configuration)
            rounds.append([str(message.id) for message in page.value])
        stand.deliver("late")
        page = await builder.with_url(page.odata_delta_link).get(request_configuration=configuration)
        return [*rounds, [str(message.subject) for message in page.value]]

    with standing(messages=5) as stand:
        before = set(stand.graph.snapshot(ADDRESS))
        *pages, late = sdk(stand, use)
        assert [len(page) for page in pages] == [2, 2, 1]
        assert {id_ for page in pages for id_ in page} == before
        assert late == ["late"]


def test_the_sdk_changes_moves_and_deletes() -> None:
    async def use(client: GraphServiceClient) -> None:
        await client.me.messages.by_message_id(first).patch(Message(is_read=True, categories=["Red"]))
        await client.me.messages.by_message_id(first).move.post(MovePostRequestBody(destination_id="archive"))
        await client.me.messages.by_message_id(second).permanent_delete.post()
        await client.me.messages.by_message_id(third).delete()
        with pytest.raises(ODataError) as caught:
            await client.me.messages.by_message_id(second).get()
        assert caught.value.error is not None
        assert caught.value.error.code == "ErrorItemNotFound"

    with standing() as stand:
        first, second, third = stand.deliver("a", "b", "c")
        sdk(stand, use)
        truth = stand.graph.snapshot(ADDRESS)
        assert truth[first] | {"is_read": True, "categories": ["Red"], "folder": "Archive"} == truth[first]
        assert second not in truth
        assert truth[third]["folder"] == "Deleted Items"


def test_the_sdk_batches() -> None:
    async def use(client: GraphServiceClient) -> dict[str, int]:
        content = BatchRequestContent()
        for number, name in enumerate(("inbox", "drafts", "nonsense")):
            request = RequestInformation(Method.GET)
            request.url = f"/me/mailFolders/{name}"
            content.add_request(str(number), BatchRequestItem(request, id=str(number)))
        answer = await client.batch.post(content)
        return {str(key): part.status for key, part in answer.responses.items()}

    with standing() as stand:
        assert sdk(stand, use) == {"0": 200, "1": 200, "2": 404}


def test_the_sdk_is_refused_a_mailbox_wide_delta() -> None:
    async def use(client: GraphServiceClient) -> None:
        with pytest.raises(ODataError) as caught:
            await client.me.messages.delta.get()
        assert caught.value.error is not None
        assert caught.value.error.code == "BadRequest"

    with standing() as stand:
        sdk(stand, use)
