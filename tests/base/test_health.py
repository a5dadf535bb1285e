"""Health answers say yes or no and nothing else, to anybody."""

import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

pytestmark = pytest.mark.django_db


def test_anybody_may_ask_and_learns_nothing_more() -> None:
    for path in ("/healthz", "/readyz"):
        response = Client().get(path)
        assert (response.status_code, response.content) == (200, b"ok\n")


def test_missing_migration_makes_it_not_ready_but_alive() -> None:
    (latest,) = MigrationLoader(connection).graph.leaf_nodes("monitoring")
    MigrationRecorder(connection).record_unapplied(*latest)
    assert Client().get("/healthz").status_code == 200
    response = Client().get("/readyz")
    assert (response.status_code, response.content) == (503, b"not ready\n")
