"""Models that cannot be used, refused by name in one line that says why, what is planned, and the way on."""

from collections.abc import Iterator, Sequence

from onephoto.errors import ModelError

USE = "use a Stable Diffusion 1.x, 2.x or SDXL model"
TRANSFORMERS = {
    "Flux": "Flux", "StableDiffusion3": "Stable Diffusion 3", "AuraFlow": "AuraFlow", "Bria": "Bria",
    "Chroma": "Chroma", "CogView": "CogView", "HiDream": "HiDream", "Hunyuan": "Hunyuan", "Lumina": "Lumina",
    "OmniGen": "OmniGen", "PixArt": "PixArt", "QwenImage": "Qwen-Image", "Sana": "Sana", "ZImage": "Z-Image",
}  # fmt: skip
"""Families whose pictures come out of a transformer, by how diffusers' pipelines of theirs begin."""
OTHERS = {
    "AnimateDiff": "AnimateDiff", "DeepFloyd": "DeepFloyd IF", "IF": "DeepFloyd IF", "Kandinsky": "Kandinsky",
    "Kolors": "Kolors", "LDM": "Latent Diffusion", "StableCascade": "Stable Cascade",
    "StableVideoDiffusion": "Stable Video Diffusion", "Wuerstchen": "Wuerstchen",
}  # fmt: skip
"""Other families, by the same."""
KEYS = {"double_blocks.": "Flux", "joint_blocks.": "Stable Diffusion 3", "cap_embedder.": "Lumina"}
"""What tells the checkpoints of transformer models from others: part of a tensor's name."""


def refuse_family(kind: str, where: str = "") -> None:
    """Raises ModelError for a pipeline class of a family that is known and not supported; where begins the line."""
    for prefix, name in TRANSFORMERS.items():
        if kind.startswith(prefix):
            raise ModelError(f"{where}{transformer_line(name)}")
    for prefix, name in OTHERS.items():
        if kind.startswith(prefix):
            raise ModelError(f"{where}{name} models are not supported, and none is planned; {USE}")


def refuse_checkpoint(where: str, keys: Sequence[str]) -> None:
    """Raises ModelError for a checkpoint whose tensors, by their names, are a transformer model's."""
    for part, name in KEYS.items():
        if any(part in key for key in keys):
            raise ModelError(f"{where}: {transformer_line(name)}")


def transformer_line(name: str) -> str:
    """Why, what is planned, and the way on."""
    return (
        f"{name} is a transformer without the cross-attention that K and V tokens go into; tokens by stage in its "
        f"joint attention are planned; {USE}"
    )


def refusal(model: str, error: Exception) -> ModelError:
    """What to say of a hub's or a folder's error."""
    causes = list(_causes(error))
    kinds, text = {type(cause).__name__ for cause in causes}, " ".join(str(cause) for cause in causes)
    if "GatedRepoError" in kinds or "gated" in text or "403" in text:
        return ModelError(
            f"{model}: its owner lets in those alone who ask; accept the terms on its page, then: hf auth login"
        )
    if "RepositoryNotFoundError" in kinds or "401" in text or "not a valid model identifier" in text:
        return ModelError(f"{model}: there is no such model, or it is private; check the name, or hf auth login")
    if {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectionError"} & kinds or "connect" in text.lower():
        return ModelError(f"{model}: not on this machine, and the hub does not answer; give a folder or go online once")
    first = next(iter(str(error).splitlines()), type(error).__name__)[:160]
    return ModelError(f"{model}: cannot be loaded ({first}); check the name or give a folder")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
