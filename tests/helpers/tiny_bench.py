"""python -m benchmarks.losses with the tiny network, in its own process and in all that it starts."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

from benchmarks import losses, training_queue  # noqa: E402
from tests.robustness import tiny_network  # noqa: E402

INSTALL = "from tests.robustness import tiny_network; tiny_network.install()\nimport train\n"

if __name__ == "__main__":
    tiny_network.install()
    training_queue.PROGRAM = training_queue.PROGRAM.replace("import train\n", INSTALL)
    sys.exit(losses.main())
