"""The page that goes with a shared identity: a model card in Markdown, made from the file's own metadata."""

import json
import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from onephoto.identity.file import IdentityFile

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
PROJECT = "https://arxiv.org/abs/2402.00631"
LEFT_OUT = ("base", "thumbnail", "consent", "settings", "versions", "losses")
"""Metadata that the card says elsewhere, or in parts."""
PAGE = """---
library_name: onephoto
pipeline_tag: text-to-image
{base_line}tags:
- onephoto
- {method}
---

# {name}

A learned {subject} for text-to-image models: write `<{name}>` in a prompt. Learned with `onephoto` by the method
`{method}` ([the paper that it implements]({project})), on `{base}`, and for that model or its fine-tunes.

    onephoto pull {where}
    onephoto generate "a photo of <{name}> at the beach" -i {name}.safetensors --model {base}

```python
import onephoto

with onephoto.use(pipe, {identifier}="{name}.safetensors") as people:
    image = pipe(**people.prompt("a photo of <{identifier}> at the beach")).images[0]
```

## Consent

{consent}

Whoever draws with this file draws the likeness of whom it was learned from. Do so only as they have agreed to.

## How it was learned

| | |
| --- | --- |
{facts}

Photo: {photo}.
"""


def model_card(identity: IdentityFile, where: str, *, photo: bool = False) -> str:
    """The card of an identity that can be had from `where`, a hub id or a word for a folder.

    photo: whether the person's photo lies beside it.
    """
    base = short(str(identity.metadata.get("base", {}).get("model_id", "unknown")))
    consent = one_line(identity.metadata.get("consent", ""))
    kept = {key: value for key, value in identity.metadata.items() if key not in LEFT_OUT}
    # Steps are those that were done, which may be fewer than the settings'.
    parts = [*(identity.metadata.get(key) or {} for key in ("settings", "losses", "versions")), kept]
    facts = {key: value for part in parts for key, value in part.items()}
    return PAGE.format(
        base_line=f"base_model: {base}\n" if HUB_ID.fullmatch(base) else "", method=one_line(identity.method),
        name=identity.name, subject=one_line(identity.subject), project=PROJECT, base=one_line(base), where=where,
        identifier=identity.name if identity.name.isidentifier() else "somebody",
        consent=f"Noted by whoever learned it: {consent}" if consent else "No note on consent was given.",
        facts="\n".join(f"| {one_line(key)} | {one_line(short_value(value))} |" for key, value in facts.items()),
        photo="photo.jpg lies beside the file" if photo else "not part of this; the file holds none",
    )  # fmt: skip


def short(model_id: str) -> str:
    """A model's id; of a place on somebody's disk the last part alone."""
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(model_id).is_absolute() or model_id.startswith((".", "~")):
            return kind(model_id).name or model_id
    return model_id


def short_value(value: Any) -> str:
    """A value as the card shows it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return short(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def one_line(text: Any) -> str:
    """Words of anybody's as they can stand in a line or a cell of Markdown."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")
