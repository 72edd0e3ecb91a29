"""Operations of an exported network that belong to a soft-argmax (networks/spatial_head.py).

They are too inaccurate in 8 bits: the softmax of hundreds of pixels is below one step of 1/256 nearly everywhere, and a
coordinate in 8 bits has steps of half a pixel. Therefore int8 files keep them in float32, from the convolution that
computes the heatmaps to the outputs; they are few and cheap.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple


class Operation(NamedTuple):
    """One operation of a graph.

    Attributes:
        kind: its kind in the spelling of the file format.
        inputs: names of its inputs.
        outputs: names of its outputs.
    """

    kind: str
    inputs: Sequence[Hashable]
    outputs: Sequence[Hashable]


def soft_argmax_operations(operations: Sequence[Operation]) -> list[int]:
    """Return the indices of the operations of all soft-argmaxes, from the convolution before each softmax to the end.

    A softmax in the middle of a network, as in attention, would keep everything after it in float32.

    Args:
        operations: all operations of a graph, in the order of execution.
    """
    producer = {name: index for index, operation in enumerate(operations) for name in operation.outputs if name != ""}
    found = set()
    for index, operation in enumerate(operations):
        if operation.kind.upper() == "SOFTMAX":
            found.add(_convolution_before(index, operations, producer))
    for index, operation in enumerate(operations):
        if any(producer.get(name) in found for name in operation.inputs):
            found.add(index)
    return sorted(found)


def _convolution_before(index: int, operations: Sequence[Operation], producer: dict) -> int:
    """Return the index of the last convolution up to an operation, following first inputs; else of the first one."""
    while "CONV" not in operations[index].kind.upper():
        before = [producer[name] for name in operations[index].inputs if name in producer]
        if not before:
            break
        index = before[0]
    return index
