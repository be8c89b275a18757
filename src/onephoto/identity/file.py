"""The identity file: one safetensors file a person, tensors and a JSON header, no pickle."""

import base64
import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from onephoto.errors import IdentityFileError

FORMAT_VERSION = 1
PROJECTED = 16
SAME_BASE = 0.95
"""Mean cosine of projected vocabulary rows above which two bases count as one; fine-tunes of one base stay above."""
PICKLE_SUFFIXES = (".pt", ".bin", ".pkl", ".ckpt", ".pth")
REQUIRED = ("format", "name", "subject", "method", "base")


class OtherBaseWarning(UserWarning):
    """An identity is used on a model of the same shapes that it was not learned on."""


@dataclass(frozen=True)
class IdentityFile:
    """A learned person: name (lower case), class word, method, the method's tensors, and metadata (JSON).

    metadata holds base {model_id, fingerprint}, stages, lambda, steps, seed, versions, consent, and what else is known.
    """

    name: str
    subject: str
    method: str
    tensors: dict[str, Tensor]
    metadata: dict[str, Any] = field(default_factory=dict)


def save(path: Path | str, identity: IdentityFile) -> None:
    """Write the file in one replace: a reader sees the old file or the new one, never half of it."""
    path = Path(path)
    header = {
        "format": FORMAT_VERSION, "name": identity.name, "subject": identity.subject, "method": identity.method,
    } | identity.metadata  # fmt: skip
    write_tensors(path, {name: _kept(tensor) for name, tensor in identity.tensors.items()}, header)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """A safetensors file with our header in its metadata, written in one replace; raises IdentityFileError."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(whole, partial, metadata={"onephoto": json.dumps(header)})
        os.replace(partial, path)
    except OSError as error:
        raise IdentityFileError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
    finally:
        partial.unlink(missing_ok=True)


def _kept(tensor: Tensor) -> Tensor:
    """A tensor as the file keeps it: float16 where the method chose that, else float32."""
    tensor = tensor.detach().cpu()
    return tensor if tensor.dtype == torch.float16 else tensor.float()


def load(path: Path | str) -> IdentityFile:
    """Read a file; raises IdentityFileError in one line when it is missing, damaged, a pickle, or of a later format."""
    path = Path(path)
    if not path.is_file():
        raise IdentityFileError(f"{path}: no such file; learn it first with onephoto learn")
    tensors, header = read_tensors(path)
    if header.get("format", 0) > FORMAT_VERSION:
        raise IdentityFileError(f"{path}: written by a later version; upgrade onephoto")
    missing = [key for key in REQUIRED if key not in header]
    if missing:
        raise IdentityFileError(
            f"{path}: not an identity file (no {missing[0]} in it); learn one with onephoto learn, or take another "
            "program's embedding in with onephoto import"
        )
    metadata = {key: value for key, value in header.items() if key not in REQUIRED[:4]}
    return IdentityFile(header["name"], header["subject"], header["method"], tensors, metadata)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a safetensors file and our header in it, empty where there is none; raises IdentityFileError."""
    if path.suffix in PICKLE_SUFFIXES or _pickled(path):
        raise IdentityFileError(
            f"{path}: a pickle, which can run code and is never read; load it in a program that you trust and save its "
            "tensors with safetensors.torch.save_file"
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("onephoto", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118 (not a dict)
    except (SafetensorError, ValueError) as error:
        raise IdentityFileError(f"{path}: damaged or no safetensors file; copy it again or learn it anew") from error


def _pickled(path: Path) -> bool:
    """A pickle or a zip archive of one, by its first bytes."""
    with path.open("rb") as file:
        first = file.read(4)
    return first[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") or first == b"PK\x03\x04"


def fingerprint_of(rows: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """What an identity remembers of its base: vocabulary rows {encoder: (n, width)} projected to 16 numbers each by a
    fixed random matrix (2 KB instead of 200), the widths, and a digest of the cross-attention shapes.
    """
    digest = hashlib.sha256(json.dumps(sorted(shapes.items())).encode()).hexdigest()[:16]
    projected = {name: _projected(tensor.numpy()) for name, tensor in rows.items()}
    return {
        "widths": {name: tensor.shape[1] for name, tensor in rows.items()},
        "attention": digest,
        "rows": {name: base64.b64encode(matrix.tobytes()).decode() for name, matrix in projected.items()},
    }


def _projected(rows: np.ndarray) -> np.ndarray:
    directions = np.random.default_rng(0).standard_normal((rows.shape[1], PROJECTED))
    return (rows @ directions / max(float(np.abs(rows).max()), 1e-12)).astype(np.float16)


def check_compatible(identity: IdentityFile, fingerprint: Mapping[str, Any], model_id: str) -> None:
    """Refuse a model of other shapes, naming both; warn (OtherBaseWarning) of another base of the same shapes."""
    base = identity.metadata.get("base", {})
    own, learned_on = base.get("fingerprint", {}), base.get("model_id", "an unknown model")
    if own.get("widths") != fingerprint["widths"] or own.get("attention") != fingerprint["attention"]:
        raise IdentityFileError(
            f"<{identity.name}> was learned on {learned_on} and does not fit {model_id}; use the former or learn anew"
        )
    if min(_cosine(own["rows"][name], rows) for name, rows in fingerprint["rows"].items()) < SAME_BASE:
        message = f"<{identity.name}> was learned on {learned_on}; on {model_id} the likeness may suffer"
        warnings.warn(message, OtherBaseWarning, stacklevel=2)


def _cosine(first: str, second: str) -> float:
    """Mean cosine of two sets of projected rows."""
    a, b = (
        np.frombuffer(base64.b64decode(text), np.float16).reshape(-1, PROJECTED).astype(np.float64)
        for text in (first, second)
    )
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(1) / np.maximum(lengths, 1e-12)).mean())
