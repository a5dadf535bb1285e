"""`/metrics` for Prometheus, by session or API token with the permission to see feeds.

The figures are of the whole installation, read from the database, so any web process may be asked.
"""

from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from controlplane.base.permissions import ViewPermission
from markets.metrics import FeedCollector

_registry: Final = CollectorRegistry(auto_describe=False)
_registry.register(FeedCollector())


class TextRenderer(BaseRenderer):
    """Passes the exposition text on; errors go out in the API's own shape."""

    media_type = "text/plain"
    format = "txt"

    def render(self, data: object, *_about: object) -> bytes:
        return data if isinstance(data, bytes) else str(data).encode()


class MetricsView(APIView):
    """All metrics, in Prometheus' text format."""

    permission_classes = (ViewPermission,)
    renderer_classes = (TextRenderer,)
    required_permission = "markets.view_marketdatafeed"
    schema = None  # Prometheus' format, not the API's

    def get(self, request: Request) -> Response:
        """Return the metrics as they are now."""
        return Response(generate_latest(_registry), content_type=CONTENT_TYPE_LATEST)
