"""Group-relative credit with other losses: what differs is how far a ratio may move a token."""

from typing import ClassVar, Literal

from agentrl.algorithms.base import LossSettings
from agentrl.algorithms.grpo import RLOO, GroupRelative

TEST = "tests/agentrl/losses/test_variants.py"


class DAPO(GroupRelative):
    """Decoupled clip and dynamic sampling: dropped groups are replaced, in ten rollouts at most."""

    name: ClassVar[str] = "dapo"
    title: ClassVar[str] = "GRPO with clip-higher; groups of equal returns are replaced by others"
    paper: ClassVar[str] = "DAPO, arXiv:2503.14476, sec. 3.1-3.3"
    test: ClassVar[str] = "tests/agentrl/curriculum/test_filters.py"
    loss: ClassVar[LossSettings] = LossSettings(clip_low=0.2, clip_high=0.28, dual_clip=10.0)
    filter: ClassVar[Literal["none", "dynamic_sampling", "top_variance"]] = "dynamic_sampling"
    max_refills: ClassVar[int] = 9


class GSPO(GroupRelative):
    """Group Sequence Policy Optimization. A sequence is an episode (context append) or a turn (window)."""

    name: ClassVar[str] = "gspo"
    title: ClassVar[str] = "GRPO with one ratio per sequence, clipped"
    paper: ClassVar[str] = "GSPO, arXiv:2507.18071, Eq. 5-7"
    test: ClassVar[str] = TEST
    loss: ClassVar[LossSettings] = LossSettings(
        ratio_level="sequence", clip_low=3e-4, clip_high=4e-4, dual_clip=None, aggregation="sequence_mean"
    )


class CISPO(GroupRelative):
    """Clipped importance-sampling weights: every token keeps a gradient."""

    name: ClassVar[str] = "cispo"
    title: ClassVar[str] = "GRPO with log π weighed by the clipped ratio"
    paper: ClassVar[str] = "CISPO (MiniMax-M1), arXiv:2506.13585, Eq. 4"
    test: ClassVar[str] = TEST
    loss: ClassVar[LossSettings] = LossSettings(clip_low=None, clip_high=0.2, dual_clip=None, detached=True)


class SAPO(GroupRelative):
    """Soft adaptive policy optimization: a sigmoid gate in place of the clip, and every sequence weighs the same.

    As in the paper (1/|y_i| Σ_t) and in verl ("seq-mean-token-mean"). A sequence is as for `GSPO`.
    """

    name: ClassVar[str] = "sapo"
    title: ClassVar[str] = "GRPO with a soft gate on the ratio"
    paper: ClassVar[str] = "SAPO, arXiv:2511.20347"
    test: ClassVar[str] = TEST
    loss: ClassVar[LossSettings] = LossSettings(kind="sapo", aggregation="sequence_mean")


class LOOP(RLOO):
    """Leave-one-out PPO for agents: clip to [1 / (1 + 0.1), 1 + 0.1], and every episode weighs the same.

    As in its code, whose loss is the mean over the tokens of a rollout, then over rollouts. Differs: it keeps only
    rollouts of large |A| and stops an iteration that moved too far.
    """

    name: ClassVar[str] = "loop"
    title: ClassVar[str] = "leave-one-out credit with a clip symmetric in the log ratio"
    paper: ClassVar[str] = "LOOP, arXiv:2502.01600"
    test: ClassVar[str] = TEST
    loss: ClassVar[LossSettings] = LossSettings(
        clip_low=1.0 - 1.0 / 1.1, clip_high=0.1, dual_clip=None, aggregation="episode_mean"
    )
