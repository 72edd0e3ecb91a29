"""benchmark.py with the tiny network, in its own process and in all that it starts."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

from tests.robustness import tiny_network  # noqa: E402

tiny_network.install()  # a process that is started reads this file too, under another name

if __name__ == "__main__":
    import benchmark

    sys.exit(benchmark.main())
