"""Record what a venue's stream says about the feeds named, for a paper venue to play."""

import asyncio
import json
import signal
from argparse import ArgumentParser
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import gettext as _

from controlplane.base.arguments import positive
from controlplane.base.progress import Progress
from controlplane.kernel.clock import SYSTEM_CLOCK
from markets.feeds.plans import FeedPlan, feed_plans
from markets.feeds.recording import Capture, CaptureFailed, Recorder
from markets.venues.errors import VenueError
from markets.venues.registry import VenueRegistry, dialect_facts

TURN_SECONDS: Final = 0.2
STOPS: Final[Sequence[signal.Signals]] = (signal.SIGTERM, signal.SIGINT)


class Command(BaseCommand):
    help = (
        "Record the quote streams of feeds, frame by frame, into one capture until stopped. "
        "Play it with run_paper_venue --replay FILE."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "feed", nargs="+", metavar="FEED", help="a market data feed, switched on"
        )
        parser.add_argument("--seconds", type=positive, help="stop after so long")
        parser.add_argument(
            "--out",
            type=Path,
            help="the file, gzipped when it ends in .gz; capture-<time>.txt.gz when not given",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object at the end")

    def handle(self, *args: Any, **options: Any) -> None:
        plans = _plans(dict.fromkeys(options["feed"]))
        path = options["out"] or Path(f"capture-{timezone.now():%Y%m%dT%H%M%S}.txt.gz")
        try:
            capture = Capture(path)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}", returncode=2) from None
        registry = VenueRegistry(allow_loopback=settings.ALLOW_LOOPBACK_VENUES)
        recorder = Recorder(capture, registry, clock=SYSTEM_CLOCK)
        try:
            with capture:
                asyncio.run(self._record(recorder, plans, options["seconds"]))
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}", returncode=1) from None
        except ExceptionGroup as troubles:
            raise CommandError(_trouble(troubles, path), returncode=1) from troubles
        self._report(path, capture, recorder, plans, as_json=options["json"])

    async def _record(
        self, recorder: Recorder, plans: Sequence[FeedPlan], seconds: int | None
    ) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for name in STOPS:
            loop.add_signal_handler(name, stop.set)
        recording = asyncio.create_task(recorder.run(plans))
        began = loop.time()
        with Progress(self.stderr, total=seconds or 0, label=_("Recording")) as progress:
            while not (stop.is_set() or recording.done()):
                spent = loop.time() - began
                if seconds is not None and spent >= seconds:
                    break
                progress.show(int(spent))
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), TURN_SECONDS)
        recording.cancel()
        with suppress(asyncio.CancelledError):
            await recording

    def _report(
        self,
        path: Path,
        capture: Capture,
        recorder: Recorder,
        plans: Sequence[FeedPlan],
        *,
        as_json: bool,
    ) -> None:
        quotes = {plan.feed_id: recorder.quotes[plan.feed_id] for plan in plans}
        if as_json:
            facts = {"file": str(path), "frames": capture.frames, "bytes": capture.bytes}
            self.stdout.write(json.dumps({**facts, "quotes": quotes}))
        else:
            self.stdout.write(
                _("%(path)s holds %(frames)d frames.") % {"path": path, "frames": capture.frames}
            )
        if silent := sorted(feed for feed, count in quotes.items() if not count):
            raise CommandError(
                _("No quote was heard of %(feeds)s.") % {"feeds": ", ".join(silent)}, returncode=1
            )


def _trouble(troubles: ExceptionGroup, path: Path) -> str:
    """Return what ended a recording; raises what is a bug of ours."""
    error = troubles.exceptions[0]
    if isinstance(error, VenueError):
        return error.message
    if isinstance(error, OSError | CaptureFailed):
        return f"{path}: {getattr(error, 'strerror', None) or error}"
    raise troubles


def _plans(names: Collection[str]) -> list[FeedPlan]:
    known = feed_plans()
    if unknown := sorted(set(names) - known.keys()):
        raise CommandError(
            _("There is no feed %(feeds)s that is switched on.") % {"feeds": ", ".join(unknown)},
            returncode=2,
        )
    plans = [known[name] for name in names]
    for plan in plans:
        if plan.venue_symbol is None:
            raise CommandError(
                _("%(feed)s: the venue's instruments are not known; sync them first.")
                % {"feed": plan.feed_id},
                returncode=2,
            )
        if not dialect_facts(plan.dialect).has_streams:
            raise CommandError(
                _("%(feed)s is polled and has no stream to record.") % {"feed": plan.feed_id},
                returncode=2,
            )
    if len({plan.dialect == "pacifica" for plan in plans}) > 1:
        raise CommandError(
            _("One capture holds the streams of one protocol: record Pacifica by itself."),
            returncode=2,
        )
    return plans
