"""What a transform is: an algorithm that changes the advantages, or the rewards, of another one."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, field_validator

from agentrl.algorithms.base import Filter, LossSettings, Need, Recipe, make_recipe
from agentrl.credit.table import TurnTable
from agentrl.errors import ConfigError


class Transform(Recipe):
    """An algorithm over another: ``base`` is its name, or a mapping with its name and options.

    The base's loss, filter, refills, sampler, reference and groups stay, but for what the transform changes itself.
    """

    loss_changes: ClassVar[Mapping[str, Any]] = {}
    """What it changes of the base's loss."""
    keeps_returns: ClassVar[bool] = False
    """Whether the turns of an episode still have one number if they do in the base."""

    base: dict[str, Any] = Field(default={"name": "grpo"})
    _inner: Recipe = PrivateAttr()

    @field_validator("base", mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    def model_post_init(self, context: Any) -> None:
        """Make the base.

        Raises:
          ConfigError: its advantages are returns for a loss over groups, and turns would differ.
        """
        self._inner = make_recipe(self.base)
        if self._inner.compares_returns() and not self.keeps_returns:
            raise ConfigError(
                f"algorithm {self.name} over {self._inner.name}: its loss compares the returns of whole episodes, and "
                f"{self.name} would change them turn by turn; choose another base"
            )

    def loss_at(self, progress: float) -> LossSettings:
        """Return the base's loss with what this changes."""
        return self._inner.loss_at(progress).override(self.loss_changes)

    def filters_with(self) -> Filter:
        """Return the base's filter."""
        return self._inner.filters_with()

    def refills(self) -> int:
        """Return the base's."""
        return self._inner.refills()

    def remembered_turns(self) -> int | None:
        """Return the base's."""
        return self._inner.remembered_turns()

    def compares_returns(self) -> bool:
        """Return whether the base does."""
        return self._inner.compares_returns()

    def soup(self) -> tuple[str, float] | None:
        """Return what the base's reference is made of."""
        return self._inner.soup()

    @property
    def inner(self) -> Recipe:
        """The base."""
        return self._inner

    def required(self) -> frozenset[Need]:
        """Return what this and its base need."""
        return self.needs | self._inner.required()

    def group_by(self) -> Literal["group", "task"]:
        """Return the base's groups."""
        return self._inner.group_by()

    def samples_with(self) -> str:
        """Return its own sampler, or the base's where it has none."""
        return self.sampler if self.sampler != "independent" else self._inner.samples_with()

    def roll_in(self) -> dict[str, Any] | None:
        """Return the base's guide."""
        return self._inner.roll_in()

    def hint_levels(self, progress: float) -> int:
        """Return the base's hints."""
        return self._inner.hint_levels(progress)

    def observe(self, table: TurnTable) -> None:
        """Let the base remember."""
        self._inner.observe(table)

    @property
    def remembers(self) -> bool:
        """Whether the base does."""
        return self._inner.remembers

    def state_dict(self) -> dict[str, Any]:
        """Return what the base remembers."""
        return self._inner.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what the base remembered."""
        self._inner.load_state_dict(state)
