"""Random numbers that belong to a patient or a record, so that no batch, order or number of workers changes them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from peace.synthetic.tables import Array

WIDTH = 192


class Draws:
    """One stream a row, read column by column for all rows at once.

    Keys are sequences of integers; equal keys give equal streams. Raises IndexError where a stream is used up.
    """

    def __init__(self, keys: Sequence[Sequence[int]]) -> None:
        self.streams = [np.random.Generator(np.random.SFC64(np.random.SeedSequence(list(key)))) for key in keys]
        self._normals = np.stack([stream.standard_normal(WIDTH) for stream in self.streams])
        self._uniforms = np.stack([stream.random(WIDTH) for stream in self.streams])
        self._normal_at = self._uniform_at = 0

    def normal(self, mean: float | Array = 0.0, spread: float | Array = 1.0) -> Array:
        """(n,) normal numbers, cut at three standard deviations."""
        return np.asarray(mean + np.clip(self.normals(1)[:, 0], -3, 3) * spread)

    def normals(self, count: int) -> Array:
        """(n, count) standard normal numbers."""
        start, self._normal_at = self._normal_at, self._normal_at + count
        if self._normal_at > WIDTH:
            raise IndexError("a stream of normal numbers is used up: raise WIDTH")
        return np.asarray(self._normals[:, start : self._normal_at])

    def uniform(self, low: float | Array = 0.0, high: float | Array = 1.0) -> Array:
        """(n,) uniform numbers."""
        start, self._uniform_at = self._uniform_at, self._uniform_at + 1
        if self._uniform_at > WIDTH:
            raise IndexError("a stream of uniform numbers is used up: raise WIDTH")
        return np.asarray(low + (np.asarray(high) - low) * self._uniforms[:, start])


def stream_key(seed: int, population: str, *numbers: int) -> tuple[int, ...]:
    """Key of a stream: the seed, a fixed number for the population's name, and further numbers."""
    return (seed, zlib.crc32(population.encode()), *numbers)
