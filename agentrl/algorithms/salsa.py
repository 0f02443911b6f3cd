"""SALSA: a reference policy that is better than either of the two it is made of."""

from typing import ClassVar

from pydantic import Field

from agentrl.algorithms.base import LossSettings, Need
from agentrl.algorithms.grpo import GroupRelative


class SALSA(GroupRelative):
    """Soup-based alignment: the divergence is from the average of two supervised policies.

    The run starts from one of them, ``policy.path`` or its own warm start; ``other`` is the folder of another one of
    the same architecture and vocabulary. Differs from the paper: it is PPO there, GRPO here. Its share and coefficient
    could not be checked: a half and 0.01 are our choice.
    """

    name: ClassVar[str] = "salsa"
    title: ClassVar[str] = "GRPO held by the average of two supervised policies"
    paper: ClassVar[str] = "SALSA, arXiv:2411.01798"
    test: ClassVar[str] = "tests/agentrl/trainer/test_reference.py"
    loss: ClassVar[LossSettings] = LossSettings(kl_coef=0.01)

    other: str | None = None
    share: float = Field(0.5, ge=0, le=1)

    def required(self) -> frozenset[Need]:
        """Return that another policy is missing, where it is."""
        return frozenset({"second_policy"}) if self.other is None else frozenset()

    def soup(self) -> tuple[str, float] | None:
        """Return the other policy and its share in the reference."""
        return None if self.other is None else (self.other, self.share)
