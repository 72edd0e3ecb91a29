"""Which operations of an exported network are a soft-argmax (networks/spatial_head.py).

8-bit arithmetic spoils them: a probability of hundreds of pixels is below one step of 1/256 nearly everywhere, and a
coordinate that adds up from 8 bits has steps of half a pixel. So int8 leaves them in float32, from the convolution that
makes the maps to the outputs; they are few and cheap.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple


class Operation(NamedTuple):
    """One operation of a graph: its kind as the format spells it, and the names of what it takes and gives."""

    kind: str
    inputs: Sequence[Hashable]
    outputs: Sequence[Hashable]


def soft_argmax_operations(operations: Sequence[Operation]) -> list[int]:
    """Finds the means under a softmax.

    A softmax in the middle of a network, as attention has, would keep all that comes after it in float32.

    Args:
        operations: all of a graph, in the order of computing.

    Returns:
        The numbers of those operations, from the convolution before each softmax on.
    """
    maker = {name: number for number, operation in enumerate(operations) for name in operation.outputs if name != ""}
    found = set()
    for number, operation in enumerate(operations):
        if operation.kind.upper() == "SOFTMAX":
            found.add(_convolution_before(number, operations, maker))
    for number, operation in enumerate(operations):
        if any(maker.get(name) in found for name in operation.inputs):
            found.add(number)
    return sorted(found)


def _convolution_before(number: int, operations: Sequence[Operation], maker: dict) -> int:
    """The operation, at or before this one, that is a convolution, or the first one."""
    while "CONV" not in operations[number].kind.upper():
        before = [maker[name] for name in operations[number].inputs if name in maker]
        if not before:
            break
        number = before[0]
    return number
