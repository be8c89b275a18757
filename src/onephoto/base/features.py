"""What a frozen face network sees of decoded faces: an error beside that of pixels, for faces are told by little."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onephoto.evaluate.face_network import FaceNetwork
from onephoto.evaluate.judge_network import around_faces


class FaceFeatures(nn.Module):
    """How far faces are from what they ought to be, in the features of a face network (perceptual loss, Johnson 2016).

    The network is not to be the one that measures, nor one that learned from the same people.
    """

    def __init__(self, network: FaceNetwork) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def forward(self, decoded: Tensor, target: Tensor, faces: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] and their faces (B, 3), middle x, y and side in shares, NaN where none is
        known: the mean over stages of the features' error in shares of their size, and the vectors' 1 - cosine.
        """
        known = ~faces.isnan().any(1)
        if not known.any():
            return decoded.new_zeros((), dtype=torch.float32)
        size = self.network.config.image_size
        ours, given = (self._seen(around_faces(x[known], faces[known], size)) for x in (decoded, target.detach()))
        errors = [(a - b).abs().mean() / b.abs().mean() for a, b in zip(ours[:-1], given[:-1], strict=True)]
        return torch.stack(errors).float().mean() + (1 - (ours[-1] * given[-1]).sum(1)).mean()

    def _seen(self, crops: Tensor) -> list[Tensor]:
        """The maps after every block, and the unit vector."""
        hidden, seen = crops.to(self.network.vector.weight.dtype), []
        for number, stage in enumerate(self.network.stages):
            hidden = stage(hidden)
            if number % 2:
                seen.append(hidden)
        return [*seen, F.normalize(self.network.vector(hidden.flatten(1)).float(), dim=1)]
