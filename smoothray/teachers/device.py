"""Where teachers train."""

from __future__ import annotations

import torch

from smoothray.errors import TeacherError


def choose_device(device: str) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one. Raises TeacherError."""
    if device == "cuda" and not torch.cuda.is_available():
        raise TeacherError("teacher.device is 'cuda', but torch sees no GPU here; use auto or cpu")
    use_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if use_gpu else "cpu")
