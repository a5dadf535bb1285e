"""ASGI entry point: HTTP and websockets to people."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
http = get_asgi_application()

from controlplane.routing import websocket_application  # noqa: E402 - needs the apps loaded

application = ProtocolTypeRouter({"http": http, "websocket": websocket_application()})
