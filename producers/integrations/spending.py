"""What candidates cost: totals of a model, and shares of them, as fields of a completion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Spending:
    """US dollars, and tokens in and out; all 0 where nothing is known."""

    cost_usd: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0

    @classmethod
    def of_totals(cls, model: object) -> Self:
        """Return what a model object says of itself, by GEPA's names."""
        found = (getattr(model, f"total_{name}", None) or 0 for name in ("cost", "tokens_in", "tokens_out"))
        cost, tokens_in, tokens_out = found
        return cls(float(cost), int(tokens_in), int(tokens_out))

    @classmethod
    def of_calls(cls, calls: Iterable[Mapping[str, Any]]) -> Self:
        """Return the sum of model calls as DSPy and LiteLLM log them; answers from a cache cost nothing."""
        cost, tokens_in, tokens_out = 0.0, 0, 0
        for call in calls:
            if getattr(call.get("response"), "cache_hit", False):
                continue
            usage = call.get("usage") or {}
            cost += call.get("cost") or 0.0
            tokens_in += usage.get("prompt_tokens") or 0
            tokens_out += usage.get("completion_tokens") or 0
        return cls(cost, tokens_in, tokens_out)

    def since(self, earlier: Spending) -> Spending:
        """Return what was spent between two totals; 0 where one shrank, as that of a history that forgets."""
        pairs = zip(vars(self).values(), vars(earlier).values(), strict=True)
        cost, tokens_in, tokens_out = (max(0, new - old) for new, old in pairs)
        return Spending(cost, tokens_in, tokens_out)

    def shares(self, count: int) -> Iterator[Spending]:
        """Yield equal parts; those of the tokens add up to all of them."""
        for number in range(count):
            yield Spending(
                self.cost_usd / count,
                *(
                    tokens * (number + 1) // count - tokens * number // count
                    for tokens in (self.tokens_in, self.tokens_out)
                ),
            )

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a completion; what is 0 is not known, or nothing."""
        return {name: value for name, value in vars(self).items() if value}
