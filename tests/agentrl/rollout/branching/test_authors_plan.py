"""The authors' dialect of the samplers against the replay of the public code, and what it refuses."""

import math
from typing import Any

import numpy as np
import pytest

from agentrl.engines.base import Completion
from agentrl.errors import ConfigError
from agentrl.rollout.branching import Path, make_sampler
from agentrl.rollout.branching.authors import AuthorsOptions, AuthorsRollout, Segment
from agentrl.rollout.branching.authors_plan import AuthorsPlan
from agentrl.seeding import generator
from agentrl.types import StopReason

EOS, FLIP, SURE = 0, [math.log(0.5)] * 2, [0.0]
CALL = "<a>x</a>"


class World:
    """What row ``index`` says in its own segment ``number``: how many uncertain tokens, and whether it calls again."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, index: int, number: int) -> tuple[int, bool]:
        rng = generator(self.seed, "world", index, number)
        return int(rng.integers(0, 9)), bool(rng.random() < 0.7 and number < 6)


def public_rows(options: AuthorsOptions, world: World, draws: list[float]) -> tuple[list[Any], list[Any]]:
    """Return who was copied from whom after which call, and the draws, of the replayed code on one prompt."""
    active: list[int] = []
    told: dict[int, int] = {}
    waiting = iter(draws)

    def generate(rows: list[list[int]], max_tokens: int) -> list[Segment]:
        active.extend(range(len(told), len(rollout.rows)))
        assert len(rows) == len(active)
        segments = []
        for index in active.copy():
            flips, calls = world(index, told.get(index, 0))
            told[index] = told.get(index, 0) + 1
            ids = [*map(ord, CALL)] if calls else [EOS] * len(CALL)
            segments.append(Segment(ids, [FLIP] * flips + [SURE] * (len(ids) - flips), "</a>" if calls else ""))
            if not calls:
                active.remove(index)
        return segments

    rollout = AuthorsRollout(
        options,
        generate,
        lambda tag, content: "y",
        lambda: next(waiting),
        lambda text: [*map(ord, text)],
        lambda ids: "".join(map(chr, ids)),
        vocab_size=2,
        eos_id=EOS,
    )
    rollout.run([[7]])
    births = [(row.parent, [*map(chr, row.ids[: row.born])].count("x")) for row in rollout.rows]
    return births, [(draw.source, draw.uniform, draw.branched) for draw in rollout.draws]


def planned_rows(options: AuthorsOptions, world: World, draws: list[float]) -> tuple[list[Any], list[Any]]:
    """Return the same of the plan, in a loop of rounds."""
    waiting = iter(draws)
    plan = AuthorsPlan(options, lambda: next(waiting), vocab_size=2)
    paths: list[Path] = []
    while True:
        slots = options.n - len(paths)
        for start in plan.grow(paths, slots)[:slots] if slots else []:
            turns = [] if start.parent is None else paths[start.parent].turns[: start.turn]
            paths.append(Path(len(paths), start.parent, start.turn, turns))
        live = [path for path in paths if path.is_live]
        if not live:
            break
        for path in live:
            flips, path.is_live = world(path.number, len(path.turns) - path.start)
            entropies = np.array([math.log(2)] * flips + [0.0] * (len(CALL) - flips), np.float32)
            path.turns.append(Completion(np.zeros(len(CALL), np.int32), entropies, entropies, StopReason.END, 0))
    drawn = [(path.number, uniform) for path in paths for decision in path.decisions for uniform in decision["draws"]]
    return [(path.parent, path.start) for path in paths], drawn


@pytest.mark.parametrize("algorithm", ["arpo", "aepo"])
def test_the_plan_decides_as_the_public_code_on_a_batch_of_one_prompt(algorithm: Any) -> None:
    num_branches = 0
    for seed in range(150):
        rng = generator(seed, "options")
        n = int(rng.integers(1, 9))
        options = AuthorsOptions(
            algorithm,
            n=n,
            initial=int(rng.integers(1, n + 1)),
            beam=int(rng.integers(2, 4)),
            branch_probability=float(rng.uniform(0.2, 0.8)),
            entropy_weight=float(rng.uniform(0, 0.3)),
            response_length=10**6,
            call_limit=100,
            tags=("a",),
        )
        draws = rng.random(1000).tolist()
        births, public_draws = public_rows(options, World(seed), draws)
        planned, own_draws = planned_rows(options, World(seed), draws)
        assert planned == births
        assert sorted(own_draws) == sorted((source, uniform) for source, uniform, _ in public_draws)
        num_branches += sum(parent is not None for parent, _ in births)
    assert num_branches > 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "arpo", "tau": 0.3}, "dialect 'authors' has no tau"),
        ({"name": "aepo", "penalty": 0.1, "scale": "mean"}, "dialect 'authors' has no penalty, no scale"),
        ({"name": "aepo", "pre_monitoring": True}, "two episodes per group to throw them away"),
    ],
)
def test_options_that_the_public_code_lacks_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_sampler(options | {"dialect": "authors"}).plan(8, 0, 100)


def test_the_authors_dialect_needs_a_vocabulary() -> None:
    with pytest.raises(ConfigError, match="choose 'paper'"):
        make_sampler({"name": "aepo", "dialect": "authors"}).plan(8, 0, 0)
