"""Every credit with every sampler, loss and filter runs, or is refused at the start with the reason."""

import re
from collections import Counter

import pytest

from agentrl.errors import ConfigError
from agentrl.seeding import generator
from tests.agentrl.trainer.checks.composition.product import Choice, algorithms, choices, composed, is_sound, run


def walk(chosen: list[Choice]) -> Counter[str]:
    """Return how many ran and how many were refused for which reason; anything else raises."""
    counts: Counter[str] = Counter()
    ran: set[str] = set()
    for choice in chosen:
        try:
            made = composed(choice)
        except ConfigError as error:
            counts[re.sub(r"'[^']*'|\b(algorithm|sampler|over) \w+", "…", str(error).split(";")[0])] += 1
            continue
        counts["run"] += 1
        alike = f"{choice.algorithm} {made.sampler.branches} {made.loss} {made.filter}"
        if alike in ran:  # other samplers of the same kind make the same records
            continue
        ran.add(alike)
        try:
            assert is_sound(run(made)), "not finite"
        except Exception as error:
            raise AssertionError(f"{choice} was not refused, and failed later: {error!r}") from error
    return counts


def test_sampled_product() -> None:
    order = generator(1, "sample").permutation(len(everything := list(choices())))
    counts = walk([everything[index] for index in order[:300]])
    assert counts["run"] > 150 and len(counts) > 3


def test_every_algorithm_runs_as_it_comes() -> None:
    for options in algorithms():
        if "base" in options and options["base"]["name"] not in ("dapo", "vineppo", "brpo", "d3s"):
            continue
        for sampler in ("independent", "arpo", "vine"):
            try:
                made = composed(Choice(options, sampler, None, None))
            except ConfigError:
                continue
            assert is_sound(run(made))


@pytest.mark.slow
def test_whole_product(capsys: pytest.CaptureFixture[str]) -> None:
    counts = walk(list(choices()))
    with capsys.disabled():
        print(f"\n{counts.total():,} combinations")
        for reason, count in counts.most_common():
            print(f"{count:8,}  {reason}")
    assert counts["run"] > 10_000
