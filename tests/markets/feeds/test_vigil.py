"""When a connection must end: silence, channels that owe a word, and age."""

import pytest

from markets.feeds.vigil import ChannelVigil, StreamCut, Vigil
from markets.venues.sockets import Channels


def said(cut: StreamCut | None) -> tuple[str, bool] | None:
    return None if cut is None else (str(cut), cut.is_planned)


def test_connection_ends_when_a_channel_stays_silent_and_says_which() -> None:
    channels = Channels(["bbo BTC", "bbo ETH"], seconds=3)
    vigil = Vigil(100.0, channels, life=1000)
    channels.spoke("bbo ETH")
    channels.spoke("bbo SOL")
    assert vigil.next_look(101.0) == 2.0
    assert vigil.verdict(102.9) is None
    assert said(vigil.verdict(103.0)) == ("not a word from bbo BTC within 3 s", False)
    channels.spoke("bbo BTC")
    assert vigil.verdict(103.0) is None
    assert vigil.next_look(103.0) == 997.0


def test_silence_counts_from_the_last_data() -> None:
    vigil = Vigil(100.0, Channels(), life=1000, silence=10)
    vigil.heard = 105.0
    assert vigil.next_look(107.0) == 8.0
    assert vigil.verdict(114.9) is None
    assert said(vigil.verdict(115.0)) == ("no data for 10 s", False)


@pytest.mark.parametrize(("now", "cut"), [(999.9, None), (1000.0, ("its time was up", True))])
def test_old_connection_ends_by_plan(now: float, cut: tuple[str, bool] | None) -> None:
    vigil = Vigil(0.0, Channels(), life=1000, silence=5000)
    assert said(vigil.verdict(now)) == cut


def test_channel_on_a_shared_socket_is_asked_for_anew_later_and_later() -> None:
    vigil = ChannelVigil(3.0, 10.0)
    assert vigil.verdict(1000.0) is None  # never asked for
    waited = []
    now = 0.0
    for _ in range(8):
        vigil.ask(now)
        began = now
        while vigil.verdict(now) is None:
            now += 0.5
        waited.append(now - began)
    assert waited == [3.0, 6.0, 12.0, 24.0, 48.0, 60.0, 60.0, 60.0]
    assert vigil.verdict(now) == "not a word within 3 s"


def test_channel_that_spoke_is_waited_for_as_at_first() -> None:
    vigil = ChannelVigil(3.0, 10.0)
    vigil.ask(0.0)
    vigil.ask(3.0)
    vigil.is_proven, vigil.heard = True, 5.0
    assert [vigil.verdict(14.9), vigil.verdict(15.0)] == [None, "no data for 10 s"]
    vigil.ask(15.0)
    assert vigil.tries == 0
    vigil.forget()
    assert vigil.verdict(99.0) is None
