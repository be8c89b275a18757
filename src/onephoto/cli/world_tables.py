"""Tables of what `onephoto world judge` measured."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from onephoto.evaluate.world_judge import Verdict

COLUMNS = ("faces found", "same", "different", "AUC", "EER", "threshold")


def tables(verdicts: Mapping[str, "Verdict"]) -> list[Table]:
    """One table of all sets of pictures, then one of groups for each set."""
    overall = Table("pictures", "count", *COLUMNS, title="dlib on the people of the world")
    for name, verdict in verdicts.items():
        parted = verdict.separation
        numbers = (parted.same, parted.different, parted.auc, parted.eer, parted.threshold)
        overall.add_row(name, str(verdict.pictures), f"{verdict.found:.1%}", *(f"{number:.3f}" for number in numbers))
    return [overall, *(_groups(name, verdict) for name, verdict in verdicts.items())]


def _groups(name: str, verdict: "Verdict") -> Table:
    """Groups of one set; differences are points above or below the whole set."""
    table = Table("group", "", "pictures", "faces found", "", "AUC", "", "AUC within", title=name)
    for group in verdict.groups:
        table.add_row(
            group.kind, group.word, str(group.pictures), f"{group.found:.1%}",
            f"{100 * (group.found - verdict.found):+.1f}", f"{group.auc:.3f}",
            f"{100 * (group.auc - verdict.separation.auc):+.1f}", f"{group.auc_within:.3f}",
        )  # fmt: skip
    return table
