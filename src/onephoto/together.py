"""Several people learned in one batch: the model is frozen, so that one pass can serve them all."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby

from onephoto.api import Learning
from onephoto.backbone.attention import learning_attention
from onephoto.learn.fit import StepReport, fit_together, learner_of, resume
from onephoto.methods.embedding import EmbeddingMethod, joint_losses


class Together:
    """Runs of learning that take each step together; each keeps its own report, checkpoint and identity.

    Who ends early leaves the others to go on; their last report stands beside those of the others.
    """

    def __init__(self, learnings: Sequence[Learning]):
        """Runs that `groups` puts together, or a single one."""
        self.learnings = list(learnings)

    @property
    def steps(self) -> int:
        """Updates of each in all."""
        return self.learnings[0].steps

    def __iter__(self) -> Iterator[list[StepReport]]:
        if len(self.learnings) == 1:
            yield from ([report] for report in self.learnings[0])
            return
        first = self.learnings[0]
        learners = [
            learner_of(
                learning.method, learning.draw_batch, learning.generator,
                learning_rate=learning.settings.learning_rate, weight_decay=learning.settings.weight_decay,
                loss_scale=learning.loss_scale,
            )
            for learning in self.learnings
        ]  # fmt: skip
        for learning, learner in zip(self.learnings, learners, strict=True):
            if learning.start is not None:
                resume(learning.start, learner)
        done, going = steps_done(first), list(zip(self.learnings, learners, strict=True))
        while done < self.steps and (going := [pair for pair in going if not pair[0].over]):
            methods = [learning.method for learning, _ in going if isinstance(learning.method, EmbeddingMethod)]
            reports = fit_together(
                [learner for _, learner in going], partial(joint_losses, methods), steps=self.steps,
                learning_rate=first.settings.learning_rate, warmup=first.settings.warmup, decay=first.settings.decay,
                done=done, within=partial(learning_attention, first.backbone),
            )  # fmt: skip
            for own in reports:
                done += 1
                for (learning, _), report in zip(going, own, strict=True):
                    learning.seen(report)
                yield [learning.report for learning in self.learnings if learning.report is not None]
                if any(learning.over for learning, _ in going):
                    break


def steps_done(learning: Learning) -> int:
    """Updates that a run begins behind."""
    return 0 if learning.start is None else learning.start.step


def groups(learnings: Sequence[Learning]) -> list[Together]:
    """Runs on one model, of requests that differ in names alone, put together as far as they can be.

    Runs that stand at other steps than others, or go on for more or fewer or at another rate, as for strange photos, or
    are over, do not join them. Methods that change weights are learned alone, since the model can have but one person's
    weights at a time.
    """
    alone = [learning for learning in learnings if not isinstance(learning.method, EmbeddingMethod)]
    others = sorted((learning for learning in learnings if learning not in alone), key=_standing)
    return [Together(list(same)) for _, same in groupby(others, _standing)] + [Together([one]) for one in alone]


def _standing(learning: Learning) -> tuple[int, int, float, bool]:
    return steps_done(learning), learning.steps, learning.settings.learning_rate, learning.over
