"""The one input of credit assignment: columns over turns, interned to integers once.

Axis suffixes: ``_N`` turns (rows, in any order), ``_M`` trajectories.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import count
from operator import itemgetter
from typing import Any, Self, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agentrl.credit.segments import BoolN, FloatN, IntN, dense, is_sorted_by, order_by, suffix_scan
from agentrl.errors import DataError

Scalar = TypeVar("Scalar", bound=np.generic)

NUMBERS = ("tokens", "entropy", "logprob", "hindsight", "step_reward")
"""Optional columns of numbers."""

ROOT = -1
"""Code that stands for what came before the first turn of an episode."""

Column = Sequence[Hashable] | NDArray[Any]
"""Keys: any hashables, and arrays, lists and mappings of them. Equal is what Python says is (``1`` and ``1.0`` are)."""


def intern(values: Column) -> tuple[IntN, Sequence[Hashable]]:
    """Return integer codes and the label of each code; every None is a key of its own ("unknown")."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iub" and values.ndim == 1:
        codes, size = dense(values.astype(np.int64, copy=False))
        labels = np.empty(size, dtype=values.dtype)
        labels[codes] = values
        return codes, labels.tolist()
    items = values.tolist() if isinstance(values, np.ndarray) else values
    code_of: defaultdict[Hashable, int] = defaultdict(count().__next__)  # a new key gets the next code
    try:
        codes = _look_up(code_of, items)
    except TypeError:
        code_of.clear()
        items = [hashable(item, row) for row, item in enumerate(items)]
        code_of.default_factory = count().__next__
        codes = _look_up(code_of, items)
    if None not in code_of:
        return codes, list(code_of)
    unknown = np.flatnonzero(codes == code_of[None])
    codes[unknown] = len(code_of) + np.arange(len(unknown))
    return codes, [*code_of, *[None] * len(unknown)]


def _look_up(code_of: Mapping[Hashable, int], items: Sequence[Hashable]) -> IntN:
    """Return the code of each item. One call of `itemgetter` for all is the fastest loop there is."""
    if len(items) < 2:  # itemgetter of one key returns no tuple
        return np.array([code_of[item] for item in items], dtype=np.int64)
    return np.fromiter(itemgetter(*items)(code_of), dtype=np.int64, count=len(items))


