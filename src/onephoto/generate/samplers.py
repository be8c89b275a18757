"""Samplers by the names that diffusers gives them, or by short ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from onephoto.errors import SettingError

SAMPLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "dpm++": ("DPMSolverMultistepScheduler", {}),
    "dpm++-karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-a": ("EulerAncestralDiscreteScheduler", {}),
    "euler-trailing": ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"}),
    "heun": ("HeunDiscreteScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "unipc": ("UniPCMultistepScheduler", {}),
}
"""Short names: diffusers' class and the options that make it. Models distilled to few steps begin at the very last
timestep, as trailing does.
"""


@contextmanager
def sampler(pipe: Any, name: str | None) -> Iterator[None]:
    """Within, the pipeline draws with this sampler, set up like its own one, which is put back afterwards.

    None changes nothing. Raises SettingError naming those that there are.
    """
    before = pipe.scheduler
    if name is not None:
        pipe.scheduler = _made(name, before)
    try:
        yield
    finally:
        pipe.scheduler = before


def _made(name: str, before: Any) -> Any:
    import diffusers

    known = {kind for kind, _ in SAMPLERS.values()}
    kind, options = SAMPLERS.get(name, (name, {}))
    if kind not in known:
        raise SettingError(f"there is no sampler {name!r}; choose one of {', '.join(SAMPLERS)}")
    return getattr(diffusers, kind).from_config(before.config, **options)
