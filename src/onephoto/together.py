"""Several people learned in one batch: the model is frozen, so that one pass can serve them all."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby

from onephoto.api import Learning
from onephoto.backbone.attention import learning_attention
from onephoto.learn.fit import StepReport, fit_together, learner_of, resume
from onephoto.methods.embedding import EmbeddingMethod, joint_losses


class Together:
    """Runs of learning that take each step together; each keeps its own report, checkpoint and identity."""

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
        methods = [learning.method for learning in self.learnings if isinstance(learning.method, EmbeddingMethod)]
        learners = [
            learner_of(
                learning.method, learning.draw_batch, learning.generator,
                learning_rate=learning.settings.learning_rate, weight_decay=learning.settings.weight_decay,
            )
            for learning in self.learnings
        ]  # fmt: skip
        for learning, learner in zip(self.learnings, learners, strict=True):
            if learning.start is not None:
                resume(learning.start, learner)
        reports = fit_together(
            learners, partial(joint_losses, methods), steps=self.steps,
            learning_rate=first.settings.learning_rate, warmup=first.settings.warmup, decay=first.settings.decay,
            done=steps_done(first), within=partial(learning_attention, first.backbone),
        )  # fmt: skip
        for own in reports:
            for learning, report in zip(self.learnings, own, strict=True):
                learning.report = report
            yield own


def steps_done(learning: Learning) -> int:
    """Updates that a run begins behind."""
    return 0 if learning.start is None else learning.start.step


def groups(learnings: Sequence[Learning]) -> list[Together]:
    """Runs on one model, of requests that differ in names alone, put together as far as they can be.

    Runs that stand at other steps than others do not join them. Methods that change weights are learned alone, since
    the model can have but one person's weights at a time.
    """
    alone = [learning for learning in learnings if not isinstance(learning.method, EmbeddingMethod)]
    others = sorted((learning for learning in learnings if learning not in alone), key=steps_done)
    return [Together(list(same)) for _, same in groupby(others, steps_done)] + [Together([one]) for one in alone]