def hashable(value: Any, row: int) -> Hashable:
    """Return a key for a value that is none itself: arrays and lists by shape and content, mappings by their items.

    Raises:
      DataError: it is something else.
    """
    if isinstance(value, np.ndarray):
        return value.shape, tuple(value.ravel().tolist())
    if isinstance(value, list | tuple):
        return tuple(hashable(item, row) for item in value)
    if isinstance(value, dict):
        return frozenset((key, hashable(item, row)) for key, item in value.items())
    if not isinstance(value, Hashable):
        raise DataError(f"row {row} has a key of type {type(value).__name__}: keys are hashable, or arrays of numbers")
    return value


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TurnTable:
    """Columns over N turns. Make one with :meth:`from_columns`; row order is free, ``turn`` gives time.

    Attributes:
      group_N: code of the group (task and initial state), 0..num_groups-1.
      trajectory_N: code of the trajectory, 0..num_trajectories-1.
      turn_N: turn number inside the trajectory.
      reward_N: the environment's reward for the turn.
      invalid_N: True where the action could not be parsed or was impossible.
      verdict_N: False where the row says nothing about the policy: it is not scored (NaN) and enters no statistic.
      anchor_N, action_N, next_anchor_N: codes of the state before the turn, the action, the state after; or None.
      final_anchor_N: code of the state in which the trajectory ended, the same for each of its turns; or None.
      success_N: True where the trajectory reached its goal, the same for each of its turns; or None.
      text_N: code of what was seen before the turn, where states are compared by their texts; or None.
      group_labels, anchor_labels, action_labels, text_labels: what the codes stand for.
      parent_N: code of the trajectory that this one was forked from, -1 for none; or None.
      branch_turn_N: first turn that is this trajectory's own; the ones before are the parent's.
      tokens_N: sampled tokens of the turn; or None.
      entropy_N: mean token entropy of the turn, nats; or None.
      logprob_N: mean token log-prob of the turn under the old policy; or None.
      hindsight_N: the same, given how the episode ended, NaN where nobody asked; or None.
      step_reward_N: reward of the turn from someone other than the environment, beside ``reward_N``; or None.
      order_N: rows sorted by trajectory, then turn.
      left_N: for each row, how many turns follow it in its trajectory.
      is_sorted: ``order_N`` is the order of the rows.
    """

    group_N: IntN
    trajectory_N: IntN
    turn_N: IntN
    reward_N: FloatN
    invalid_N: BoolN
    verdict_N: BoolN
    anchor_N: IntN | None = None
    action_N: IntN | None = None
    next_anchor_N: IntN | None = None
    final_anchor_N: IntN | None = None
    success_N: BoolN | None = None
    text_N: IntN | None = None
    group_labels: Sequence[Hashable] = ()
    anchor_labels: Sequence[Hashable] = ()
    action_labels: Sequence[Hashable] = ()
    text_labels: Sequence[Hashable] = ()
    parent_N: IntN | None = None
    branch_turn_N: IntN | None = None
    tokens_N: FloatN | None = None
    entropy_N: FloatN | None = None
    logprob_N: FloatN | None = None
    hindsight_N: FloatN | None = None
    step_reward_N: FloatN | None = None
    order_N: IntN
    left_N: IntN
    is_sorted: bool

    @classmethod
    def from_columns(
        cls,
        *,
        group: Column,
        trajectory: Column,
        turn: ArrayLike,
        reward: ArrayLike,
        anchor: Column | None = None,
        action: Column | None = None,
        next_anchor: Column | None = None,
        final_anchor: Column | None = None,
        success: ArrayLike | None = None,
        text: Column | None = None,
        invalid: ArrayLike | None = None,
        verdict: ArrayLike | None = None,
        parent: Column | None = None,
        branch_turn: ArrayLike | None = None,
        tokens: ArrayLike | None = None,
        entropy: ArrayLike | None = None,
        logprob: ArrayLike | None = None,
        hindsight: ArrayLike | None = None,
        step_reward: ArrayLike | None = None,
    ) -> Self:
        """Intern and check the columns. All have length N; see the attributes for what each means.

        ``anchor``, ``action``, ``next_anchor`` and ``final_anchor`` may hold None for "unknown", which equals nothing,
        itself included.
        ``parent`` holds trajectories (or None for a root) and comes with ``branch_turn``.

        Raises:
          DataError: lengths differ, a turn occurs twice, a scored reward is not finite, or a trajectory has two
            groups or two parents.

        >>> table = TurnTable.from_columns(group=["q", "q"], trajectory=["a", "b"], turn=[0, 0], reward=[1, 0])
        >>> len(table), table.num_trajectories
        (2, 2)
        """
        given: dict[str, Any] = {name: value for name, value in locals().items() if name != "cls" and value is not None}
        _check_lengths(given)
        size = len(trajectory)
        numbers: dict[str, Any] = {f"{name}_N": _number(name, given[name]) for name in NUMBERS if name in given}
        reward_N = _number("reward", reward)
        turn_N = _whole("turn", turn)
        verdict_N = np.ones(size, dtype=bool) if verdict is None else np.asarray(verdict, dtype=bool)
        bad = np.flatnonzero(verdict_N & ~np.isfinite(reward_N))
        if len(bad):
            raise DataError(f"reward of row {bad[0]} is {reward_N[bad[0]]}: give a finite number, or verdict=False")
        trajectory_N, trajectory_labels = intern(trajectory)
        group_N, group_labels = intern(group)
        action_N, action_labels = (None, ()) if action is None else intern(action)
        text_N, text_labels = (None, ()) if text is None else intern(text)
        order_N, left_N, is_sorted = _layout(trajectory_N, turn_N, trajectory_labels)
        table = cls(
            group_N=group_N,
            group_labels=group_labels,
            trajectory_N=trajectory_N,
            turn_N=turn_N,
            reward_N=reward_N,
            invalid_N=np.zeros(size, dtype=bool) if invalid is None else np.asarray(invalid, dtype=bool),
            verdict_N=verdict_N,
            action_N=action_N,
            action_labels=action_labels,
            text_N=text_N,
            text_labels=text_labels,
            success_N=None if success is None else np.asarray(success, dtype=bool),
            **_states(anchor=anchor, next_anchor=next_anchor, final_anchor=final_anchor),
            **_parents(parent, branch_turn, trajectory_N, trajectory_labels),
            **numbers,
            order_N=order_N,
            left_N=left_N,
            is_sorted=is_sorted,
        )
        for name in ("group", "parent", "branch_turn", "success"):
            if name in given:
                table._check_constant(name, trajectory_labels)
        return table

    def __len__(self) -> int:
        return len(self.reward_N)

    @property
    def num_groups(self) -> int:
        """Number of groups."""
        return int(self.group_N.max(initial=-1)) + 1

    @property
    def num_trajectories(self) -> int:
        """Number of trajectories."""
        return int(self.trajectory_N.max(initial=-1)) + 1

    @property
    def first_row_M(self) -> IntN:
        """The first row, in row order, of each trajectory."""
        rows = np.empty(self.num_trajectories, dtype=np.int64)
        rows[self.trajectory_N[::-1]] = np.arange(len(self))[::-1]
        return rows

    @property
    def group_M(self) -> IntN:
        """Group of each trajectory."""
        return self._per_trajectory(self.group_N)

    @property
    def before_N(self) -> IntN:
        """Row of the same trajectory's turn before, -1 for first turns."""
        row_N = np.full(len(self), -1, dtype=np.int64)
        goes_on = np.flatnonzero(self.left_N[self.order_N[:-1]] > 0)
        row_N[self.order_N[goes_on + 1]] = self.order_N[goes_on]
        return row_N

    def in_time(self, column_N: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return a column in the order of trajectory and turn."""
        return column_N if self.is_sorted else column_N[self.order_N]

    def to_go(self, value_N: FloatN, gamma: float) -> FloatN:
        """Return the discounted sum of the values from each turn to the end of its trajectory, shape (N,)."""
        sum_N = suffix_scan(self.in_time(value_N), float(gamma), self.in_time(self.left_N))
        if self.is_sorted:
            return sum_N
        total_N = np.empty(len(self))
        total_N[self.order_N] = sum_N
        return total_N

    def look_back(self, code_N: IntN, depth: int) -> list[IntN]:
        """Return the codes of each turn, of the turn before, .. (``depth`` columns); `ROOT` before the first turn."""
        before_N, row_N = self.before_N, np.arange(len(self))
        columns = [code_N]
        for _ in range(depth - 1):
            row_N = np.where(row_N >= 0, before_N[row_N], -1)
            columns.append(np.where(row_N >= 0, code_N[row_N], ROOT))
        return columns

    def need(self, name: str) -> NDArray[Any]:
        """Return an optional column.

        Raises:
          DataError: the table was made without it.
        """
        column: NDArray[Any] | None = getattr(self, f"{name}_N")
        if column is None:
            raise DataError(f"this estimator needs the column {name!r}: pass TurnTable.from_columns({name}=...)")
        return column

    def with_reward(self, reward_N: FloatN) -> "TurnTable":
        """Return the same turns with other rewards."""
        return dataclasses.replace(self, reward_N=reward_N)

    def select(self, keep_N: BoolN) -> "TurnTable":
        """Return the table of the kept rows; codes of trajectories, and of nothing else, are renumbered."""
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            column = getattr(self, field.name)
            if field.name.endswith("_N") and column is not None:
                changes[field.name] = column[keep_N]
        old_trajectory_N = changes["trajectory_N"]
        changes["trajectory_N"], size = dense(old_trajectory_N)
        order_N, left_N, is_sorted = _layout(changes["trajectory_N"], changes["turn_N"], range(size))
        changes |= {"order_N": order_N, "left_N": left_N, "is_sorted": is_sorted}
        if self.parent_N is not None:
            changes["parent_N"] = _renumber_parents(changes["parent_N"], old_trajectory_N, self.num_trajectories)
        return dataclasses.replace(self, **changes)

    def _per_trajectory(self, column_N: IntN) -> IntN:
        """Return the value that some row of each trajectory has, shape (M,)."""
        value_M = np.empty(self.num_trajectories, dtype=np.int64)
        value_M[self.trajectory_N] = column_N
        return value_M

    def _check_constant(self, name: str, labels: Sequence[Hashable]) -> None:
        column_N = self.need(name)
        if (self._per_trajectory(column_N)[self.trajectory_N] != column_N).any():
            first_N = self.first_row_M[self.trajectory_N]
            row = int(np.flatnonzero(column_N != column_N[first_N])[0])
            raise DataError(
                f"trajectory {labels[self.trajectory_N[row]]!r} has two values of {name} (rows {first_N[row]} and "
                f"{row}): every turn of a trajectory has the same {name}; make trajectory ids unique across groups"
            )


Estimator = TypeVar("Estimator", bound=Callable[..., FloatN])


def scored_rows(estimator: Estimator) -> Estimator:
    """Make an estimator (table, ...) -> (N,) see only the rows with a verdict; the others get NaN.

    Arrays of shape (N,) among its keyword arguments are cut like the table.

    The law is ``f(table)[verdict] == f(table.select(verdict))``: a row without a verdict might as well not exist.
    """

    @wraps(estimator)
    def on_scored_rows(table: TurnTable, *args: Any, **kwargs: Any) -> FloatN:
        if table.verdict_N.all():
            return estimator(table, *args, **kwargs)
        kept_N = table.verdict_N
        columns = {k: v[kept_N] for k, v in kwargs.items() if isinstance(v, np.ndarray) and v.shape == kept_N.shape}
        result_N = np.full(len(table), np.nan)
        result_N[kept_N] = estimator(table.select(kept_N), *args, **kwargs | columns)
        return result_N

    return cast(Estimator, on_scored_rows)


Base = FloatN | Callable[[TurnTable], FloatN]
"""Advantages to transform, shape (N,), or the estimator that makes them."""


def base_advantages(table: TurnTable, base: Base, *, masked: bool = False) -> FloatN:
    """Return the advantages that ``base`` stands for; with ``masked``, NaN where it scores no turn.

    Raises:
      DataError: they are not one finite number per row.
    """
    value_N = np.asarray(base(table) if callable(base) else base, dtype=np.float64)
    if value_N.shape != (len(table),):
        raise DataError(
            f"base has shape {value_N.shape}, expected ({len(table)},): one advantage per turn of the table"
        )
    bad = np.flatnonzero(np.isinf(value_N) if masked else ~np.isfinite(value_N))
    if len(bad):
        raise DataError(f"base of row {bad[0]} is {value_N[bad[0]]}: rows with a verdict need a finite advantage")
    return value_N


def _check_lengths(columns: dict[str, Any]) -> None:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DataError(f"columns have different lengths ({listed}): give one value per turn in each")


def _number(name: str, values: ArrayLike) -> FloatN:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"column {name!r} must hold numbers: {error}") from error


def _whole(name: str, values: ArrayLike) -> IntN:
    array_N = np.asarray(values)
    if array_N.dtype.kind in "iu" and array_N.min(initial=0) >= 0:
        return array_N.astype(np.int64, copy=False)
    number_N = _number(name, array_N)
    bad = np.flatnonzero(~((number_N >= 0) & (number_N < 2**53) & (np.floor(number_N) == number_N)))
    if len(bad):
        raise DataError(f"{name} of row {bad[0]} is {number_N[bad[0]]}: turns are whole numbers from 0")
    return number_N.astype(np.int64)


def _states(**columns: Column | None) -> dict[str, Any]:
    """Intern the columns of states together, so that equal states have equal codes in all of them."""
    given = {name: column for name, column in columns.items() if column is not None}
    if not given:
        return {}
    if len(given) == 1:  # the usual case, and a list of texts is slow to copy
        codes, labels = intern(*given.values())
    elif all(isinstance(column, np.ndarray) for column in given.values()):
        codes, labels = intern(np.concatenate(list(given.values())))
    else:
        codes, labels = intern([state for column in given.values() for state in column])
    parts = np.split(codes, len(given))
    return {f"{name}_N": part for name, part in zip(given, parts, strict=True)} | {"anchor_labels": labels}


def _layout(trajectory_N: IntN, turn_N: IntN, labels: Sequence[Hashable]) -> tuple[IntN, IntN, bool]:
    """Return the rows in time order, the number of later turns of each row, and whether they are in order already.

    Raises:
      DataError: a trajectory has the same turn twice.
    """
    end_M = np.bincount(trajectory_N, minlength=len(labels)).cumsum()
    if is_sorted_by(trajectory_N, turn_N):  # as a sampler writes them
        rows = np.arange(len(turn_N))
        return rows, end_M[trajectory_N] - 1 - rows, True
    order_N = order_by(trajectory_N, turn_N)
    sorted_trajectory = trajectory_N[order_N]
    same = (sorted_trajectory[1:] == sorted_trajectory[:-1]) & (turn_N[order_N[1:]] == turn_N[order_N[:-1]])
    if same.any():
        at = int(np.flatnonzero(same)[0])
        one, two = sorted((int(order_N[at]), int(order_N[at + 1])))
        name = labels[trajectory_N[one]]
        raise DataError(f"rows {one} and {two} are both turn {turn_N[one]} of trajectory {name!r}: give each turn once")
    left_N = np.empty(len(order_N), dtype=np.int64)
    left_N[order_N] = end_M[sorted_trajectory] - 1 - np.arange(len(order_N))
    return order_N, left_N, False


def _parents(
    parent: Column | None, branch_turn: ArrayLike | None, trajectory_N: IntN, labels: Sequence[Hashable]
) -> dict[str, Any]:
    """Return the columns of the forest: parents as codes of trajectories, absent ones numbered after those present."""
    if parent is None and branch_turn is None:
        return {}
    if parent is None or branch_turn is None:
        raise DataError("parent and branch_turn describe the forest together: give both or neither")
    code_of = {label: code for code, label in enumerate(labels)}
    parent_N = np.fromiter(
        (-1 if name is None else code_of.setdefault(name, len(code_of)) for name in parent), np.int64, len(trajectory_N)
    )
    own = np.flatnonzero(parent_N == trajectory_N)
    if len(own):
        raise DataError(f"trajectory {labels[trajectory_N[own[0]]]!r} is its own parent (row {own[0]})")
    return {
        "parent_N": parent_N,
        "branch_turn_N": _whole("branch_turn", np.where(parent_N < 0, 0.0, _number("branch_turn", branch_turn))),
    }


def _renumber_parents(parent_N: IntN, kept_trajectory_N: IntN, num_trajectories: int) -> IntN:
    """Translate parents to the codes that the kept trajectories get; those that went are numbered after them."""
    kept = np.unique(kept_trajectory_N)
    gone = np.setdiff1d(parent_N[parent_N >= 0], kept)
    renamed = np.full(max(num_trajectories, int(parent_N.max(initial=-1)) + 1), -1, dtype=np.int64)
    renamed[kept] = np.arange(len(kept))
    renamed[gone] = len(kept) + np.arange(len(gone))
    return np.where(parent_N < 0, -1, renamed[parent_N])
