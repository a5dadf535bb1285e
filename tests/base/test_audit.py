"""The context of a change is the innermost one it was made in."""

import pytest
from django.db import connection

from controlplane.base import audit
from controlplane.base.audit import Actor, Surface
from tests import factories

pytestmark = pytest.mark.django_db

OUTER = audit.register("test.outer", label="Outer")
INNER = audit.register("test.inner", label="Inner")


def test_after_an_inner_context_the_outer_one_holds_again() -> None:
    loader = Actor(name="loader", surface=Surface.COMMAND)
    syncer = Actor(name="syncer", surface=Surface.JOB)
    with audit.context(OUTER, actor=loader, reason="first"):
        factories.venue(venue_id="one")
        with audit.context(INNER, actor=syncer):
            factories.venue(venue_id="two")
        factories.venue(venue_id="three")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT venue_id, pgh_context->>'actor', pgh_context->>'action', "
            "pgh_context->>'reason' FROM markets_venueevent WHERE venue_id IN "
            "('one', 'two', 'three') ORDER BY pgh_id"
        )
        rows = cursor.fetchall()
    assert rows == [
        ("one", "loader", "test.outer", "first"),
        ("two", "syncer", "test.inner", ""),
        ("three", "loader", "test.outer", "first"),
    ]
