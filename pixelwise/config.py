"""Numbers that losses and decoders share."""

MAP_SIGMA = 3.0  # of the Gaussian around a landmark, in pixels of a crop of LOSS_REFERENCE_SIZE
