"""All endpoints, in the order of docs/api.md, and the application over them."""

from __future__ import annotations

from steelyard.api import download, drafts, export, health, read, session, stream, tx, uploads, webhooks
from steelyard.api.app import App
from steelyard.api.idempotency import once
from steelyard.api.openapi import endpoint
from steelyard.api.route import Endpoint
from steelyard.api.service import Service

MODULES = (read, stream, export, download, session, tx, uploads, drafts, webhooks, health)


def endpoints() -> tuple[Endpoint, ...]:
    """Return all endpoints, the description of them included."""
    listed = tuple(item for module in MODULES for item in module.ENDPOINTS)
    return (*listed, endpoint(listed))


def application(service: Service) -> App:
    """Return the ASGI application of a service."""
    return App(service, endpoints(), authenticate=session.authenticate, once=once)
