"""What a sampler is, and the one that never branches."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pydantic
from pydantic import BaseModel, ConfigDict

from agentrl.engines.base import Completion
from agentrl.errors import ConfigError, nearest
from agentrl.rollout.branching.path import FRESH, Path, Plan, Start


class Sampler(BaseModel):
    """Base of samplers: fields are options, :meth:`plan` makes the decisions of one group.

    Attributes:
      name: the name in configurations.
      branches: whether paths are forked: then the environment must be one that can be.
      alternatives: whether it is decided from the runners-up of sampled tokens, which the engine must report.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str]
    branches: ClassVar[bool] = True
    alternatives: ClassVar[bool] = False

    @abstractmethod
    def plan(self, budget: int, seed: int, vocab_size: int) -> Plan:
        """Return the decisions of a group that is about to begin.

        Args:
          budget: M, paths of the group.
          seed: of the group's draws.
          vocab_size: ids of the policy's vocabulary.

        Raises:
          ConfigError: the options cannot be used with this budget.
        """

    def look(self, parent: Completion, branch: Completion, token: int) -> int | None:
        """Judge a branch that left its parent's turn at ``token``, when its own turn was sampled and not yet played.

        Returns:
          None to keep it; or it is pruned, and this is how many tokens after the fork that could be told.
        """
        return None


class Independent(Sampler):
    """Every path is an episode of its own, begun at once."""

    name: ClassVar[str] = "independent"
    branches: ClassVar[bool] = False

    def plan(self, budget: int, seed: int, vocab_size: int) -> Plan:
        """Return a plan that begins everything at once."""
        return _AllAtOnce()


class _AllAtOnce:
    def __init__(self) -> None:
        self.notes: dict[str, Any] = {}

    def grow(self, paths: Sequence[Path], slots: int) -> list[Start]:
        return [FRESH] * slots


def validate_sampler(kind: type[Sampler], options: Mapping[str, Any]) -> Sampler:
    """Build a sampler of one kind.

    Raises:
      ConfigError: unknown option or a value out of range; names the nearest.
    """
    try:
        return kind.model_validate(dict(options))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else kind.name
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"sampler {kind.name} has no option {key!r}{nearest(key, kind.model_fields)}") from None
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"sampler.{key}: {message[0].lower()}{message[1:]}, got {first['input']!r}") from None
