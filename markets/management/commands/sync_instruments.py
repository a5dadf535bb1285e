"""Read what venues list, now, in this process."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from controlplane.base.audit import Actor, Surface
from markets.jobs import instruments_sync
from markets.listing import InstrumentsSynced
from markets.models import Venue
from markets.venues.errors import VenueError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one venue: either what was synced or the error."""

    venue_id: str
    synced: InstrumentsSynced | None
    error: str = ""

    @property
    def is_good(self) -> bool:
        return self.synced is not None and not self.synced.refused


class Command(BaseCommand):
    help = "Sync the instruments of the venues in use, or of those named with --venue."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--venue", action="append", metavar="VENUE", help="only this venue; may be repeated"
        )
        parser.add_argument(
            "--believe",
            action="store_true",
            help=(
                "take a list with fewer than half of the contracts known; what it lacks is retired "
                "and frozen (needs --venue)"
            ),
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["believe"] and not options["venue"]:
            raise CommandError(_("Say with --venue whose list is to be believed."), returncode=2)
        venues = _chosen(options["venue"] or ())
        outcomes = list(self._counted(venues, believe=options["believe"]))
        if options["json"]:
            self.stdout.write(json.dumps({"venues": [_wire(outcome) for outcome in outcomes]}))
        else:
            self.stdout.write("\n".join(_line(outcome) for outcome in outcomes))
        if not all(outcome.is_good for outcome in outcomes):
            sys.exit(1)

    def _counted(self, venues: Sequence[Venue], *, believe: bool) -> Iterator[Outcome]:
        """Pass the outcomes on as they come; on a terminal show how far it is."""
        shown = sys.stderr.isatty()
        for done, venue in enumerate(venues, start=1):
            yield _sync(venue, believe=believe)
            if shown:
                bar = "█" * (20 * done // len(venues))
                self.stderr.write(f"\r{bar:<20} {done}/{len(venues)}", ending="")
        if shown and venues:
            self.stderr.write("")


def _chosen(names: Sequence[str]) -> list[Venue]:
    if not names:
        return list(Venue.objects.in_use())
    found = list(Venue.objects.filter(pk__in=names))
    if unknown := sorted(set(names) - {venue.pk for venue in found}):
        raise CommandError(
            _("There is no venue %(names)s.") % {"names": ", ".join(unknown)}, returncode=2
        )
    return found


def _sync(venue: Venue, *, believe: bool) -> Outcome:
    actor = Actor(name="sync_instruments", surface=Surface.COMMAND)
    try:
        return Outcome(venue.pk, instruments_sync(venue, actor=actor, believe=believe))
    except VenueError as error:
        return Outcome(venue.pk, None, error.message)


def _wire(outcome: Outcome) -> dict[str, Any]:
    synced = outcome.synced
    return {
        "venueId": outcome.venue_id,
        "created": synced and synced.created,
        "changed": synced and synced.changed,
        "unchanged": synced and synced.unchanged,
        "retired": synced and synced.retired,
        "frozen": synced and synced.frozen,
        "refused": list(synced.refused) if synced else [],
        "error": outcome.error,
    }


def _line(outcome: Outcome) -> str:
    if outcome.synced is None:
        return f"{outcome.venue_id}: {outcome.error}"
    synced = outcome.synced
    text = _(
        "%(venue)s: %(created)d new, %(changed)d changed, %(unchanged)d as before, "
        "%(retired)d retired, %(refused)d refused, %(frozen)d frozen"
    ) % {
        "venue": outcome.venue_id,
        "created": synced.created,
        "changed": synced.changed,
        "unchanged": synced.unchanged,
        "retired": synced.retired,
        "refused": len(synced.refused),
        "frozen": synced.frozen,
    }
    return "\n  ".join((text, *synced.refused))
