"""Parts of a student in OpenVINO, for pictures that change in part: see `vidstyle.live.parts`.

Each part is compiled for one window size, in about 20 ms: with sizes left open it takes a third longer, and with
features as float32 in OpenVINO's own order of axes a tenth. As it is, the parts one after the other take as long
as the network in one piece.
"""

from __future__ import annotations

import numpy as np

from engines.openvino.core import CORE, compile_options, device_name, op, ov, reason
from engines.openvino.ops import Node, from_pixels, operations, to_pixels
from vidstyle.engine import EngineSpec
from vidstyle.errors import EngineError
from vidstyle.live.parts import PICTURE, Part, Tensor, run_part
from vidstyle.style import Style

FORMATS = {"bf16": (ov.Type.bf16, np.uint16), "f32": (ov.Type.f32, np.float32)}  # features, and numpy's stand-in


class OpenVINOPart:
    """A part of a student for windows of one size; of one thread.

    A call takes one array for each of ``part.takes`` and gives one for each of ``part.gives``: features as
    [height / stride, width / stride, channels] of `dtype`, the picture as uint8 [height, width, 3]. Results are the
    part's own memory, overwritten by its next call.

    Attributes:
        dtype: of features; uint16 holds bf16.
    """

    def __init__(self, style: Style, part: Part, spec: EngineSpec) -> None:
        device = device_name(spec.device)
        self._type, self.dtype = FORMATS.get(spec.precision, FORMATS["f32"])
        try:
            compiled = CORE.compile_model(build_part(style, part, spec, self._type), device, compile_options(spec))
            self._request = compiled.create_infer_request()
        except (RuntimeError, MemoryError) as error:
            raise EngineError(f"OpenVINO cannot build a part of {style.name}: {reason(error)}") from error
        self._gives = range(len(part.gives))

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        arrays = [np.ascontiguousarray(array[None]) for array in inputs]  # tensors of a given type do not hold them
        try:
            for i, array in enumerate(arrays):
                self._request.set_input_tensor(i, self._tensor(array))
            self._request.start_async()
            self._request.wait()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed on a part of a picture: {reason(error)}") from error
        found = [self._request.get_output_tensor(i).data[0] for i in self._gives]
        return [y if y.dtype == np.uint8 else y.view(self.dtype) for y in found]

    def _tensor(self, array: np.ndarray) -> ov.Tensor:
        if array.dtype == np.uint8:
            return ov.Tensor(array)
        return ov.Tensor(array, ov.Shape(array.shape), self._type)


def load_part(style: Style, part: Part, spec: EngineSpec) -> OpenVINOPart:
    """``spec`` is that of the whole picture's engine, every "auto" and 0 as it came out, with the window's size."""
    return OpenVINOPart(style, part, spec)


def build_part(style: Style, part: Part, spec: EngineSpec, kind: ov.Type) -> ov.Model:
    """The graph of a part: pictures as uint8, features as ``kind``, all of them [1, height, width, channels]."""
    arch = style.card.architecture
    inputs = {t.name: _input(t, spec, kind) for t in part.takes}
    values = {name: _values(name, x) for name, x in inputs.items()}
    picture = values.get(PICTURE) or _values(PICTURE, _input(Tensor(PICTURE), spec, kind))
    given = run_part(operations(style, spec.precision), arch, part, values, picture)
    results = [
        to_pixels(y) if t.name == PICTURE else op.convert(op.transpose(y, op.constant(np.array([0, 2, 3, 1]))), kind)
        for t, y in zip(part.gives, given, strict=True)
    ]
    return ov.Model(results, list(inputs.values()), "vidstyle part")


def _input(tensor: Tensor, spec: EngineSpec, kind: ov.Type) -> Node:
    shape = [1, spec.height // tensor.stride, spec.width // tensor.stride, tensor.channels]
    return op.parameter(ov.PartialShape(shape), ov.Type.u8 if tensor.name == PICTURE else kind, name=tensor.name)


def _values(name: str, x: Node) -> Node:
    return (
        from_pixels(x) if name == PICTURE else op.convert(op.transpose(x, op.constant(np.array([0, 3, 1, 2]))), "f32")
    )
