"""Textual Inversion (Gal 2022): one embedding, or n in a row, learned under the plain denoising loss."""

from dataclasses import dataclass

from onephoto.backbone.load import Backbone
from onephoto.backbone.method import MethodSpec
from onephoto.core.tokens import class_rows
from onephoto.errors import SettingError
from onephoto.methods.embedding import LearnedRows, read_single_table, starting_rows
from onephoto.methods.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class TextualInversionSettings(Recipe):
    """The public script's defaults: 3000 steps of 4 samples at 5e-4, which it scales by the batch to 2e-3.

    num_vectors is the number n of prompt tokens; start a file of embeddings to begin at, all of which are learned on.
    Unlike the script, which draws a sentence from a list at each step, it learns in one sentence, the one that ours
    learns in, so that the two differ in the method alone.
    """

    steps: int = 3000
    batch_size: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    num_vectors: int = 1
    start: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_vectors < 1:
            raise SettingError(f"num_vectors is {self.num_vectors}; it must be 1 or more")


class TextualInversion(LearnedRows):
    """One person, learned as n embeddings for each text encoder, begun at the class word or at a file's."""

    name = "textual-inversion"

    def __init__(self, backbone: Backbone, *, subject: str, settings: TextualInversionSettings, seed: int = 0):
        """Nothing is drawn at random, so the seed is of no account."""
        start = starting_rows(backbone, subject, settings.start)
        if settings.start is None:
            start = {name: class_rows(rows, settings.num_vectors) for name, rows in start.items()}
        super().__init__(backbone, start, subject=subject, settings=settings)


SPEC = MethodSpec(TextualInversion.name, TextualInversion, read_single_table, TextualInversionSettings)
