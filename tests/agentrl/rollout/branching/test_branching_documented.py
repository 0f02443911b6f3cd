"""The sampler of one's own that the documentation shows works as it stands."""

import re
from pathlib import Path

from agentrl.context import make_context
from agentrl.engines.base import SamplingParams
from agentrl.rollout import Rollout, group_specs
from agentrl.rollout.branching import FRESH, Sampler, Start
from tests.agentrl.rollout.toys import Corridor, TracedEngine, byte_tokenizer, chatter

PAGE = (Path(__file__).parents[4] / "docs" / "branching.md").read_text(encoding="utf-8")


def test_a_sampler_of_ones_own() -> None:
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[-1]
    names = {"FRESH": FRESH, "Start": Start, "Sampler": Sampler}
    exec(code, names)
    context = make_context(byte_tokenizer())
    engine = TracedEngine(chatter(context.chat, "left", "right"), context.chat.tokenizer)
    sampler = names["Once"]()  # type: ignore[operator]
    with Rollout(lambda: Corridor(max_turns=4), engine, context, SamplingParams(), sampler=sampler) as play:
        members = play.collect(group_specs(["corridor-2"], 4, seed=0, iteration=0)).trajectories
    assert [one.parent and one.parent.turn for one in members] == [None, 1, 1, 1]
