"""A page of fifty costs as many queries as a page of one."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from controlplane.api_urls import router
from tests.api.rows import make_rows

PREFIXES = sorted(prefix for prefix, _view, _name in router.registry)
BOOKS_LIMIT = 15


@pytest.mark.parametrize("prefix", PREFIXES)
def test_list_page_costs_the_same_for_many_rows(prefix: str, api: APIClient) -> None:
    make_rows()
    few = queries(api, prefix)
    for _number in range(5):
        make_rows()
    assert queries(api, prefix) == few
    assert few <= (BOOKS_LIMIT if prefix == "books" else 2)


def queries(api: APIClient, prefix: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert api.get(f"/api/v1/{prefix}/").status_code == 200
    return len(captured)
