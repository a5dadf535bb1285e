"""Identifiers carry their time and keep the order they were made in."""

import time
from datetime import UTC, datetime, timedelta

from controlplane.kernel.ids import uuid7, uuid7_floor, uuid7_time


def test_ids_of_one_millisecond_keep_the_order_they_were_made_in() -> None:
    made = [uuid7() for _ in range(2000)]
    assert made == sorted(made)
    assert len({it.int >> 80 for it in made}) < 1000  # many shared a millisecond
    assert len({it.int & ((1 << 62) - 1) for it in made}) == 2000


def test_an_id_is_a_version_7_that_tells_its_millisecond() -> None:
    before = datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC)
    made = uuid7()
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert before <= uuid7_time(made) <= before + timedelta(seconds=60)
    assert uuid7_floor(uuid7_time(made)) <= made
