"""How this program talks to PostgreSQL, wherever that runs."""

import pytest
from django.db import connection


@pytest.mark.django_db
def test_joins_of_many_tables_are_not_weighed_in_every_order() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW join_collapse_limit")
        assert cursor.fetchone() == ("4",)
