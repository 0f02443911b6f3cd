"""Samplers that decide the shape of a group: where episodes are forked, and how many begin from the start."""

from collections.abc import Mapping
from typing import Any

from agentrl.errors import ConfigError, nearest
from agentrl.rollout.branching.entropy import Aepo as Aepo
from agentrl.rollout.branching.entropy import Arpo as Arpo
from agentrl.rollout.branching.group import GrowingGroup as GrowingGroup
from agentrl.rollout.branching.latr import Latr as Latr
from agentrl.rollout.branching.path import FRESH as FRESH
from agentrl.rollout.branching.path import Path as Path
from agentrl.rollout.branching.path import Plan as Plan
from agentrl.rollout.branching.path import Start as Start
from agentrl.rollout.branching.player import check_forkable as check_forkable
from agentrl.rollout.branching.sampler import Independent as Independent
from agentrl.rollout.branching.sampler import Sampler as Sampler
from agentrl.rollout.branching.sampler import validate_sampler
from agentrl.rollout.branching.trees import TreeGrpo as TreeGrpo
from agentrl.rollout.branching.trees import TreePo as TreePo
from agentrl.rollout.branching.vine import Vine as Vine

SAMPLERS: dict[str, type[Sampler]] = {
    kind.name: kind for kind in (Independent, Arpo, Aepo, TreeGrpo, TreePo, Latr, Vine)
}


def make_sampler(options: Mapping[str, Any]) -> Sampler:
    """Build a sampler from ``{"name": ..., option: value}``.

    Raises:
      ConfigError: no such sampler, unknown option or a value out of range; names the nearest.
    """
    name = str(options.get("name", ""))
    if name not in SAMPLERS:
        raise ConfigError(f"no sampler {name!r}{nearest(name, SAMPLERS)}")
    return validate_sampler(SAMPLERS[name], {key: value for key, value in options.items() if key != "name"})
