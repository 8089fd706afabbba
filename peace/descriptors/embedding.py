"""How texts are compared: by vectors that a text encoder makes of them (peace/models/embedding.py has one)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Embed = Callable[[Sequence[str]], NDArray[np.float64]]
"""From n texts to unit vectors (n, hidden)."""
