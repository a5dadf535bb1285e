"""What each venue's requests cost, how urgent they are, and what answers tell of the use."""

import pytest

from markets.venues.fapi import limits as fapi
from markets.venues.fapi.operations import Operation as Fapi
from markets.venues.generic.limits import weight
from markets.venues.pacifica import limits as pacifica
from markets.venues.pacifica.api import Operation as Pacifica
from markets.venues.ratelimit.terms import Cost, Kind, Limit, Scope, Told


@pytest.mark.parametrize("operation", Fapi)
def test_every_fapi_operation_has_a_weight(operation: Fapi) -> None:
    assert fapi.cost(operation, {}).weight >= 1


@pytest.mark.parametrize("operation", Pacifica)
def test_every_pacifica_operation_costs_credits(operation: Pacifica) -> None:
    assert pacifica.cost(operation.value, {}).weight >= 5


def test_what_lowers_risk_is_urgent_and_only_that() -> None:
    urgent = {item for item in Fapi if fapi.cost(item, {}).kind is Kind.URGENT}
    assert urgent == {Fapi.CANCEL, Fapi.CANCEL_ALL, Fapi.DEAD_MAN_TIMER}
    assert fapi.cost(Fapi.PLACE, {}) == Cost(Kind.ORDER, 1, orders=1)
    assert fapi.cost(Fapi.PLACE, {"reduceOnly": "true"}) == Cost(Kind.URGENT, 1, orders=1)
    urgent_paths = {item for item in Pacifica if pacifica.cost(item.value, {}).kind is Kind.URGENT}
    assert urgent_paths == {Pacifica.CANCEL, Pacifica.CANCEL_ALL}
    create = Pacifica.CREATE.value
    assert pacifica.cost(create, {"reduce_only": False}) == Cost(Kind.ORDER, 10, orders=1)
    assert pacifica.cost(create, {"reduce_only": True}) == Cost(Kind.URGENT, 10, orders=1)


def test_headers_of_a_fapi_answer_tell_the_use_until_the_venues_own_minute_ends() -> None:
    headers = {
        "X-MBX-USED-WEIGHT-1M": "1234",
        "X-MBX-ORDER-COUNT-10S": "7",
        "X-MBX-ORDER-COUNT-1M": "70",
        "X-MBX-USED-WEIGHT-1H": "9",
        "Content-Type": "application/json",
    }
    assert fapi.told(headers, now_ms=60_000 * 1000 + 43_500) == [
        Told(Scope.EXIT, 60, 1234, 17),
        Told(Scope.ORDERS, 10, 7, 7),
        Told(Scope.ORDERS, 60, 70, 17),
    ]
    assert fapi.told({"X-MBX-USED-WEIGHT-1M": "many"}, now_ms=0) == []


def test_limits_that_exchange_info_lists_are_read() -> None:
    body = b"""{"rateLimits": [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
        {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 1}
    ], "symbols": []}"""
    assert fapi.listed(body) == [Limit(Scope.EXIT, 6000, 60), Limit(Scope.ORDERS, 300, 10)]
    assert fapi.listed(b"<html>") == ()


def test_credits_of_pacifica_are_told_by_what_is_left_of_the_quota() -> None:
    headers = {
        "ratelimit": '"credits";r=1180;t=40',
        "ratelimit-policy": '"credits";q=1250;w=60',
    }
    assert pacifica.told(headers, Scope.EXIT) == [Told(Scope.EXIT, 60, 70, 40, 1250)]
    assert pacifica.told({"ratelimit": "r=3"}, Scope.EXIT) == ()


def test_ccxt_costs_are_counted_in_whole_hundredths_and_never_as_nothing() -> None:
    assert [weight(cost) for cost in (1, 0.3333, 0, "2.5")] == [100, 34, 1, 250]
