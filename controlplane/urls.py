"""HTTP routes."""

from django.contrib import admin
from django.urls import include, path
from django.utils.translation import gettext_lazy as _
from django.views.generic import RedirectView

from controlplane import health
from controlplane.metrics import MetricsView

admin.site.index_title = _("Dashboard")

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", MetricsView.as_view(), name="metrics"),
    path("api/v1/", include(("controlplane.api_urls", "api"))),
]

handler400 = "controlplane.base.api.exceptions.bad_request"
handler404 = "controlplane.base.api.exceptions.not_found"
handler500 = "controlplane.base.api.exceptions.server_error"
