"""The numbers of the benchmarks."""

STRIP_METHODS = ("wing", "anisotropic_loss")  # whose snapshots are drawn, from above
STRIP_PIXELS = 224  # side of a picture
BOOTSTRAP_DRAWS = 10_000
BOOTSTRAP_INTERVAL = 0.95  # how often the interval of a difference shall hold the true one
SMALLEST_BOOTSTRAP = 30  # faces; with fewer, percentile intervals are too narrow to judge by
STEP_METHODS = ("l1", "smooth_l1", "wing", "anisotropic_loss", "acr", "acr_pixels")  # one row of each kind of step
MAX_OVERHEAD = 0.03  # share of a training step that a loss may add
