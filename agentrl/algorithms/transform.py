"""What a transform is: an algorithm that changes the advantages, or the rewards, of another one."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, PrivateAttr, field_validator

from agentrl.algorithms.base import Need, Recipe, make_recipe
from agentrl.credit.table import TurnTable


class Transform(Recipe):
    """An algorithm over another: ``base`` is its name, or a mapping with its name and options. The loss is its own."""

    base: dict[str, Any] = Field(default={"name": "grpo"})
    _inner: Recipe = PrivateAttr()

    @field_validator("base", mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    def model_post_init(self, context: Any) -> None:
        """Make the base."""
        self._inner = make_recipe(self.base)

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

    def state_dict(self) -> dict[str, Any]:
        """Return what the base remembers."""
        return self._inner.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what the base remembered."""
        self._inner.load_state_dict(state)
