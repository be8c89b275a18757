"""Custom Diffusion (Kumari 2022): a new word before the class word, and how the U-Net reads words."""

from dataclasses import dataclass

from onephoto.backbone.load import Backbone
from onephoto.backbone.method import MethodSpec
from onephoto.methods.class_prior import PreservingMethod, PriorRecipe
from onephoto.methods.embedding import read_single_table
from onephoto.methods.weights import change, learned_marks


@dataclass(frozen=True, kw_only=True)
class CustomDiffusionSettings(PriorRecipe):
    """The public script's settings: 250 steps on two GPUs with two samples each, prior weight 1, 200 class pictures.

    Its rate of 1e-5 is scaled by the four samples, and by two for the prior, to 8e-5. initial_word is the rare word
    that V* begins at. For faces its authors advise half the rate and 750 steps. They take real pictures of the class
    where there are some, and enlarge and shrink the photo; here the base draws the class, and only flips are made.
    """

    steps: int = 250
    batch_size: int = 4
    learning_rate: float = 8e-5
    weight_decay: float = 1e-2
    initial_word: str = "ktn"


class CustomDiffusion(PreservingMethod):
    """One person, learned as V* in "V* person" and as differences of W^k and W^v in every cross-attention.

    L = L_denoise(the photo, "a photo of the face of V* person") + w L_denoise(class pictures, "a photo of a person").
    The file keeps the differences in float16: 38 MB for Stable Diffusion 1.x. Its authors' 15 MB are a low-rank
    approximation, which is not made here.
    """

    name = "custom-diffusion"

    def __init__(self, backbone: Backbone, *, subject: str, settings: CustomDiffusionSettings, seed: int = 0):
        """The seed decides noise and timesteps of the class pictures."""
        marks = learned_marks(backbone.class_vectors(settings.initial_word))
        weights = [f"{layer.name}.{part}.weight" for layer in backbone.layers for part in ("to_k", "to_v")]
        super().__init__(backbone, subject=subject, settings=settings, marks=marks, weights=weights, seed=seed)


SPEC = MethodSpec(CustomDiffusion.name, CustomDiffusion, read_single_table, CustomDiffusionSettings, change)
