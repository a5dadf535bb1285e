from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _


class MarketsConfig(AppConfig):
    name = "markets"
    verbose_name = _("Markets")

    def ready(self) -> None:
        from markets.bans import BanBoard
        from markets.venues.ratelimit.limiter import limiter

        limiter().share(BanBoard(), processes=settings.VENUE_PROCESSES)
