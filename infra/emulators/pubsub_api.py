"""Pub/Sub's publish call, for who dispatches through a topic of their own: JSON objects as data, any bearer token.

    POST /v1/projects/{project}/topics/{topic}:publish {"messages": [{"data": base64, "attributes": {…}}]}
    200 {"messageIds": […]}; 400 for what cannot be read; 401 without a token

Source: https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish
"""

import base64

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.emulators.pubsub import PubSub


def routes(pubsub: PubSub) -> list[Route]:
    async def publish(request: Request) -> Response:
        topic = f"projects/{request.path_params['project']}/topics/{request.path_params['topic']}"
        if not request.headers.get("authorization", "").startswith("Bearer "):
            return JSONResponse({"error": {"code": 401, "status": "UNAUTHENTICATED"}}, 401)
        try:
            messages = [
                (orjson.loads(base64.b64decode(each["data"], validate=True)), each.get("attributes", {}))
                for each in orjson.loads(await request.body())["messages"]
            ]
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": {"code": 400, "status": "INVALID_ARGUMENT"}}, 400)
        return JSONResponse({"messageIds": [pubsub.publish(topic, data, said) for data, said in messages]})

    return [Route("/v1/projects/{project}/topics/{topic}:publish", publish, methods=["POST"])]
