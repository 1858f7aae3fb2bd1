"""The HTTP application: the table of operations, and the layers around it."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from backplane.keys import CACHE_SECONDS
from backplane.settings import Settings
from gateway.problems import HANDLERS
from gateway.rest import (
    attachments,
    auth,
    bots,
    changes,
    conversations,
    events,
    members,
    messages,
    receipts,
    sessions,
    sync,
    threads,
    users,
    webhooks,
)
from gateway.rest.api import Api
from gateway.rest.edge import BodyLimit, KnownHost, LastNet, SecurityHeaders
from gateway.rest.openapi import describe
from gateway.rest.operations import answer, routes

OPERATIONS = [
    *auth.OPERATIONS,
    *sessions.OPERATIONS,
    *users.OPERATIONS,
    *conversations.OPERATIONS,
    *messages.OPERATIONS,
    *changes.OPERATIONS,
    *attachments.OPERATIONS,
    *members.OPERATIONS,
    *receipts.OPERATIONS,
    *threads.OPERATIONS,
    *sync.OPERATIONS,
    *events.OPERATIONS,
    *bots.OPERATIONS,
    *webhooks.OPERATIONS,
]


def rest_routes(api: Api) -> list[BaseRoute]:
    """Every operation, and the documents that machines read about them."""
    document = describe(OPERATIONS)

    async def openapi(_: Request) -> Response:
        return Response(document, media_type="application/json", headers={"Cache-Control": "public, max-age=300"})

    async def jwks(_: Request) -> Response:
        return answer(api.tokens.jwks, headers={"Cache-Control": f"public, max-age={CACHE_SECONDS}"})

    return [*routes(api, OPERATIONS), Route("/openapi.json", openapi), Route("/.well-known/jwks.json", jwks)]


def make_application(table: Sequence[BaseRoute], settings: Settings | None = None) -> Starlette:
    """An ASGI application that answers everything in the documented forms, refusals and bugs too; without settings, an internal one."""
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins if settings else (),
        allow_methods=["GET", "POST", "PATCH", "PUT", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", auth.CUSTOM_HEADER],
        allow_credentials=True,
        expose_headers=["Retry-After", "RateLimit", "RateLimit-Policy"],
    )
    return Starlette(
        routes=table,
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(KnownHost, settings.allowed_hosts if settings else ()),
            cors,
            Middleware(LastNet),
            Middleware(
                BodyLimit,
                uploads=(attachments.UPLOAD_PATH, settings.attachment_max_bytes) if settings else None,
            ),
        ],
        exception_handlers=dict(HANDLERS),
    )
