"""The rollouts of ARPO's and AEPO's public code, decision by decision: to compare with it, not to train with.

The code (arXiv:2507.19849 and 2510.14545, github.com/RUC-NLPIR/ARPO) plays a batch of prompts in synchronous rounds.
:class:`AuthorsRollout` does the same on what is injected, so that a recorded run can be replayed token by token:

- ``generate(rows, max_tokens)``: all active rows, each the ids of prompt and response so far, in the order of the
  code's ``active_indices``; returns a :class:`Segment` per row.
- ``tool(tag, content)``: the text of a tool's result, "" for a failure (after its retries).
- ``draw()``: the next number of ``random.random()``; called in the order in which the code calls it.
- ``encode(text)`` and ``decode(ids)``: the tokenizer's.

The rules, numbered as in the code's rounds; each is named where it is applied:

1. All active rows generate until a closing tool tag, the end of the message, or ``max_tokens``: the *largest* budget
   left among them, at least 1. Rows may overshoot; they are cut at the very end.
2. E = - Σ p ln p / ln V over the entries of the top log-probs of a segment's first 20 tokens: truncated, not
   renormalised, a sum over tokens and not a mean; 0 without log-probs.
3. A row's initial entropy is that of the first segment ever seen under its index (place in the batch in the order of
   creation). It lives on the object and is not cleared between batches.
4. A closing tag calls a tool while calls < limit: the call counts, its input is the stripped text of the last pair of
   tags in all that was said, prompt included; a row whose input is empty ends. At the limit the row gets the
   end-of-message id, mask 1, and ends. A row cut for length goes on if it has room; one that ended the message ends.
5. A result is appended as " <result>\\n...\\n</result>", mask 0. Rows that are full after it end.
6. Branching: prompts in the order of their first active row, with n - (rows of the prompt) slots fixed before; for
   each active row min(beam - 1, slots left) draws, failed ones not repeated. A branch copies ids, mask and calls.
   ARPO: branch iff clip(u - w ΔE, 0, 1) <= b. AEPO: branch iff clip((u + w ΔE) max(0, 1 - 0.05 l), 0, 1) >= b.
7. ΔE = E_now - E_initial of the source row, where E_now is of the segment *before* the tool's result.
8. A prompt without active rows but with slots gets one row from scratch per round, after all branches.
9. At the end each prompt's first n rows by creation, the last one repeated if there are fewer.
10. Greedy decoding and validation play one row per prompt.
11. AEPO: l is per prompt, 0 at the beginning of a batch. In a round in which any prompt got a row, branch or from
    scratch, l rises by 1 for those that did and is reset for the others.
12. AEPO, where asked for: the number of initial rows is per prompt int(n σ(0.5 (H_root - H_high))) + 1, from 1 to n.
    H_root is E of a probe of 50 tokens; H_high the mean E of all segments of one further episode. Both are thrown away.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from agentrl.errors import ConfigError

Generate = Callable[[list[list[int]], int], Sequence["Segment"]]
Tool = Callable[[str, str], str]
_ENTROPY_TOKENS = 20


@dataclass(frozen=True, slots=True)
class Segment:
    """What one row generated in a round.

    Attributes:
      ids: the new ids, those of a stop string included.
      top_logprobs: for each, the log-probs of the entries that the engine returned (10, or 11 with the sampled one).
      stop: the stop string that was reached, such as ``</search>``; "" for the end of the message; None if cut for
        length.
    """

    ids: Sequence[int]
    top_logprobs: Sequence[Sequence[float]]
    stop: str | None


@dataclass(slots=True, eq=False)
class Row:
    """One rollout.

    Attributes:
      prompt: index of its prompt in the batch.
      prompt_ids: ids of the prompt.
      ids: the response so far.
      mask: 1 on generated ids, 0 on results.
      calls: tool calls so far.
      parent: index of the row it was copied from; None for one from scratch.
      born: length of the response when it was created.
    """

    prompt: int
    prompt_ids: list[int]
    ids: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    calls: int = 0
    parent: int | None = None
    born: int = 0


@dataclass(frozen=True, slots=True)
class Draw:
    """One draw of rule 6, and what came of it."""

    round: int
    prompt: int
    source: int
    uniform: float
    delta: float
    score: float
    branched: bool


@dataclass(frozen=True, slots=True)
class AuthorsOptions:
    """The code's configuration, under its values for 7B; names are ours.

    Attributes:
      algorithm: ``arpo`` or ``aepo``.
      n: rows per prompt (M).
      initial: rows per prompt at the beginning (N).
      beam: draws per active row and round, plus 1.
      branch_probability: b. In AEPO's rule a higher one means fewer branches.
      entropy_weight: w.
      response_length: most tokens of a response, results included.
      call_limit: tool calls per row.
      tags: of the tools.
      dynamic: rule 12 (AEPO).
      probe_tokens: of rule 12.
      max_model_len: of rule 12's episode, whose rows are left out at that length.
      sampling: False for greedy decoding and validation (rule 10).
    """

    algorithm: Literal["arpo", "aepo"] = "arpo"
    n: int = 16
    initial: int = 8
    beam: int = 2
    branch_probability: float = 0.5
    entropy_weight: float = 0.2
    response_length: int = 4096
    call_limit: int = 3
    tags: tuple[str, ...] = ("search", "python")
    dynamic: bool = False
    probe_tokens: int = 50
    max_model_len: int = 2**31
    sampling: bool = True

    def __post_init__(self) -> None:
        if self.dynamic and self.algorithm != "aepo":
            raise ConfigError("dynamic initial rows are AEPO's: choose algorithm='aepo'")


class AuthorsRollout:
    """Plays batches as the public code does; see the module.

    Attributes:
      initial_entropy: by row index, kept from batch to batch (rule 3).
      rows: of the last batch, in the order of creation.
      draws: of the last batch, in the order drawn.
    """

    def __init__(
        self,
        options: AuthorsOptions,
        generate: Generate,
        tool: Tool,
        draw: Callable[[], float],
        encode: Callable[[str], list[int]],
        decode: Callable[[list[int]], str],
        *,
        vocab_size: int,
        eos_id: int,
    ) -> None:
        self.options = options
        self.initial_entropy: dict[int, float] = {}
        self.rows: list[Row] = []
        self.draws: list[Draw] = []
        self._generate = generate
        self._tool = tool
        self._draw = draw
        self._encode = encode
        self._decode = decode
        self._log_vocab = math.log(vocab_size)
        self._eos_id = eos_id
        self._streak: list[int] = []
        self._round = 0

    def run(self, prompts: Sequence[Sequence[int]]) -> list[list[Row]]:
        """Play a batch and return the rows of each prompt; one that fills a place again is the same object (rule 9)."""
        n = self.options.n if self.options.sampling else 1  # rule 10
        initial = self._initial_rows(prompts, n)
        self.rows = [Row(p, list(ids)) for p, ids in enumerate(prompts) for _ in range(initial[p])]
        self.draws, self._streak, self._round = [], [0] * len(prompts), 0  # rule 11
        active = list(range(len(self.rows)))
        while active:
            entropy, going = self._advance(self.rows, active)
            for index, value in entropy.items():
                self.initial_entropy.setdefault(index, value)  # rule 3
            active = going + self._grow(going, entropy, n, len(prompts))
            self._round += 1
        for row in self.rows:
            row.ids, row.mask = row.ids[: self.options.response_length], row.mask[: self.options.response_length]
        chosen = [[row for row in self.rows if row.prompt == prompt][:n] for prompt in range(len(prompts))]
        return [rows + rows[-1:] * (n - len(rows)) for rows in chosen]  # rule 9

    # -- a round -----------------------------------------------------------------------------------------------------

    def _advance(self, rows: list[Row], active: list[int]) -> tuple[dict[int, float], list[int]]:
        """Generate and call tools; return the entropy of each active row's segment, and the rows that go on."""
        length = self.options.response_length
        max_tokens = max(1, max(length - len(rows[index].ids) for index in active))  # rule 1
        segments = self._generate([rows[index].prompt_ids + rows[index].ids for index in active], max_tokens)
        entropy, going = {}, []
        for index, segment in zip(active, segments, strict=True):
            entropy[index] = self.entropy(segment)
            if self._extend(rows[index], segment):
                going.append(index)
        return entropy, [index for index in going if len(rows[index].ids) < length]  # rule 5

    def _extend(self, row: Row, segment: Segment, *, ends_quietly: bool = False) -> bool:
        """Append a segment and the tool's result; return whether the row goes on (rules 4 and 5)."""
        row.ids += segment.ids
        row.mask += [1] * len(segment.ids)
        if segment.stop is None:
            return len(row.ids) < self.options.response_length
        if segment.stop not in [f"</{tag}>" for tag in self.options.tags]:
            return False
        if row.calls >= self.options.call_limit:
            if not ends_quietly:
                row.ids.append(self._eos_id)
                row.mask.append(1)
            return False
        tag = segment.stop.strip("</>")
        content = last_between(self._decode(row.prompt_ids + row.ids), tag)
        row.calls += 1
        if not content:
            return False
        result = self._tool(tag, content) or f"Tool({tag}) returned empty output."
        ids = self._encode(f" <result>\n{result}\n</result>")
        row.ids += ids
        row.mask += [0] * len(ids)
        return True

    def entropy(self, segment: Segment) -> float:
        """Return E of a segment (rule 2)."""
        entries = [logprob for top in segment.top_logprobs[: min(_ENTROPY_TOKENS, len(segment.ids))] for logprob in top]
        return -sum(math.exp(logprob) * logprob for logprob in entries) / self._log_vocab if entries else 0.0

    # -- branching ---------------------------------------------------------------------------------------------------

    def _grow(self, going: list[int], entropy: dict[int, float], n: int, num_prompts: int) -> list[int]:
        """Add branches (rule 6), then rows from scratch (rule 8); return their indices."""
        count = [sum(row.prompt == prompt for row in self.rows) for prompt in range(num_prompts)]
        active: dict[int, list[int]] = {}
        for index in going:
            active.setdefault(self.rows[index].prompt, []).append(index)
        new = []
        for prompt, sources in active.items():
            branches = self._branch(prompt, sources, n - count[prompt], entropy)
            new += branches
        for prompt in range(num_prompts):
            if prompt not in active and count[prompt] < n:
                new.append(Row(prompt, next(row for row in self.rows if row.prompt == prompt).prompt_ids))
        if new:  # rule 11
            got = {row.prompt for row in new}
            self._streak = [streak + 1 if prompt in got else 0 for prompt, streak in enumerate(self._streak)]
        self.rows += new
        return list(range(len(self.rows) - len(new), len(self.rows)))

    def _branch(self, prompt: int, sources: list[int], slots: int, entropy: dict[int, float]) -> list[Row]:
        new: list[Row] = []
        beam = self.options.beam if self.options.sampling else 1
        for source in sources:
            row, delta = self.rows[source], entropy[source] - self.initial_entropy[source]  # rule 7
            for _ in range(min(beam - 1, slots - len(new))):
                uniform = self._draw()
                score, branched = branch_score(self.options, uniform, delta, self._streak[prompt])
                self.draws.append(Draw(self._round, prompt, source, uniform, delta, score, branched))
                if branched:
                    copy = Row(prompt, row.prompt_ids, row.ids.copy(), row.mask.copy(), row.calls, source, len(row.ids))
                    new.append(copy)
        return new

    # -- rule 12 -----------------------------------------------------------------------------------------------------

    def _initial_rows(self, prompts: Sequence[Sequence[int]], n: int) -> list[int]:
        options = self.options
        if not options.dynamic:
            at_least = 1 if options.algorithm == "aepo" else 0
            return [max(at_least, min(options.initial, n))] * len(prompts)
        probes = self._generate([list(ids) for ids in prompts], options.probe_tokens)
        root = [self.entropy(probe) for probe in probes]
        steps = self._monitor([Row(p, list(ids)) for p, ids in enumerate(prompts)])
        high = [sum(values) / len(values) if values else root[p] for p, values in enumerate(steps)]
        share = [1 / (1 + math.exp(-0.5 * (one - other))) for one, other in zip(root, high, strict=True)]
        return [max(1, min(int(n * part) + 1, n)) for part in share]

    def _monitor(self, rows: list[Row]) -> list[list[float]]:
        """Play one episode per prompt, to be thrown away; return the entropies of its segments.

        Here the token budget is the *smallest* one left, bounded by the model's length, and nothing is appended to a
        row at its limit of calls.
        """
        limit, length = self.options.max_model_len, self.options.response_length
        steps: list[list[float]] = [[] for _ in rows]
        active = list(range(len(rows)))
        while active := [i for i in active if len(rows[i].prompt_ids) + len(rows[i].ids) < limit]:
            whole = [rows[i].prompt_ids + rows[i].ids for i in active]
            used = max(len(rows[i].ids) for i in active)
            max_tokens = max(1, min(max(1, length - used), limit - max(map(len, whole))))
            going = []
            for i, segment in zip(active, self._generate(whole, max_tokens), strict=True):
                steps[i].append(self.entropy(segment))
                if self._extend(rows[i], segment, ends_quietly=True):
                    going.append(i)
            active = going
        return steps


def branch_score(options: AuthorsOptions, uniform: float, delta: float, streak: int) -> tuple[float, bool]:
    """Return the score of a draw and whether it branches (rule 6).

    >>> branch_score(AuthorsOptions(), 0.6, 0.5, 0), branch_score(AuthorsOptions(algorithm="aepo"), 0.6, 0.0, 4)
    ((0.5, True), (0.48, False))
    """
    if options.algorithm == "arpo":
        score = min(1.0, max(0.0, uniform - options.entropy_weight * delta))
        return score, score <= options.branch_probability
    score = (uniform + options.entropy_weight * delta) * max(0.0, 1.0 - 0.05 * streak)
    score = min(1.0, max(0.0, score))
    return score, score >= options.branch_probability


def last_between(text: str, tag: str) -> str:
    """Return the stripped text of the last ``<tag>...</tag>``, "" if there is none (rule 4).

    >>> last_between("<a>1</a> <a> 2 </a>", "a")
    '2'
    """
    end = text.rfind(f"</{tag}>")
    start = text.rfind(f"<{tag}>", 0, max(end, 0))
    return "" if end < 0 or start < 0 else text[start + len(tag) + 2 : end].strip()
