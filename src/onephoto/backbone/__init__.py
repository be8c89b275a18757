"""A user's diffusion model, frozen: loading it, prompts with learned people in them, and the hooks that route them."""
