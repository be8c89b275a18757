"""Learning that ends when it no longer gets better on what it does not learn from."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf


@dataclass
class EarlyStop:
    """Looks at a held-out loss every so many steps; after `patience` looks in a row without a new best it is over.

    A new best is lower than the last one by the share `gain` of it.
    """

    loss: Callable[[], float]
    patience: int
    every: int
    gain: float
    best: float = inf
    waited: int = 0

    @property
    def over(self) -> bool:
        """Whether learning should end."""
        return self.waited >= self.patience

    def look(self, step: int) -> dict[str, float]:
        """After a step, by its number from 1: the held-out loss by its name where it is time to look, else nothing."""
        if step % self.every:
            return {}
        loss = self.loss()
        if loss < self.best * (1 - self.gain) or self.best == inf:
            self.best, self.waited = loss, 0
        else:
            self.waited += 1
        return {"held_out": loss}

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps; without any look there is no best."""
        return {} if self.best == inf else {"best": self.best, "waited": self.waited}

    def resume(self, state: dict[str, float]) -> None:
        """Takes up a checkpoint's state."""
        self.best, self.waited = state.get("best", inf), int(state.get("waited", 0))
