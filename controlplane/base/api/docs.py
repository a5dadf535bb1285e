"""The API's documentation in a browser."""

from drf_spectacular.views import SpectacularSwaggerSplitView


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI with its script in a file of its own, as our content policy requires."""

    http_method_names = ["get", "head"]
