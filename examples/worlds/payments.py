"""A bank's service: free JSON calls that change its state, none of them listed, and a final "done" that is judged.

pytest --agentrl-env payments:worlds/Payments-v0      (in this folder)
"""

import json
from typing import Any

import numpy as np

from agentrl import TaskRef, TextEnv, TurnResult, advance, finish, register
from agentrl.tasks import DrawnTasks

SIZES = {"train": 1000, "valid_unseen": 200}
NAMES = ("Ann", "Bob", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana")
HELP = (
    'Calls: {"tool": "find", "name": NAME}, {"tool": "close", "account": NUMBER}, '
    '{"tool": "pay", "from": NUMBER, "to": NUMBER, "amount": NUMBER}, {"tool": "done"}.'
)


def draw(rng: np.random.Generator) -> dict[str, Any]:
    """Draw three customers with their accounts and balances, and what the first owes the second."""
    names = [NAMES[index] for index in rng.permutation(len(NAMES))[:3]]
    numbers = rng.permutation(range(100, 1000))[:3].tolist()
    balances = rng.integers(10, 60, size=3).tolist()
    amount = int(rng.integers(1, balances[0] + 1))
    return {"accounts": dict(zip(names, numbers, strict=True)), "balances": balances, "amount": amount}


class PaymentsEnv(TextEnv):
    """Find two accounts, pay from one to the other, say done. A closed account is gone for good, with its money."""

    def __init__(self, *, max_turns: int | None = 12, **rest: Any) -> None:
        super().__init__(DrawnTasks(draw, SIZES), max_turns=max_turns, **rest)

    def _start(self, task: TaskRef, rng: np.random.Generator) -> str:
        self._task = self.tasks.load(task.id)
        self._numbers = list(self._task["accounts"].values())
        self._balances = dict(zip(self._numbers, self._task["balances"], strict=True))
        self._found: tuple[str, ...] = ()
        payer, payee, _ = self._task["accounts"]
        return f"{payer} owes {payee} {self._task['amount']}. {HELP}"

    def _advance(self, action: str) -> TurnResult:
        try:
            call = json.loads(action)
            tool = getattr(self, f"_tool_{call.pop('tool')}")
            return tool(**{f"{key}_" if key == "from" else key: value for key, value in call.items()})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return advance(f"No such call. {HELP}", action_valid=False)

    def _tool_find(self, name: str) -> TurnResult:
        number = self._task["accounts"][name]
        self._found = tuple(sorted({*self._found, name}))
        return advance(f"{name} has the account {number}.", score=self._progress())

    def _tool_pay(self, from_: int, to: int, amount: int) -> TurnResult:
        if from_ == to or type(amount) is not int or not 0 < amount <= self._balances[from_]:
            return advance("Refused.", action_valid=False, score=self._progress())
        self._balances[to] += amount
        self._balances[from_] -= amount
        return advance(f"Paid {amount} from {from_} to {to}.", score=self._progress())

    def _tool_close(self, account: int) -> TurnResult:
        del self._balances[account]
        return advance(f"Closed {account}.", score=self._progress())

    def _tool_done(self) -> TurnResult:
        done = self._balances == self._wanted()
        return finish("Thank you.", reward=float(done), success=done, score=1.0 if done else self._progress())

    def _wanted(self) -> dict[int, int]:
        (payer, payee, third), (one, two, three) = self._numbers, self._task["balances"]
        amount = self._task["amount"]
        return {payer: one - amount, payee: two + amount, third: three}

    def _progress(self) -> float:
        return 0.5 * sum(self._balances.get(number) == sum_ for number, sum_ in self._wanted().items()) / 3

    def _anchor_key(self) -> Any:
        return tuple(sorted(self._balances.items())), self._found, self._task["amount"]

    def _get_state(self) -> Any:
        return self._task, dict(self._balances), self._found

    def _set_state(self, state: Any) -> None:
        self._task, balances, self._found = state
        self._balances, self._numbers = dict(balances), list(self._task["accounts"].values())

    def _solve(self) -> list[str] | None:
        wanted = self._wanted()
        if self._balances.keys() != wanted.keys():
            return None  # an account is gone
        payer, payee, _ = self._task["accounts"]
        names = [name for name in (payer, payee) if name not in self._found]
        calls: list[dict[str, Any]] = [{"tool": "find", "name": name} for name in names]
        missing = {number: wanted[number] - self._balances[number] for number in wanted}
        for giver in (number for number in missing if missing[number] < 0):
            for taker in (number for number in missing if missing[number] > 0):
                amount = min(-missing[giver], missing[taker])
                if amount:
                    calls.append({"tool": "pay", "from": giver, "to": taker, "amount": amount})
                    missing[giver] += amount
                    missing[taker] -= amount
        return [json.dumps(call) for call in [*calls, {"tool": "done"}]]


register("worlds/Payments-v0", "payments:PaymentsEnv")
