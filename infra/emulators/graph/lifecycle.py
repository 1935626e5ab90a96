"""What a lifecycle URL is told, as documented and as seen on the wire; and the items of ordinary notifications.

    reauthorizationRequired   answer with PATCH or reauthorize, or deliveries are lost
    subscriptionRemoved       make a new one
    missed                    something was not delivered: run delta

Source: https://learn.microsoft.com/en-us/graph/change-notifications-lifecycle-events
"""

from typing import Any, Literal

from infra.emulators.graph.grants import TENANT_ID
from infra.emulators.graph.mailbox import Change
from infra.emulators.graph.subscriptions import Subscription

LIFECYCLE_EVENTS = ("reauthorizationRequired", "subscriptionRemoved", "missed")


def lifecycle_item(subscription: Subscription, event: str, payload: Literal["documented", "actual"]) -> dict[str, Any]:
    item: dict[str, Any] = {
        "subscriptionId": subscription.id,
        "subscriptionExpirationDateTime": subscription.expiration(),
        "clientState": subscription.body.get("clientState"),
        "lifecycleEvent": event,
    }
    if payload == "documented":
        return item | {"tenantId": TENANT_ID}
    return item | {
        "organizationId": TENANT_ID,
        "encryptedContent": None,
        "resource": f"Subscriptions/{subscription.id}",
        "resourceChangeType": None,
        "resourceData": {"@odata.type": "#microsoft.graph.subscription", "id": subscription.id},
    }


def notification_item(subscription: Subscription, change: Change) -> dict[str, Any]:
    item_id = change.immutable_id if subscription.immutable_ids else change.mutable_id
    resource = f"Users/{change.mailbox.user_id}/Messages/{item_id}"
    return {
        "subscriptionId": subscription.id,
        "subscriptionExpirationDateTime": subscription.expiration(),
        "changeType": change.kind,
        "resource": resource,
        "resourceData": {
            "@odata.type": "#Microsoft.Graph.Message",
            "@odata.id": resource,
            "@odata.etag": f'W/"{change.change_key}"',
            "id": item_id,
        },
        "clientState": subscription.body.get("clientState"),
        "tenantId": TENANT_ID,
    }
