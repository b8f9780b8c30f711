import gc
import weakref

import pytest

from fewer.errors import CalibrationError
from fewer.weights.relay import Relay


def relay_of(log, count=3, stops=("a", "b"), **raising):
    relay = Relay([lambda i=i: run(i) for i in range(count)])

    def run(i):
        try:
            for stop in stops:
                if raising.get("at") == (i, stop):
                    raise raising["error"]
                relay.wait(stop, (i, stop))
                log.append((i, stop))
        finally:
            log.append((i, "end"))

    return relay


def test_no_pass_goes_on_before_all_have_come():
    log = []
    for stop in relay_of(log).stops():
        assert stop.brought == [(i, stop.name) for i in range(3)]
        log.append(stop.name)
    assert log == ["a", (0, "a"), (1, "a"), (2, "a"), "b", *[e for i in range(3) for e in ((i, "b"), (i, "end"))]]


def test_ending_early_unwinds_every_pass():
    log = []
    stops = relay_of(log).stops()
    next(stops)
    stops.close()
    assert log == [(0, "end"), (1, "end"), (2, "end")]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", [(0, "a"), (1, "a"), (2, "b")])
def test_what_one_pass_raises_comes_out_and_the_others_are_unwound(error, at):
    log = []
    with pytest.raises(type(error)):
        list(relay_of(log, at=at, error=error).stops())
    started = 3 if at[1] == "b" else at[0] + 1
    assert sorted(e for e in log if e[1] == "end") == [(i, "end") for i in range(started)]


def test_passes_that_take_different_ways_are_refused_with_a_way_out():
    relay = Relay([lambda: relay.wait("a"), lambda: relay.wait("b")])
    with pytest.raises(CalibrationError, match=r'different ways through the model \(a, b\).*mode="block"'):
        list(relay.stops())
    short = Relay([lambda: short.wait("a"), lambda: None])
    with pytest.raises(CalibrationError, match="a, its end"):
        list(short.stops())


def test_passes_without_stops_and_no_passes_at_all_have_none():
    assert list(Relay([lambda: None]).stops()) == [] and list(Relay([]).stops()) == []


def test_a_relay_that_is_done_holds_nothing():
    class Thing:
        pass

    thing = Thing()
    ref = weakref.ref(thing)
    relays = []
    relays.append(Relay([lambda thing=thing: relays[0].wait("a", thing)]))
    for stop in relays[0].stops():
        stop.brought.clear()
    del thing, stop
    relays.clear()
    gc.collect()
    assert ref() is None
