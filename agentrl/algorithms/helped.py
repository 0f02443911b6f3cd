"""Methods that help the policy on its way: a guide plays the first turns, or a plan is hinted."""

from typing import Any, ClassVar

from pydantic import Field

from agentrl.algorithms.grpo import GroupRelative

TEST = "tests/agentrl/rollout/test_roll_in.py"


class DatasetReset(GroupRelative):
    """Dataset reset: episodes go on from a random prefix of a demonstration.

    The demonstration is the environment's plan for the task. Differs from the paper: it has a critic, groups are
    compared here, and their members share the prefix.
    """

    name: ClassVar[str] = "dr_po"
    title: ClassVar[str] = "GRPO on episodes that go on from a prefix of a demonstration"
    paper: ClassVar[str] = "DR-PO (dataset reset), arXiv:2404.08495"
    test: ClassVar[str] = TEST

    chance: float = Field(1.0, ge=0, le=1)

    def roll_in(self) -> dict[str, Any]:
        """Return a prefix of any length, all equally likely."""
        return {"chance": self.chance, "turns": (1, 1_000_000), "guide": "solution"}


class RLGF(GroupRelative):
    """Learning from a guide's feedback, its PPO++: a guide begins some episodes, the policy goes on.

    The guide is the environment's demonstrator. Its mixture could not be checked: a half and up to eight turns are our
    choice. Differs from the paper: groups are compared in place of a critic; AggreVaTeD and D2LOLS, where the guide
    goes on from the policy's states, are not there.
    """

    name: ClassVar[str] = "rlgf"
    title: ClassVar[str] = "GRPO on episodes half of which a guide begins"
    paper: ClassVar[str] = "RLGF, arXiv:2306.11816"
    test: ClassVar[str] = TEST

    chance: float = Field(0.5, ge=0, le=1)
    most_turns: int = Field(8, ge=1)

    def roll_in(self) -> dict[str, Any]:
        """Return up to ``most_turns`` turns of the demonstrator."""
        return {"chance": self.chance, "turns": (1, self.most_turns), "guide": "expert"}


class ScafGRPO(GroupRelative):
    """Scaffolded GRPO: a group that only fails tries again with hints; the first iterations have none."""

    name: ClassVar[str] = "scaf_grpo"
    title: ClassVar[str] = "GRPO in which hints find a success for groups that only fail"
    paper: ClassVar[str] = "Scaf-GRPO, arXiv:2510.19807"
    test: ClassVar[str] = "tests/agentrl/trainer/playing/test_scaffold.py"

    levels: int = Field(4, ge=1)
    exempt: float = Field(0.15, ge=0, le=1)

    def hint_levels(self, progress: float) -> int:
        """Return ``levels`` once the exemption is over."""
        return self.levels if progress >= self.exempt else 0
