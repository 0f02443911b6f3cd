"""Requests to stop."""

import signal

import pytest

from agentrl.trainer import interrupts
from agentrl.trainer.interrupts import SIGNALS, Interrupts


@pytest.mark.parametrize("signum", SIGNALS)
def test_the_first_is_a_request_and_its_echo_too_the_next_stops_at_once(
    signum: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    before = [signal.getsignal(one) for one in SIGNALS]
    with Interrupts(said.append) as requests:
        assert not requests.requested
        signal.raise_signal(signum)
        signal.raise_signal(signum)
        assert requests.requested
        monkeypatch.setattr(interrupts, "REPEAT_S", 0.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signum)
    assert said == ["interrupted: ending this step, then saving (again: stop at once)"]
    assert [signal.getsignal(one) for one in SIGNALS] == before
