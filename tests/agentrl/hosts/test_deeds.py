"""Whatever an environment does instead of answering becomes a fault that says so, and the host goes on."""

import asyncio
import re
from collections.abc import Iterator

import pytest

from agentrl.errors import AgentrlError
from agentrl.hosts import EnvFault, EnvHost, HostOptions, make_host
from agentrl.hosts.faults import one_line
from tests.agentrl.hosts.deeds import DEEDS, Mischief, contained

LIMITS = {"reset": 0.4, "step": 0.4, "snapshot": 0.4, "close": 0.4}
PATIENT = {"reset": 1.5, "step": 1.5, "snapshot": 1.5, "close": 1.5}


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, EnvHost]]:
    """One host of each kind for all deeds."""
    made = {
        "inline": make_host(Mischief, HostOptions("inline", LIMITS)),
        "threads": make_host(Mischief, HostOptions("threads", LIMITS)),
        "processes": make_host(Mischief, HostOptions("processes", PATIENT)),
    }
    yield made
    for host in made.values():
        host.close()


async def play(host: EnvHost, task: str) -> Exception | None:
    """Make every call once; return the fault of the first that had one."""
    env = await host.acquire()
    try:
        await env.reset(0, task)
        await env.snapshot()
        await env.solution()
        await env.step("right")
    except (EnvFault, AgentrlError) as fault:
        return fault
    finally:
        await host.release(env, is_fit=False)
    return None


def check(host: EnvHost, name: str) -> None:
    deed = DEEDS[name]
    fault = asyncio.run(play(host, name))
    if deed.reason is None:
        assert fault is None
    else:
        assert fault is not None
        text = str(fault) if isinstance(fault, EnvFault) else one_line(fault)
        assert len(text.splitlines()) == 1 and len(text) < 600
        assert re.search(deed.reason, text), text
        assert getattr(fault, "outcome", "env_error") == deed.outcome
    assert asyncio.run(play(host, "fine")) is None, "the host goes on"


@pytest.mark.parametrize("name", contained("inline"))
def test_it_is_contained_inline(name: str, hosts: dict[str, EnvHost]) -> None:
    check(hosts["inline"], name)


@pytest.mark.parametrize("name", contained("threads"))
def test_it_is_contained_in_threads(name: str, hosts: dict[str, EnvHost]) -> None:
    check(hosts["threads"], name)


@pytest.mark.parametrize("name", contained("processes"))
def test_it_is_contained_in_processes(name: str, hosts: dict[str, EnvHost]) -> None:
    check(hosts["processes"], name)


def test_there_are_as_many_as_were_tried() -> None:
    assert len(DEEDS) >= 80
