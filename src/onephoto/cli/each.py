"""`onephoto learn`: photos in, identity files out, one person after another or several in one batch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from onephoto.cli.sittings import Sitting
from onephoto.errors import OnephotoError

if TYPE_CHECKING:
    from onephoto.api import Learning, LearnRequest
    from onephoto.backbone.load import Backbone
    from onephoto.identity.file import IdentityFile
    from onephoto.together import Together

SAVE_EVERY = 50
"""Steps between checkpoints."""
TOGETHER = {"mini": 8, "mini-xl": 8}
"""People in one batch unless told otherwise; 1 for models whose memory need is not known."""

Task = tuple[Sitting, "LearnRequest"]


def learn_each(
    backbone: "Backbone", tasks: Sequence[Task], *, crop: bool, resume: bool, together: int | None
) -> list[OnephotoError]:
    """Learn every sitting's person whose file is not there; what kept others from it."""
    size = together or TOGETHER.get(backbone.model_id, 1)
    waiting = []
    for sitting, request in tasks:
        if sitting.target.exists():
            typer.echo(f"{sitting.target}: there already, so left as it is; delete it to learn <{sitting.name}> again")
        else:
            waiting.append((sitting, request))
    failed: list[OnephotoError] = []
    for first in range(0, len(waiting), size):
        failed += _learn_batch(backbone, waiting[first : first + size], crop=crop, resume=resume)
    return failed


def _learn_batch(backbone: "Backbone", tasks: Sequence[Task], *, crop: bool, resume: bool) -> list[OnephotoError]:
    """The same for people who may share a batch; when a batch fails, each of them is tried alone."""
    from onephoto.together import groups

    ready: dict[Learning, Task] = {}
    failed = []
    for task in tasks:
        try:
            ready[prepared(backbone, *task, box=None, crop=crop, resume=resume)] = task
        except OnephotoError as error:
            failed.append(error)
    for group in groups(list(ready)):
        own = [ready[learning] for learning in group.learnings]
        try:
            finish(group, [sitting for sitting, _ in own])
        except OnephotoError as error:
            if len(own) == 1:
                failed.append(error)
            else:
                failed += [e for task in own for e in _learn_batch(backbone, [task], crop=crop, resume=resume)]
    return failed


def prepared(
    backbone: "Backbone", sitting: Sitting, request: "LearnRequest", *, box: tuple[int, int, int, int] | None,
    crop: bool, resume: bool,
) -> "Learning":  # fmt: skip
    """A sitting's run, about to begin or to go on."""
    from rich.console import Console

    from onephoto.api import Learning
    from onephoto.identity.photo import read_photo

    size = request.size or backbone.image_size
    photos = [
        read_photo(photo, size=size, box=box, crop=crop, subject=request.subject).image for photo in sitting.photos
    ]
    # Some methods first draw hundreds of pictures of the class.
    with Console(stderr=True).status("getting ready"):
        return Learning(backbone, photos, request, checkpoint_path=_state(sitting), resume=resume)


def finish(group: "Together", sittings: Sequence[Sitting]) -> None:
    """Learn the people of a group and write their files."""
    from onephoto.identity.file import save

    people = learned_together(group, [sitting.target.with_suffix(".log.jsonl") for sitting in sittings])
    for learning, sitting, identity in zip(group.learnings, sittings, people, strict=True):
        save(sitting.target, identity)
        _state(sitting).unlink(missing_ok=True)
        done, steps = identity.metadata["steps"], identity.metadata["settings"]["steps"]
        ended = f" in {done} of {steps} steps, after which it got no better" if done < steps else ""
        near = ", from what the model makes of photos unlike its own" if learning.strange_photos else ""
        typer.echo(f"{sitting.target}: <{identity.name}> learned{ended}{near}")
        if near and identity.subject == "person":
            typer.echo("a closer class word helps there, such as --subject woman or --subject man")


def _state(sitting: Sitting) -> Path:
    return sitting.target.with_suffix(".checkpoint")


def learned_together(group: "Together", logs: Sequence[Path | None]) -> "list[IdentityFile]":
    """Learn with a progress bar, a log line a step and checkpoints; Ctrl-C saves the runs and exits with code 130."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from onephoto.learn import log
    from onephoto.learn.stop import stop_on_interrupt

    columns = (*Progress.get_default_columns()[:3], TimeElapsedColumn(), TimeRemainingColumn())
    with stop_on_interrupt() as asked, Progress(*columns, TextColumn("loss {task.fields[loss]}")) as bar:
        count = len(group.learnings)
        task = bar.add_task("learning" if count == 1 else f"learning {count} people", total=group.steps, loss="-")
        for reports in group:
            step = max(report.step for report in reports)
            for path, report in zip(logs, reports, strict=True):
                if path is not None and report.step == step:
                    log.append(path, {"step": step, **report.losses})
            loss = sum(report.losses["loss"] for report in reports) / count
            bar.update(task, completed=step, loss=f"{loss:.4f}")
            if asked() or step % SAVE_EVERY == 0:
                for learning in group.learnings:
                    learning.save()
            if asked():
                typer.echo("stopped; the same command with --resume goes on", err=True)
                raise typer.Exit(130)
    return [learning.identity() for learning in group.learnings]


def learned(learning: "Learning", log_path: Path | None = None) -> "IdentityFile":
    """The same for one person."""
    from onephoto.together import Together

    return learned_together(Together([learning]), [log_path])[0]
