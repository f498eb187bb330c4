"""The network as a graph of operations, and the forms in it that one kernel computes.

`LazyOps` is `vidstyle.network.Ops` whose tensors are nodes: running a network's definition on it computes nothing and
gives the graph. So whatever a definition says is computed, and forms known here are computed faster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vidstyle.network import Architecture, Pad, Weights, guided_filter, run

SOURCE = "source"  # the picture in -1..1, its last row and column repeated up to the node's size


@dataclass(frozen=True, eq=False)
class Node:
    """A tensor to be computed: ``op`` is the method of `Ops`, ``args`` are nodes and numbers.

    ``shape`` is (channels, height, width) of a picture; ``options`` are the operation's other arguments, for
    "conv" (name, stride, pad, kernel size).
    """

    op: str
    args: tuple[Any, ...]
    shape: tuple[int, int, int]
    options: tuple[Any, ...] = ()

    @property
    def nodes(self) -> list[Node]:
        return [arg for arg in self.args if isinstance(arg, Node)]


class LazyOps:
    """See `vidstyle.network.Ops`. Of ``weights`` only the shapes are used."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def size(self, x: Node) -> tuple[int, int]:
        return x.shape[1:]

    def pad_edge(self, x: Node, bottom: int, right: int) -> Node:
        shape = (x.shape[0], x.shape[1] + bottom, x.shape[2] + right)
        return Node(SOURCE, (), shape) if x.op == SOURCE else Node("pad_edge", (x,), shape, (bottom, right))

    def crop(self, x: Node, height: int, width: int) -> Node:
        return Node("crop", (x,), (x.shape[0], height, width), (height, width))

    def conv(self, x: Node, name: str, stride: int = 1, pad: Pad = (1, 1, 1, 1)) -> Node:
        out, _, k, _ = self._weights[f"{name}.weight"].shape
        height = (x.shape[1] + pad[0] + pad[2] - k) // stride + 1
        width = (x.shape[2] + pad[1] + pad[3] - k) // stride + 1
        return Node("conv", (x,), (out, height, width), (name, stride, pad, k))

    def leaky_relu(self, x: Node) -> Node:
        return Node("leaky_relu", (x,), x.shape)

    def add(self, x: Node, y: Any) -> Node:
        return _pointwise("add", x, y)

    def sub(self, x: Node, y: Any) -> Node:
        return _pointwise("sub", x, y)

    def mul(self, x: Node, y: Any) -> Node:
        return _pointwise("mul", x, y)

    def div(self, x: Node, y: Any) -> Node:
        return _pointwise("div", x, y)

    def upsample2(self, x: Node) -> Node:
        return Node("upsample2", (x,), (x.shape[0], 2 * x.shape[1], 2 * x.shape[2]))

    def unshuffle(self, x: Node, block: int) -> Node:
        channels, height, width = x.shape
        return Node("unshuffle", (x,), (channels * block**2, height // block, width // block), (block,))

    def shuffle(self, x: Node, block: int) -> Node:
        channels, height, width = x.shape
        return Node("shuffle", (x,), (channels // block**2, height * block, width * block), (block,))

    def box3(self, x: Node) -> Node:
        return Node("box3", (x,), x.shape)


def _pointwise(op: str, x: Node, y: Any) -> Node:
    channels = max(x.shape[0], y.shape[0]) if isinstance(y, Node) else x.shape[0]
    return Node(op, (x, y), (channels, *x.shape[1:]))


def graph(arch: Architecture, weights: Weights, height: int, width: int) -> Node:
    """The network of ``arch`` for pictures of this size; ``weights`` as `vidstyle.network.prepare` gives them."""
    return run(LazyOps(weights), arch, Node(SOURCE, (), (3, height, width)))


def in_order(root: Node) -> Iterator[Node]:
    """Every node that ``root`` needs, once, each after those it is made of."""
    seen: set[Node] = set()

    def visit(node: Node) -> Iterator[Node]:
        if node not in seen:
            seen.add(node)
            for arg in node.nodes:
                yield from visit(arg)
            yield node

    return visit(root)


def uses(root: Node) -> Counter[Node]:
    """How often each node is an argument of another."""
    return Counter(arg for node in in_order(root) for arg in node.nodes)


def _fits(form: Any, node: Any, found: dict[Any, Any]) -> bool:
    """Whether ``node`` is built as ``form`` is, nodes without arguments in the form standing for anything."""
    if not isinstance(form, Node) or not isinstance(node, Node):
        return bool(form == node)
    if form in found:
        return found[form] is node
    found[form] = node
    if not form.args:
        return True
    same = (form.op, form.options, len(form.args)) == (node.op, node.options, len(node.args))
    return same and all(_fits(one, other, found) for one, other in zip(form.args, node.args, strict=True))


def as_guided(node: Node) -> Node | None:
    """What is filtered, where ``node`` is `vidstyle.network.guided_filter` of it with the source as its guide."""
    guide, x = Node("any", (), (3, 1, 1)), Node("any", (), (3, 1, 1))
    found: dict[Any, Any] = {}
    fits = _fits(guided_filter(LazyOps({}), guide, x), node, found)
    return found[x] if fits and found[guide].op == SOURCE and found[x].shape == node.shape else None


def as_gated(node: Node) -> tuple[Node, Node] | None:
    """(gate, rest), where ``node`` is source * gate + rest."""
    if node.op != "add" or len(node.nodes) != 2 or node.nodes[0].op != "mul":
        return None
    product, rest = node.nodes
    source, gate = product.args
    if source.op != SOURCE or not isinstance(gate, Node) or rest.shape != node.shape:
        return None
    return gate, rest
