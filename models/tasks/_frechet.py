"""The Fréchet distance between two clouds of features, how sure it is, and how much of each the other covers. Numpy only."""

from __future__ import annotations

import numpy as np

from pipeline.core import Array

NEIGHBOURS = 3
CLOUD = 4000
"""Features at most of which neighbours are looked for: the work grows with their square."""
ROWS = 500


def frechet(made: Array, real: Array) -> float:
    """|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)) of features [N, D] and [M, D], as if both were normal.

    Source: M. Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium" (2017,
    arXiv:1706.08500).
    """
    moved, spread, other, middle, _ = _parted(made, real)
    return max(0.0, float(np.square(moved).sum() + np.trace(spread) + np.trace(other) - 2 * np.trace(middle)))


def influence(made: Array, real: Array) -> tuple[Array, Array]:
    """What each of the features adds to the distance's error: [N] and [M], of mean 0.

    The derivatives of the distance by both means and covariances, whence its limit law (Rippl, Munk & Sturm 2016, "Limit laws of
    the empirical Wasserstein distance: Gaussian distributions").
    """
    moved, spread, other, middle, root = _parted(made, real)
    towards = root @ np.linalg.pinv(middle, rcond=1e-6, hermitian=True) @ root  # the optimal map from one to the other
    kept = np.eye(len(moved)) - towards
    back = np.eye(len(moved)) - np.linalg.pinv(towards, rcond=1e-6, hermitian=True)
    return _part(made, moved, kept, spread), _part(real, -moved, back, other)


def coverage(made: Array, real: Array) -> tuple[Array, Array]:
    """Of made ones which lie among the real (precision), and of real ones which lie among the made (recall): bool each.

    Among means nearer to one of them than its third neighbour is (Kynkäänniemi et al. 2019, "Improved precision and recall metric
    for assessing generative models", arXiv:1904.06991). Of more than 4,000 the first count.
    """
    made, real = made[:CLOUD].astype(np.float32), real[:CLOUD].astype(np.float32)
    return _among(made, real), _among(real, made)


def _part(features: Array, moved: Array, kept: Array, spread: Array) -> Array:
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    values: Array = 2 * centred @ moved + ((centred @ kept) * centred).sum(axis=1) - np.trace(kept @ spread)
    return values


def _parted(made: Array, real: Array) -> tuple[Array, Array, Array, Array, Array]:
    """The means' difference, both covariances C and C', (C'^(1/2) C C'^(1/2))^(1/2), and C'^(1/2)."""
    first, second = made.astype(np.float64), real.astype(np.float64)
    spread, other = (np.cov(each, rowvar=False, bias=True).reshape(each.shape[1], -1) for each in (first, second))
    root = _root(other)
    return first.mean(axis=0) - second.mean(axis=0), spread, other, _root(root @ spread @ root), root


def _root(matrix: Array) -> Array:
    """The symmetric square root of a symmetric matrix, what rounding made negative taken for 0."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    root: Array = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    return root


def _among(these: Array, those: Array) -> Array:
    """Which of these [N, D] lie in the ball of one of those [M, D] that reaches to its third neighbour."""
    if len(those) <= NEIGHBOURS:
        return np.zeros(len(these), bool)
    reach = np.concatenate([np.partition(_apart(part, those), NEIGHBOURS, axis=1)[:, NEIGHBOURS] for part in _parts(those)])
    return np.concatenate([(_apart(part, those) <= reach).any(axis=1) for part in _parts(these)])


def _parts(features: Array) -> list[Array]:
    return [features[start : start + ROWS] for start in range(0, len(features), ROWS)]


def _apart(these: Array, those: Array) -> Array:
    """Squared distances [N, M]."""
    squares: Array = np.square(these).sum(axis=1)[:, None] - 2 * these @ those.T + np.square(those).sum(axis=1)
    return squares
