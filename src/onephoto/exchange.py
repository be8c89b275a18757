"""Learned people to and from other programs, which know one ordinary embedding for a word."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from onephoto.api import backbone_of, fingerprint, generate, identity_of
from onephoto.backbone.prompts import is_name
from onephoto.core.plain import Vectors, plain_vectors
from onephoto.errors import SettingError
from onephoto.evaluate.downgrade import Loss, loss_of, nearness
from onephoto.generate.draw import DrawSettings
from onephoto.identity.embeddings import write_embedding
from onephoto.identity.file import IdentityFile, check_compatible
from onephoto.methods import get_method
from onephoto.methods.embedding import starting_rows, token_tensors

EMBEDDING = "textual-inversion"
SAID = {
    "mean": "the mean of its tokens", "values": "the mean of its V tokens", "keys": "the mean of its K tokens",
    "both": "the means of its K and V tokens, in two places",
}  # fmt: skip
"""What the ways of `plain_vectors` are called in front of a user."""


@dataclass(frozen=True)
class Export:
    """What was written: the embeddings, the way they were made ("itself" when nothing was lost) and, by way, how far
    the model's predictions move, where a model was there to ask.
    """

    vectors: Vectors
    way: str
    moved: dict[str, float]

    @property
    def message(self) -> str:
        """What the user and the file's metadata are told."""
        if self.way == "itself":
            return "the embedding itself: nothing is lost"
        far = f"; predictions move {self.moved[self.way]:.0%} of the way to the class word" if self.moved else ""
        return f"a downgrade: {SAID[self.way]}, the same for K and V at all stages{far}"


def export(identity: IdentityFile | str | Path, out: Path | str, *, to: str, model: Any = None) -> Export:
    """Write a learned person as an ordinary embedding for a program of `identity.embeddings.PROGRAMS`.

    Several tokens become their mean or, with a model to ask (see `api.backbone_of`), whatever of `plain_vectors` moves
    its predictions least. Raises SettingError for a method that changes the model's weights.
    """
    identity = identity_of(identity)
    spec = get_method(identity.method)
    if spec.change is not None:
        raise SettingError(
            f"<{identity.name}> was learned by {identity.method}, which changes the model's weights, and an embedding "
            "holds none; learn with sefi or textual-inversion to export"
        )
    table = spec.table(identity.tensors, identity.metadata)
    ways, moved = plain_vectors(table), {}
    if model is not None and len(ways) > 1:
        backbone = backbone_of(model)
        check_compatible(identity, fingerprint(backbone), backbone.model_id)
        moved = nearness(backbone, table, ways, subject=identity.subject)
    way = min(moved, key=lambda name: moved[name]) if moved else next(iter(ways))
    made = Export(ways[way], way, moved)
    base = identity.metadata.get("base", {}).get("model_id", "unknown")
    note = {
        "name": identity.name, "subject": identity.subject, "learned_by": identity.method, "base_model": base,
        "export": made.message, "way": way, "moved": moved, "consent": identity.metadata.get("consent", ""),
    }  # fmt: skip
    write_embedding(Path(out), made.vectors, to=to, name=identity.name, note=note)
    return made


def embedded_identity(identity: IdentityFile, vectors: Vectors) -> IdentityFile:
    """The same person as an ordinary embedding."""
    kept: dict[str, Any] = {key: identity.metadata[key] for key in ("base", "consent") if key in identity.metadata}
    return replace(identity, method=EMBEDDING, tensors=token_tensors(vectors), metadata=kept)


def measured_loss(
    model: Any, identity: IdentityFile, made: Export, *, photo_vector: NDArray, judge: Any, texts: Sequence[str],
    settings: DrawSettings | None = None, plain: IdentityFile | None = None,
) -> Loss:  # fmt: skip
    """ID and Prompt of a person in full and as exported, over the same prompts ("{}" for the person) and seeds.

    plain: the export as it was read back from its file; unless given it is what was written.
    """
    backbone = backbone_of(model)

    def paint(text: str, one: IdentityFile, seed: int) -> Any:
        return generate(backbone, text, [one], seeds=[seed], settings=settings)[0]

    return loss_of(
        identity, plain or embedded_identity(identity, made.vectors), texts=texts, subject=identity.subject,
        paint=paint, judge=judge, photo_vector=photo_vector,
    )  # fmt: skip


def import_embedding(path: Path | str, name: str, model: Any, *, subject: str = "person") -> IdentityFile:
    """A textual-inversion file of another program as an identity for this model (see `api.backbone_of`).

    Raises SettingError for a name that no prompt can hold, IdentityFileError for a file that is none or of another
    model.
    """
    if not is_name(name):
        raise SettingError(f"{name!r} cannot be a name; begin with a letter a-z, then letters, digits, - and _")
    backbone = backbone_of(model)
    rows = starting_rows(backbone, subject, str(path))
    base = {"model_id": backbone.model_id, "fingerprint": fingerprint(backbone)}
    metadata = {"base": base, "stages": 1, "imported_from": Path(path).name}
    return IdentityFile(name.lower(), subject, EMBEDDING, token_tensors(rows), metadata)
