"""The stages of denoising: which part of the way from noise to picture a timestep belongs to."""

import torch
from torch import Tensor


def stage_index(t: Tensor, num_stages: int, num_timesteps: int) -> Tensor:
    """Stage of each timestep in denoising order: (B,) in [0, T) -> (B,) in [0, S), long; stage 0 is the noisiest.

    Fractional timesteps, which some schedulers hand out, count as the whole one below; those outside [0, T) fall into
    the nearest stage.
    """
    passed = num_timesteps - 1 - t.long()
    return (passed * num_stages // num_timesteps).clamp(0, num_stages - 1)


def stage_bounds(num_stages: int, num_timesteps: int) -> Tensor:
    """Where the stages meet: (S + 1,), long; stage s holds each t with bounds[s] <= T - 1 - t < bounds[s + 1]."""
    return -(-torch.arange(num_stages + 1) * num_timesteps // num_stages)
