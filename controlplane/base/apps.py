from typing import Any

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from controlplane.base import agreed_time


class BaseConfig(AppConfig):
    name = "controlplane.base"
    label = "base"
    verbose_name = _("Audit")

    def __init__(self, app_name: str, app_module: Any) -> None:
        super().__init__(app_name, app_module)
        agreed_time.install()  # before any app's models: every app's config is made first
