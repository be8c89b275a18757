"""DreamBooth (Ruiz 2022): the whole U-Net learns that a rare word before the class word means this one."""

from dataclasses import dataclass

from onephoto.backbone.load import Backbone
from onephoto.backbone.method import MethodSpec
from onephoto.backbone.weights import own_weights
from onephoto.methods.class_prior import PreservingMethod, PriorRecipe
from onephoto.methods.embedding import read_single_table
from onephoto.methods.weights import change, fixed_marks


@dataclass(frozen=True, kw_only=True)
class DreamBoothSettings(PriorRecipe):
    """The public script's settings for people: 800 steps of one sample at 5e-6, prior weight 1, 200 class pictures.

    identifier is the rare word. Unlike the paper and like the script's default, the text encoder stays frozen.
    """

    steps: int = 800
    batch_size: int = 1
    learning_rate: float = 5e-6
    weight_decay: float = 1e-2
    flip: bool = False
    identifier: str = "sks"


class DreamBooth(PreservingMethod):
    """One person, learned as a difference of every weight of the U-Net.

    L = |e - e_theta(x_t, "a photo of the face of sks person")|^2 + w |e' - e_theta(x'_t, "a photo of a person")|^2,
    where x' are class pictures that the base drew. The file keeps all differences in float16, two bytes a weight:
    1.7 GB for Stable Diffusion 1.x, 5 GB for SDXL.
    """

    name = "dreambooth"

    def __init__(self, backbone: Backbone, *, subject: str, settings: DreamBoothSettings, seed: int = 0):
        """The seed decides noise and timesteps of the class pictures."""
        marks, weights = fixed_marks(backbone, settings.identifier), own_weights(backbone.unet)
        super().__init__(backbone, subject=subject, settings=settings, marks=marks, weights=weights, seed=seed)


SPEC = MethodSpec(DreamBooth.name, DreamBooth, read_single_table, DreamBoothSettings, change)
