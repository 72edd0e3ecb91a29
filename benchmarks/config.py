"""Constants of the benchmarks."""

PROGRESS_METHODS = ("wing", "anisotropic_loss")  # rows of the training-progress figure, from above
PROGRESS_PIXELS = 224  # side of one picture of it
BOOTSTRAP_DRAWS = 10_000
BOOTSTRAP_INTERVAL = 0.95  # coverage of the interval of a difference
MIN_BOOTSTRAP_FACES = 30  # with fewer faces percentile intervals are too narrow
PLAIN_LOSS = "l2"  # the cheapest loss, which the others are compared with
STEP_METHODS = ("l1", "smooth_l1", "wing", "anisotropic_loss", "acr", "acr_pixels")  # one of each kind of step
MAX_OVERHEAD = 0.03  # fraction of a training step that a loss may add
