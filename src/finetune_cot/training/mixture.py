"""How much each of several models says: weights of a mixture, by expectation maximization.

A mixture gives a token the weighted mean of the models' probabilities. Its negative log-likelihood is convex
in the weights, and each step of expectation maximization (Dempster et al. 1977) lowers it.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import logsumexp

_STEPS = 1000
_TOLERANCE = 1e-6


def mixture_weights(
    losses: Float[ndarray, "models tokens"], share: Float[ndarray, " tokens"]
) -> Float[ndarray, " models"]:
    """The weights with the lowest mean loss; they are not negative and add up to 1.

    Args:
        losses: Negative log-likelihoods in nats.
        share: How much each token counts.
    """
    likelihood = np.exp(losses.min(axis=0) - losses)
    weights = np.full(len(losses), 1 / len(losses))
    for _ in range(_STEPS):
        responsible = weights[:, None] * likelihood
        last, weights = weights, (responsible / responsible.sum(axis=0)) @ share / share.sum()
        if np.abs(weights - last).max() < _TOLERANCE:
            break
    return weights


def mixture_losses(
    losses: Float[ndarray, "models tokens"], weights: Float[ndarray, " models"]
) -> Float[ndarray, " tokens"]:
    """Negative log-likelihoods of a mixture, in nats."""
    mixed: Float[ndarray, " tokens"] = -logsumexp(-losses, axis=0, b=weights[:, None])
    return mixed
