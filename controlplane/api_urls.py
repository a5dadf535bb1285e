"""Routes under `/api/v1/`."""

from django.urls import path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.routers import SimpleRouter

from accounts.api.urls import register as accounts
from controlplane.base.api.audit import AuditViewSet
from controlplane.base.api.auth import LoginView, LogoutView
from controlplane.base.api.docs import DocsView
from hedging.api.urls import register as hedging
from markets.api.urls import register as markets
from monitoring.api.urls import register as monitoring
from strategies.api.urls import register as strategies

router = SimpleRouter()
for register in (accounts, markets, strategies, hedging, monitoring):
    register(router)
router.register("audit", AuditViewSet, "audit")

urlpatterns = [
    path("auth/login/", LoginView.as_view(), name="login"),
    path("auth/logout/", LogoutView.as_view(), name="logout"),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", DocsView.as_view(url_name="api:schema"), name="docs"),
    *router.urls,
]
