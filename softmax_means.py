"""Which operations of an exported network take a mean under a softmax, as the spatial head does (spatial_head.py).

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


def softmax_means(operations: Sequence[Operation]) -> list[int]:
    """The numbers of the operations of means under a softmax, of all operations in the order of computing."""
    maker = {name: number for number, operation in enumerate(operations) for name in operation.outputs}
    first = set()
    for number, operation in enumerate(operations):
        if operation.kind.upper() == "SOFTMAX":
            while not operations[number].kind.upper().startswith("CONV") and operations[number].inputs[0] in maker:
                number = maker[operations[number].inputs[0]]
            first.add(number)
    found: set[int] = set()
    for number, operation in enumerate(operations):
        if number in first or any(maker.get(name) in found for name in operation.inputs):
            found.add(number)
    return sorted(found)
