"""A network as a list of launches: convolutions by cuDNN, and all between them in a few Triton kernels.

`Plan` walks the graph of `engines.cuda.fusing` from its end. A convolution leaves its bare sums in memory; the kernel
that reads them adds the bias and does what follows, up to the next convolution's input. Exact rewrites save copies and
odd shapes: channels are put in the order in which a shuffle reads them, or padded to eights; convolutions of one
input become one; and padding of one side becomes padding of both, with the surplus left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engines.cuda import launches
from engines.cuda.convolutions import EIGHT, Filters, blocks_first, eights, forms
from engines.cuda.convolve import FusedConvolution, Tiles, fits, tiles
from engines.cuda.fusing import SOURCE, Node, as_gated, as_guided, graph, in_order, uses
from engines.cuda.launches import PLAIN, SHUFFLE, UPSAMPLE, Mixture
from engines.cuda.steps import Call, Raw, Read, Step
from engines.cuda.trials import First, Shape, Trial
from engines.torch import TorchOps
from vidstyle.network import Architecture, Weights


class Plan:
    """The steps of one style's network for pictures of one size, on one device.

    Args:
        weights: as `vidstyle.network.prepare` gives them.
        dtype: of what is stored between steps, and of the convolutions' factors.
        trial: chooses how each convolution is computed.
    """

    def __init__(
        self,
        arch: Architecture,
        weights: Weights,
        height: int,
        width: int,
        dtype: torch.dtype,
        device: torch.device,
        trial: Trial | None = None,
    ) -> None:
        self._weights, self._dtype, self._device, self._trial = weights, dtype, device, trial or First()
        self._frame_bytes = 3 * height * width
        root = graph(arch, weights, height, width)
        self._root = root.args[0] if root.op == "crop" else root  # the last kernel writes no more than the picture
        self._uses = uses(self._root)
        self._convs = [node for node in in_order(self._root) if node.op == "conv"]
        self._blocks = {conv: node.options[0] for conv, node in self._read_by("shuffle")}
        self._upsampled = {conv for conv, _ in self._read_by("upsample2")}
        self._made: dict[Any, int] = {}  # node, or (source, block, channels), to the number of its value
        self._raws: dict[Node, Raw] = {}
        self._single: dict[int, tuple[Node, int, Filters]] = {}  # value of one convolution to it, its input, its weight
        self._shapes: list[Shape] = []  # of each value
        self.steps: list[Step] = []
        self._finish()
        self._find_last_reads()

    def run(self, frames: Tensor, out: Tensor, mixture: Mixture, after: Callable[[Step], None] | None = None) -> None:
        """uint8 [n, height, width, 3] to ``out`` or the mixture's total; ``after`` is told of each step."""
        call = Call(frames, out, mixture)
        for step in self.steps:
            step.run(call)
            for number in step.last:
                del call.values[number]
            if after is not None:
                after(step)

    def _finish(self) -> None:
        if (filtered := as_guided(self._root)) is not None:
            term, padded = self._term(filtered, whole=True), filtered.shape[1:]
            self._end("guided filter, pixels", (term,), lambda call: launches.finish_guided(
                call.frames, call.out, term.of(call), padded, call.mixture))  # fmt: skip
        elif (parts := as_gated(self._root)) is not None:
            gate, rest = (self._term(part, whole=True) for part in parts)
            self._end("gate, pixels", (gate, rest), lambda call: launches.finish_look(
                call.frames, call.out, rest.of(call), gate.of(call), parts[0].shape[0], call.mixture))  # fmt: skip
        else:
            look = self._term(self._root, whole=True)
            self._end("pixels", (look,), lambda call: launches.finish_look(
                call.frames, call.out, look.of(call), None, 1, call.mixture))  # fmt: skip

    def _end(self, name: str, terms: tuple[Read, ...], run: Callable[[Call], None]) -> None:
        self._step(name, run, tuple(term.number for term in terms), None, 2 * self._frame_bytes)

    def _step(
        self,
        name: str,
        run: Callable[[Call], None],
        reads: tuple[int, ...],
        writes: int | None,
        more: int,
        flops: int = 0,
    ) -> None:
        touched = reads if writes is None else (*reads, writes)
        self.steps.append(Step(name, run, reads, writes, self._bytes(*touched) + more, flops))

    def _bytes(self, *numbers: int) -> int:
        return sum(math.prod(self._shapes[number]) for number in numbers) * self._dtype.itemsize

    def _number(self, channels: int, height: int, width: int) -> int:
        """A number for a new value of this shape."""
        self._shapes.append((channels, height, width))
        return len(self._shapes) - 1

    def _find_last_reads(self) -> None:
        seen: set[int] = set()
        for step in reversed(self.steps):
            step.last = tuple(set(step.reads) - seen)
            seen |= set(step.reads)

    def _value(self, node: Node) -> int:
        """The number of ``node``'s value, with the steps that compute it."""
        if node not in self._made:
            self._made[node] = self._computed(node)
        return self._made[node]

    def _computed(self, node: Node) -> int:
        if node.op == SOURCE:
            return self._pixels(node, 1, 3)
        whole = node.args[0] if node.op == "leaky_relu" and self._is_inner(node.args[0], "add") else node
        if whole.op == "add" and len(whole.nodes) == 2:
            return self._combined(node, [self._term(arg) for arg in whole.nodes], whole is not node)
        if whole.op in ("conv", "leaky_relu", "upsample2", "shuffle") and (term := self._fused(node)) is not None:
            return self._combined(node, [term], False)
        return self._by_torch(node)

    def _combined(self, node: Node, terms: list[Read], leaky: bool) -> int:
        number = self._number(*node.shape)
        in_place = next((t.number for t in terms if t.bias is not None and t.kind == PLAIN and self._alone(t)), None)

        def run(call: Call) -> None:
            given = [term.of(call) for term in terms]
            channels, height, width = node.shape
            shape = (len(call.frames), height, width, channels)
            raw = None if in_place is None else call.values[in_place]
            out = raw if raw is not None and raw.shape == shape and raw.is_contiguous() else self._empty(shape)
            launches.combine(out, given, leaky)
            call.values[number] = out

        self._step(f"combine to {number}", run, tuple(term.number for term in terms), number, 0)
        self._try_one_launch(terms, leaky, number)
        return number

    def _try_one_launch(self, terms: list[Read], leaky: bool, number: int) -> None:
        """Triton's convolution in place of cuDNN's and the step after it, which was the last, where it is quicker."""
        sums = next((term for term in terms if term.number in self._single), None)
        others = [term for term in terms if term is not sums]
        if sums is None or any(term.bias is not None or term.leaky or term.kind != PLAIN for term in others):
            return
        conv, number_in, filters = self._single[sums.number]
        if not fits(filters.weight.shape[1], len(filters.bias), self._dtype):
            return
        two = [step for step in self.steps if step.writes in (sums.number, number)]
        ways = [two, *([self._one_launch(two, sums, others, leaky, size)] for size in tiles(len(filters.bias)))]
        inputs = {i: self._shapes[i] for i in (number_in, *(term.number for term in others))}
        same = (self._shapes[number_in], filters.weight.shape, conv.options[1:], sums.leaky, leaky, len(others))
        chosen = ways[self._trial.way(ways, inputs, same)]
        self.steps = [step for step in self.steps if all(step is not one for one in two)] + chosen

    def _one_launch(self, two: list[Step], sums: Read, others: list[Read], leaky: bool, size: Tiles) -> Step:
        conv, number_in, filters = self._single[sums.number]
        fused = FusedConvolution(filters, conv.options[1], conv.options[2], conv.shape[1:], size)
        fused.to(self._device, self._dtype)
        number, reads = len(self._shapes) - 1, (number_in, *(term.number for term in others))

        def run(call: Call) -> None:
            value = call.values[others[0].number] if others else None
            call.values[number] = fused(call.values[number_in], value, sums.leaky, leaky)

        return Step(
            f"{two[0].name} fused", run, reads, number, self._bytes(*reads, number) + fused.nbytes, two[0].flops
        )

    def _alone(self, term: Read) -> bool:
        """Whether a convolution's sums are read by this term only."""
        return sum(raw.number == term.number for raw in self._raws.values()) == 1

    def _empty(self, shape: tuple[int, ...]) -> Tensor:
        return torch.empty(shape, dtype=self._dtype, device=self._device)

    def _pixels(self, node: Node, block: int, channels: int) -> int:
        """The source at ``node``'s size, ``block`` x ``block`` pixels a place, with zeros up to ``channels``."""
        key = (node.shape, block, channels)
        if key not in self._made:
            height, width = node.shape[1] // block, node.shape[2] // block
            number = self._made[key] = self._number(channels, height, width)

            def run(call: Call) -> None:
                out = call.values[number] = self._empty((len(call.frames), height, width, channels))
                launches.from_pixels(call.frames, out, block)

            self._step("from pixels", run, (), number, self._frame_bytes)
        return self._made[key]

    def _by_torch(self, node: Node) -> int:
        """Any operation as torch does it: right, if not fast."""
        reads = {arg: self._value(arg) for arg in node.nodes}
        number = self._number(*node.shape)

        def run(call: Call) -> None:
            args = [call.values[reads[arg]].permute(0, 3, 1, 2) if arg in reads else arg for arg in node.args]
            y = getattr(TorchOps({}), node.op)(*args, *node.options)
            call.values[number] = y.permute(0, 2, 3, 1).contiguous()

        self._step(node.op, run, tuple(reads.values()), number, 0)
        return number

    def _is_inner(self, node: Any, op: str) -> bool:
        """Whether ``node`` is an ``op`` that is needed in one place, and so need not be a value."""
        return isinstance(node, Node) and node.op == op and self._uses[node] <= 1

    def _term(self, node: Node, whole: bool = False) -> Read:
        """``node`` as a kernel's argument; ``whole``: even if other places need it, who asks is the only one left."""
        term = self._fused(node) if whole or self._uses[node] <= 1 else None
        return term or Read(self._value(node), node.shape[0])

    def _fused(self, node: Node) -> Read | None:
        """``node`` read straight from a convolution's sums, or from a value at half its size; None where neither is."""
        kind, block, inner = PLAIN, 1, node
        if node.op in ("upsample2", "shuffle"):
            kind, block = (UPSAMPLE, 1) if node.op == "upsample2" else (SHUFFLE, *node.options)
            inner = node.args[0]
        leaky = inner.op == "leaky_relu"
        conv = inner.args[0] if leaky else inner
        inside = [one for one in (inner, conv) if one is not node]
        reached = conv.op == "conv" and all(self._uses[one] <= 1 for one in inside)
        if reached and self._blocks.get(conv, 1) == (block if kind == SHUFFLE else 1):
            raw = self._raw(conv)
            kind, block = (SHUFFLE, raw.block) if raw.block > 1 else (kind, 1)
            return Read(raw.number, len(raw.bias), raw.first, raw.bias, leaky, kind, block)
        if kind == UPSAMPLE:
            return Read(self._value(inner), inner.shape[0], kind=UPSAMPLE)
        return None

    def _read_by(self, op: str) -> Iterator[tuple[Node, Node]]:
        """(convolution, ``op``) where that alone reads the convolution, perhaps through a leaky ReLU."""
        for node in in_order(self._root):
            if node.op == op:
                inner = node.args[0]
                conv = inner.args[0] if inner.op == "leaky_relu" and self._uses[inner] <= 1 else inner
                if conv.op == "conv" and self._uses[conv] <= 1:
                    yield conv, node

    def _raw(self, node: Node) -> Raw:
        if node not in self._raws:
            x, geometry = node.args[0], node.options[1:]
            self._convolve([c for c in self._convs if c.args[0] is x and c.options[1:] == geometry])
        return self._raws[node]

    def _convolve(self, together: list[Node]) -> None:
        """Convolutions of one input and one geometry, as one."""
        node, (_, stride, pad, k) = together[0], together[0].options
        number_in, shape_in, arrange = self._input(node.args[0])
        filters = [self._filters(conv, arrange) for conv in together]
        found = forms(filters, stride, pad, node.shape[1:], not any(conv in self._upsampled for conv in together))
        chosen = self._trial.form(found, shape_in).to(self._device, self._dtype)
        number = self._number(*chosen.shape)

        def run(call: Call) -> None:
            call.values[number] = chosen(call.values[number_in])

        for conv, one, first in zip(together, chosen.filters, chosen.first, strict=True):
            self._raws[conv] = Raw(number, first, torch.from_numpy(one.bias).to(self._device), one.block)
        if len(together) == 1 and filters[0].block == 1 and node not in self._upsampled:
            self._single[number] = (node, number_in, filters[0])
        flops = sum(2 * conv.shape[0] * conv.args[0].shape[0] * k * k for conv in together)
        name = "+".join(conv.options[0] for conv in together) + (f" by {chosen.fold}" if chosen.fold > 1 else "")
        more = chosen.nbytes
        self._step(f"conv {name}", run, (number_in,), number, more, flops * node.shape[1] * node.shape[2])

    def _input(self, x: Node) -> tuple[int, tuple[int, int, int], Callable[[np.ndarray], np.ndarray]]:
        """The value a convolution reads for ``x``, its shape, and how a weight's input channels are put to match."""
        if x.op == SOURCE:
            return self._pixels(x, 1, EIGHT), (EIGHT, *x.shape[1:]), lambda w: eights(w, 1)
        if x.op == "unshuffle" and x.args[0].op == SOURCE:
            (block,), channels = x.options, x.shape[0] + -x.shape[0] % EIGHT
            number = self._pixels(x.args[0], block, channels)
            return number, (channels, *x.shape[1:]), lambda w: eights(blocks_first(w, 1, block), 1)
        return self._value(x), x.shape, lambda w: w

    def _filters(self, conv: Node, arrange: Callable[[np.ndarray], np.ndarray]) -> Filters:
        """Weight and bias in the order in which they are read."""
        name, block = conv.options[0], self._blocks.get(conv, 1)
        weight, bias = (blocks_first(self._weights[f"{name}.{part}"], 0, block) for part in ("weight", "bias"))
        return Filters(arrange(weight), bias, block)
