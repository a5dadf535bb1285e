"""The queue's worker clusters: becoming one, and noticing one that fell silent."""

import importlib
import os
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

import django_q.conf
from django.conf import settings
from django.db import DatabaseError, connections
from django.utils import timezone
from django_q.cluster import Cluster

from controlplane.base.jobs import enqueue
from controlplane.kernel.ids import uuid7_floor
from monitoring.jobs import Canary
from monitoring.models import ClusterPulse, JobRun

CANARY_SECONDS: Final = 10.0
SILENCE: Final = timedelta(seconds=60)


def names() -> tuple[str, ...]:
    """Return the clusters the product needs."""
    return (settings.Q_CLUSTER["name"], *settings.Q_CLUSTER["ALT_CLUSTERS"])


def run(name: str) -> None:
    """Be the cluster `name` until SIGTERM; returns when its workers have ended."""
    os.environ["Q_CLUSTER_NAME"] = name
    _reread_settings()
    cluster = Cluster()
    cluster.start()
    cluster.sentinel.join()


def ask(cluster: str) -> datetime:
    """Send a canary to a cluster and return when."""
    now = timezone.now()
    enqueue(Canary, cluster, cluster=cluster, asked_at=now.isoformat())
    return now


def last_sign_of_life(clusters: Collection[str]) -> Mapping[str, datetime]:
    """Return when each cluster last ran a canary or began a job, as far as it did at all.

    A cluster busy with a backlog answers canaries late, but it begins jobs.
    """
    signs = {
        pulse.cluster: pulse.heard_at for pulse in ClusterPulse.objects.filter(pk__in=clusters)
    }
    recent = JobRun.objects.filter(job_run_id__gte=uuid7_floor(timezone.now() - SILENCE))
    for cluster in clusters:
        began = recent.filter(cluster=cluster).order_by("-job_run_id").first()
        if began is not None:
            signs[cluster] = max(began.started_at, signs.get(cluster, began.started_at))
    return signs


class Watch:
    """Sends canaries every ten seconds and reports clusters unheard for a minute.

    Holds no database connection between its rounds: its process forks others.
    """

    def __init__(self, silent: Callable[[str, timedelta], None]) -> None:
        self._silent = silent
        self._next = time.monotonic() + CANARY_SECONDS
        self._since = dict.fromkeys(names(), timezone.now())
        self._asked: dict[str, datetime] = {}

    def turn(self) -> None:
        """Do a round when it is due; a database that is away is nobody's silence."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + CANARY_SECONDS
        try:
            self._round()
        except DatabaseError:
            self._since = dict.fromkeys(names(), timezone.now())
        finally:
            connections.close_all()

    def _round(self) -> None:
        signs = last_sign_of_life(names())
        for cluster in names():
            heard = max(self._since[cluster], signs.get(cluster, self._since[cluster]))
            if (silence := timezone.now() - heard) > SILENCE:
                self._since[cluster] = timezone.now()
                self._silent(cluster, silence)
            # One canary at a time: a dead cluster must not gather a flock of them.
            if cluster not in self._asked or heard >= self._asked[cluster]:
                self._asked[cluster] = ask(cluster)


def _reread_settings() -> None:
    # django-q2 reads its settings at import, which was before the fork, for the main cluster.
    in_use = django_q.conf.Conf
    fresh = importlib.reload(django_q.conf).Conf
    for name in vars(fresh):
        if name.isupper():
            setattr(in_use, name, getattr(fresh, name))
    django_q.conf.Conf = in_use
