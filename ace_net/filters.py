"""The steerable filters of contourness (ACE-Net, Eqs. 15 and 20), which losses and extraction share; NumPy only."""

import numpy as np

from ace_net.config import CONTOUR_WIDTH


def filters(sigma=CONTOUR_WIDTH):
    """Return the filters of Eqs. 15 and 20 as products of one-dimensional ones, each (4 sigma + 1,).

    Returns:
        g0, g1, g2 with G = g0(y) g0(x), G2a = g0(y) g2(x), G2b = -2 / sigma^2 g1(y) g1(x), G2c = g2(y) g0(x).
    """
    offset = np.arange(-2 * sigma, 2 * sigma + 1, dtype=np.float64)
    gauss = np.exp(-(offset**2) / sigma**2)
    return gauss, offset * gauss, (1 - 2 * offset**2 / sigma**2) * gauss
