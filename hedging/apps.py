from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class HedgingConfig(AppConfig):
    name = "hedging"
    verbose_name = _("Hedging")
