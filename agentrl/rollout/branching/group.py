"""The one loop behind all branching samplers: a group that grows round by round."""

import asyncio
from dataclasses import replace
from functools import partial

from agentrl.env import Outcome
from agentrl.rollout.branching.detour import Detour
from agentrl.rollout.branching.path import FRESH, Path, Start
from agentrl.rollout.branching.player import Player
from agentrl.rollout.branching.sampler import Sampler
from agentrl.rollout.episode import Accident
from agentrl.rollout.group import EpisodeSpec
from agentrl.rollout.stage import Stage
from agentrl.seeding import derive
from agentrl.types import BranchPoint, Trajectory


class GrowingGroup:
    """One group, whose paths may be forked from one another.

    The specs are its budget: path number i, in the order of creation, is played under the i-th of them (after one that
    was pruned, under its spec with another sampling seed). A group proceeds in rounds; in each, all its live paths play
    one turn side by side, then the sampler decides, path by path in the order of numbers.

    A path that an accident ended is played again with a fresh sampling seed, from its branch point or from the last
    turn at which others were forked from it; what it held is fed again. So a group has exactly as many trajectories
    with a verdict as it has specs, or is incomplete: retries ran out, or the budget of steps did.

    Args:
      stage: what it is played with.
      specs: of one group.
      sampler: decides where to branch.
      max_env_steps: steps that it may take in its environments, those lost in accidents included and shared ones
        counted once; None for no bound. When they are spent, the paths still going end as ``TRUNCATED``; where fewer
        are left than paths are going, those with the lowest numbers take them. No path begins that could not take one.

    Attributes:
      specs: one per path of the budget.
      trajectories: those with a verdict, in the order of the specs; filled by :meth:`play`.
      accidents: the record of attempts without one.
    """

    def __init__(
        self, stage: Stage, specs: list[EpisodeSpec], sampler: Sampler, max_env_steps: int | None = None
    ) -> None:
        self.specs = specs
        self.trajectories: list[Trajectory] = []
        self.accidents: list[Trajectory] = []
        self._stage = stage
        self._sampler = sampler
        self._max_env_steps = max_env_steps
        vocab_size = 0 if stage.engine.tokenizer is None else len(stage.engine.tokenizer)
        seed = derive(specs[0].sampling_seed, "group")
        self._plan = sampler.plan(len(specs), seed, vocab_size)
        self._paths: list[Path] = []
        self._players: list[Player] = []
        self._num_lost_steps = self._num_replayed = self._num_pruned = self._num_pruned_tokens = 0

    async def play(self) -> None:
        """Grow the group to its budget and play every path to its end."""
        try:
            while self._grow():
                self._cut_over_budget()
                async with asyncio.TaskGroup() as turns:
                    for path, player in zip(self._paths, self._players, strict=True):
                        if path.is_live and not player.is_over:
                            turns.create_task(player.play())
                await self._settle()
        finally:
            for player in self._players:
                await player.leave()
                player.hush()
        for path, player in zip(self._paths, self._players, strict=True):
            if not (path.is_lost or path.is_pruned):
                self.trajectories.append(self._close(path, player))

    # -- growing -----------------------------------------------------------------------------------------------------

    def _grow(self) -> bool:
        """Begin the paths that the plan asks for; return whether any is live."""
        slots = len(self.specs) - sum(not path.is_pruned for path in self._paths)
        if slots and (steps := self._steps_left()) > 0:
            live = sum(path.is_live for path in self._paths)
            starts = self._plan.grow(self._paths, slots)
            if not (starts or live):
                starts = [FRESH] * slots
            for start in starts[: max(0, min(slots, steps - live))]:
                self._begin(start)
        return any(path.is_live for path in self._paths)

    def _begin(self, start: Start) -> None:
        number, turn = len(self._paths), start.turn
        pruned = next((path.number for path in self._paths if path.is_pruned), None)
        if pruned is not None:
            number = pruned
        path = Path(number, start=turn, token=start.token, judged=turn + 1)
        player = self._make_player(path, start, self._spec(number, is_reused=pruned is not None))
        if pruned is None:
            self._paths.append(path)
            self._players.append(player)
        else:
            self._num_replayed += self._players[number].num_replayed
            self._paths[number], self._players[number] = path, player

    def _make_player(self, path: Path, start: Start, spec: EpisodeSpec) -> Player:
        """Return the player of a path that begins, its session forked and its parent noted."""
        stage, sampler, turn = self._stage, self._sampler, start.turn
        if start.parent is None:
            return Player(stage, spec)
        path.parent = start.parent if start.token is not None else self._owner(start.parent, turn)
        source, turns = self._players[path.parent], self._paths[path.parent].turns
        path.turns, detour = turns[:turn], None
        if start.token is not None:
            detour = Detour(turns[turn], start.token, partial(sampler.look, turns[turn], token=start.token))
        player = Player(stage, spec, source, turn, detour)
        try:
            player.fork_session(source)
        except Accident as accident:
            player.cut(accident.outcome, str(accident))
        return player

    def _spec(self, number: int, *, is_reused: bool) -> EpisodeSpec:
        """Return the spec of a place, with a sampling seed of its own where a pruned path had it before."""
        spec = self.specs[number]
        if not is_reused:
            return spec
        return replace(spec, sampling_seed=derive(spec.sampling_seed, "pruned", self._num_pruned))

    def _owner(self, number: int, turn: int) -> int:
        """Return the path that played the turn before ``turn`` on the way of path ``number``, or its root."""
        while turn <= self._paths[number].start and (parent := self._paths[number].parent) is not None:
            number = parent
        return number

    # -- the budget of steps -----------------------------------------------------------------------------------------

    @property
    def num_steps(self) -> int:
        """Steps taken in environments: by paths from their branch points on, and by attempts that were lost."""
        return self._num_lost_steps + sum(player.num_steps for player in self._players)

    def _steps_left(self) -> int:
        limit = self._max_env_steps
        return 2**31 if limit is None else limit - self.num_steps

    def _cut_over_budget(self) -> None:
        """End the paths that the remaining steps do not suffice for; one that has played nothing yet is an accident."""
        live = [(path, player) for path, player in zip(self._paths, self._players, strict=True) if path.is_live]
        for path, player in live[max(0, self._steps_left()) :]:
            has_played = len(player.record.trajectory.turns) > path.start
            reason = f"tool budget: the group's {self._max_env_steps} environment steps are spent"
            player.cut(Outcome.TRUNCATED if has_played else Outcome.INFRA_LOST, reason)

    # -- endings -----------------------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Take note of the round: new turns, ended paths, accidents."""
        for path, player in zip(self._paths, self._players, strict=True):
            if not path.is_live:
                continue
            path.turns = [completion for _, completion in player.record.said]
            if player.is_over:
                await player.leave()
                if player.pruned is not None:
                    self._prune(path, player)
                    continue
                path.is_live = not player.record.trajectory.outcome.is_verdict
                if path.is_live:
                    self._replace(path, player)

    def _prune(self, path: Path, player: Player) -> None:
        """Let go of a path that the sampler does not want; nothing of it was sent to an environment."""
        assert player.pruned is not None
        player.hush()
        path.is_live, path.pruned_after = False, player.pruned.after
        self._num_pruned += 1
        self._num_pruned_tokens += player.pruned.num_tokens

    def _replace(self, path: Path, player: Player) -> None:
        """Play a path again after an accident, from the last turn that others share with it; or give it up."""
        player.hush()
        self.accidents.append(self._close(path, player))
        if player.spec.attempt >= self._stage.max_retries:
            path.is_live, path.is_lost = False, True
            return
        # Who was forked inside a turn shares its beginning: the turn stays.
        forks = [fork for fork in self._paths if fork.parent == path.number and not fork.is_pruned]
        turn = max([path.start, *(fork.start + (fork.token is not None) for fork in forks)])
        path.turns, path.judged = path.turns[:turn], min(path.judged, turn + 1)
        path.decisions = [one for one in path.decisions if one["turn"] < turn + ("token" not in one)]
        self._num_lost_steps += player.num_steps
        self._num_replayed += player.num_replayed
        detour = player.detour if turn == path.start else None
        again = Player(self._stage, player.spec.retry(), player if turn else None, turn, detour)
        self._players[path.number] = again

    def _close(self, path: Path, player: Player) -> Trajectory:
        """Return the record of an attempt, with what the sampler decided on it."""
        trajectory = player.record.close()
        trajectory.kept_turns = player.start
        if path.parent is not None:
            trajectory.parent = BranchPoint(self.specs[path.parent].id, path.start)
        trajectory.extra["branching"] = {
            "sampler": self._sampler.name,
            "number": path.number,
            "token": path.token,
            "decisions": path.decisions,
            "group": {
                "budget": len(self.specs),
                "env_steps": self.num_steps,
                "replayed_env_steps": self._num_replayed + sum(player.num_replayed for player in self._players),
                "max_env_steps": self._max_env_steps,
                "pruned": self._num_pruned,
                "pruned_tokens": self._num_pruned_tokens,
                **self._plan.notes,
            },
        }
        return trajectory
