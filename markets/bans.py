"""Bans of venues, told on to every process: the table, and the limiter's board over it.

A ban is written before the request that met it is answered to its caller. Its commit tells every
process that sends anything, on a thread that does nothing but listen; should that message be lost,
the table is read before a job uses a client and once a second while anything is sent. The end of a
ban is kept by the database's clock, and told as seconds left, so no two clocks are compared.
"""

import logging
from collections.abc import Mapping
from typing import Final

from django.db import DatabaseError, connection, models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from controlplane import bus
from controlplane.base.fields import TextLine
from controlplane.base.models import Entity
from controlplane.kernel.secrets import redact
from markets import groups
from markets.venues.ratelimit.limiter import limiter

logger = logging.getLogger(__name__)

MAX_REASON: Final = 300
# One statement: what is told is written, and what changes nothing is not told.
_POST: Final = f"""
    WITH told AS (
        INSERT INTO markets_venueban AS known (key, banned_until, reason, told_at)
        VALUES (%(key)s, clock_timestamp() + make_interval(secs => %(seconds)s), %(reason)s,
                clock_timestamp())
        ON CONFLICT (key) DO UPDATE SET banned_until = excluded.banned_until,
            reason = excluded.reason, told_at = excluded.told_at
        WHERE excluded.banned_until > known.banned_until
        RETURNING key
    )
    SELECT pg_notify('{bus.CHANNEL}', json_build_object(
        'group', '{groups.BANS}', 'type', 'ban.told', 'key', key, 'seconds', %(seconds)s::integer
    )::text) FROM told
"""  # noqa: S608 - names of our own
_READ: Final = """
    SELECT key, ceil(extract(epoch FROM banned_until - clock_timestamp()))::integer
    FROM markets_venueban WHERE banned_until > clock_timestamp()
"""


class VenueBan(Entity):
    """The last ban of one way to a venue: nothing is sent there until it is over.

    `key` is the venue's host and the exit or account that is banned; it holds no secret.
    """

    key = models.CharField(_("way"), max_length=200, primary_key=True)
    banned_until = models.DateTimeField(_("banned until"))
    reason = TextLine(_("the venue's words"), max_length=MAX_REASON, blank=True)
    told_at = models.DateTimeField(_("told at"))

    class Meta:
        app_label = "markets"
        verbose_name = _("venue ban")
        verbose_name_plural = _("venue bans")
        ordering = ("-banned_until", "key")
        constraints = (models.CheckConstraint(name="venueban_key_given", condition=~Q(key="")),)

    def __str__(self) -> str:
        return self.key


class BanBoard:
    """The limiter's port over the table. It is called on threads of its own, whose connections
    are not kept: a thread of a pool may not come back for long.
    """

    def post(self, key: str, seconds: int, reason: str) -> None:
        try:
            ban_post(key=key, seconds=seconds, reason=reason)
        finally:
            connection.close()

    def read(self) -> Mapping[str, int]:
        try:
            left = bans_left()
        finally:
            connection.close()
        LISTENER.ensure()
        return left


def ban_post(*, key: str, seconds: int, reason: str) -> None:
    """Write a ban that lasts `seconds` from now; never shortens one."""
    with connection.cursor() as cursor:
        kept = redact(reason)[:MAX_REASON]
        cursor.execute(_POST, {"key": key, "seconds": seconds, "reason": kept})


def bans_left() -> dict[str, int]:
    """Return the seconds left of every ban that lasts, by key."""
    with connection.cursor() as cursor:
        cursor.execute(_READ)
        return dict(cursor.fetchall())


def bans_hear() -> None:
    """Have this process know every ban that was told until now, and hear of those to come.

    Without a database nothing is heard, and a cancel may still be sent.
    """
    try:
        limiter().hear(bans_left())
        LISTENER.ensure()
    except DatabaseError as error:
        logger.warning("Bans are not to be heard of: %s", type(error).__name__)


def _told(message: bus.Message) -> None:
    """Take in a ban that was committed a moment ago; raises TypeError for what is none."""
    key, seconds = message.get("key"), message.get("seconds")
    if not (isinstance(key, str) and isinstance(seconds, int)):
        raise TypeError("No ban.")
    limiter().hear_of(key, seconds)


LISTENER: Final = bus.Listener(groups.BANS, heard=_told, connected=lambda: limiter().doubt_news())
"""Whoever looks at the table sends: it begins with a process's first look."""
