"""J · The line to an account's outbound proxy is bad: slow, cut, black. No order is doubled."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial

import pytest

from accounts.models import ExchangeAccount, ProxyProfile
from controlplane.faults.chaosproxy import ChaosProxy, chaos_proxy
from controlplane.faults.toxics import Toxic, ToxicKind, Way
from tests.clients import forget_clients
from tests.faults.conftest import Stage, place
from tests.faults.rig.arena import prove_absent
from tests.proxies import RunningProxy, http_proxy, socks_proxy

D = Decimal
FILLED, UNKNOWN = ("filled", "acknowledged"), ("submitted", "unknown")
NOT_SENT = ("failed", "none")
KINDS = {"http": partial(http_proxy, "127.0.0.1"), "socks5": partial(socks_proxy, "127.0.0.1")}


@contextmanager
def behind(stage: Stage, proxy: RunningProxy) -> Iterator[ChaosProxy]:
    """Have the stage's account go out through a proxy, with a bad network before that."""
    with chaos_proxy(proxy.port) as line:
        profile = ProxyProfile.objects.create(
            profile_id=f"pool-{proxy.scheme}", name="Pool", scheme=proxy.scheme
        )
        proxy.port = line.port
        session = proxy.session(profile)
        ExchangeAccount.objects.filter(pk=stage.account.pk).update(
            proxy_profile=profile, proxy_session=session
        )
        stage.account = ExchangeAccount.objects.for_sync().get(pk=stage.account.pk)
        forget_clients()
        yield line


@pytest.fixture(params=KINDS)
def line(request: pytest.FixtureRequest, stage: Stage) -> Iterator[ChaosProxy]:
    with KINDS[request.param]() as proxy, behind(stage, proxy) as made:
        yield made


@pytest.mark.parametrize(
    "toxic",
    [
        Toxic(ToxicKind.RESET_PEER, way=Way.DOWN),
        Toxic(ToxicKind.TIMEOUT, way=Way.DOWN, milliseconds=300),
        Toxic(ToxicKind.LIMIT_DATA, way=Way.DOWN, size=30),
    ],
    ids=lambda toxic: str(toxic.kind),
)
def test_j01_an_answer_lost_on_the_way_to_the_proxy_is_unknown_until_it_is_found(
    stage: Stage, line: ChaosProxy, toxic: Toxic
) -> None:
    assert stage.submit(stage.wish()) == FILLED
    assert line.accepted >= 1  # by the proxy, not past it
    line.add(toxic)  # on the connection that is kept: the order goes, its answer does not come
    lost = stage.wish(amount=D("0.02"))
    end = stage.submit(lost)
    sent = stage.requests("POST", "order") - 1
    assert end in ({UNKNOWN} if sent else {UNKNOWN, NOT_SENT})
    assert stage.submit(lost) == end  # asked again, nothing is sent again
    if end == UNKNOWN:
        blocked = stage.wish(amount=D("0.03"))
        assert stage.submit(blocked) == NOT_SENT
    line.clear()
    if sent:
        assert stage.look(lost).verdict == "found"
    assert stage.requests("POST", "order") == 1 + sent
    stage.sync()
    stage.verify()


@pytest.mark.parametrize(
    "toxic",
    [
        Toxic(ToxicKind.SLICER, size=1),
        Toxic(ToxicKind.LATENCY, milliseconds=80, jitter=80),
        Toxic(ToxicKind.BANDWIDTH, rate=7_000),
    ],
    ids=lambda toxic: str(toxic.kind),
)
def test_j04_a_bad_line_to_the_proxy_makes_orders_slow_and_nothing_else(
    stage: Stage, line: ChaosProxy, toxic: Toxic
) -> None:
    line.add(toxic)
    assert stage.submit(stage.wish()) == FILLED
    assert stage.sync() == "success"
    assert stage.requests("POST", "order") == 1
    stage.verify()


def test_j01_a_line_that_breaks_at_any_byte_never_doubles_an_order(
    stage: Stage, line: ChaosProxy
) -> None:
    """Each round the connection to the proxy ends some hundred bytes later than before."""
    assert stage.submit(stage.wish()) == FILLED
    for number in range(6):
        line.cut()
        line.add(Toxic(ToxicKind.LIMIT_DATA, way=Way.UP, size=60 + 130 * number))
        intent = stage.wish(amount=D(f"0.0{20 + number}"))
        before = stage.requests("POST", "order")
        end = stage.submit(intent)
        line.clear()
        line.cut()
        sent = stage.requests("POST", "order") - before
        assert sent <= 1
        prove_absent()
        assert place(intent) == (FILLED if sent else NOT_SENT)
        assert end in ({UNKNOWN, FILLED} if sent else {UNKNOWN, NOT_SENT})
        stage.sync()
    stage.verify()
