"""Textual-inversion files of other programs, in and out: one safetensors file, no pickle.

One text encoder: a single tensor (n, width), named after the word for diffusers and "emb_params" for AUTOMATIC1111,
Forge and ComfyUI, which take the word from the file's name. SDXL: "clip_l" and "clip_g" everywhere.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from onephoto.errors import IdentityFileError, SettingError
from onephoto.identity.file import read_tensors, write_tensors

PROGRAMS = ("diffusers", "automatic1111", "comfyui")
TWO = {"clip_l": "text_encoder", "clip_g": "text_encoder_2"}
"""What SDXL's two text encoders are called in the files."""


def write_embedding(path: Path, vectors: Mapping[str, Tensor], *, to: str, name: str, note: Mapping[str, Any]) -> None:
    """Write embeddings {encoder: (n, width)} as a program reads them, with a note in the file's metadata.

    Raises SettingError for a program that is not known here, and for a path that it would not read.
    """
    if to not in PROGRAMS:
        raise SettingError(f"--to {to}: choose one of {', '.join(PROGRAMS)}")
    if path.suffix != ".safetensors":
        raise SettingError(f"--out {path}: the file's name must end in .safetensors")
    rows = {encoder: tensor.detach().float().cpu().clone() for encoder, tensor in vectors.items()}
    if len(rows) > 1:
        tensors = {key: rows[encoder] for key, encoder in TWO.items()}
    else:
        (only,) = rows.values()
        tensors = {f"<{name}>" if to == "diffusers" else "emb_params": only}
    write_tensors(path, tensors, note)


def read_embedding(path: Path | str, widths: Mapping[str, int]) -> dict[str, Tensor]:
    """Embeddings {encoder: (n, width)}, float32, of a file of any of these programs.

    widths: {encoder: width} of the model that they are for. Raises IdentityFileError for a pickle, a file that holds
    something else, and embeddings of another model.
    """
    path = Path(path)
    if not path.is_file():
        raise IdentityFileError(f"{path}: no such file; give a textual-inversion file (.safetensors)")
    tensors, _ = read_tensors(path)
    named = {TWO.get(key, "text_encoder"): tensor for key, tensor in tensors.items()}
    rows = {encoder: tensor.reshape(-1, tensor.shape[-1]).float() for encoder, tensor in named.items() if tensor.ndim}
    if len(rows) != len(tensors) or any(tensor.ndim > 2 for tensor in tensors.values()) or not rows:
        shown = ", ".join(list(tensors)[:3])
        raise IdentityFileError(f"{path}: not a textual-inversion file (it holds {shown or 'nothing'})")
    found = {encoder: tensor.shape[1] for encoder, tensor in rows.items()}
    if found != dict(widths):
        raise IdentityFileError(
            f"{path}: made for a text encoder of width {_listed(found)}, and the model's is {_listed(widths)}; use the "
            "model that it was made for"
        )
    return rows


def _listed(widths: Mapping[str, int]) -> str:
    return " and ".join(str(width) for width in widths.values())
