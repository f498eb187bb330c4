"""TensorRT and torch-tensorrt played by torch on the CPU: what they build is an exported program, and it is run.

Names, arguments and returns are those of the real packages. Sources, read on the packages themselves:
- torch_tensorrt 2.11.0, 2.13.0 and 2.14.0, dynamo/_compiler.py, ``convert_exported_program_to_serialized_trt_engine``;
- tensorrt 11.0.0.114, docstrings of the bindings, the same in 10.15: ``deserialize_cuda_engine`` gives None where it
  fails, ``create_execution_context`` too, ``set_tensor_address`` and ``execute_async_v3`` give a bool,
  ``get_tensor_dtype`` a ``DataType``.
"""

from __future__ import annotations

import ctypes
import enum
import importlib.machinery
import io
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from style_files import TINY, random_weights

from vidstyle.engine import Recipe
from vidstyle.style import Card, Style

#: parameters that all three releases have, with the defaults that count here
REAL_PARAMETERS = frozenset(
    """
    exported_program inputs arg_inputs kwarg_inputs device disable_tf32 assume_dynamic_shape_support sparse_weights
    engine_capability num_avg_timing_iters workspace_size dla_sram_size dla_local_dram_size dla_global_dram_size
    truncate_double require_full_compilation min_block_size torch_executed_ops torch_executed_modules
    pass_through_build_failures max_aux_streams version_compatible optimization_level use_python_runtime
    use_fast_partitioner enable_experimental_decompositions dryrun hardware_compatible timing_cache_path
    lazy_engine_init cache_built_engines reuse_cached_engines engine_cache_dir engine_cache_size
    custom_engine_cache use_fp32_acc refit_identical_engine_weights strip_engine_weights immutable_weights
    enable_weight_streaming tiling_optimization_level l2_limit_for_tiling offload_module_to_cpu
    use_distributed_mode_trace decompose_attention attn_bias_is_causal kwargs
    """.split()  # noqa: SIM905
)
TYPES = {torch.float16: ctypes.c_uint16, torch.float32: ctypes.c_float}


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1


@dataclass
class Behaviour:
    """How the fake fares, and what was asked of it."""

    builds: list[dict[str, Any]] = field(default_factory=list)
    off_by: float = 0.0  # levels added to every result of what is built from now on
    refuses: bool = False  # to deserialize
    full: bool = False  # the memory, for what is deserialized
    gives: DataType | None = None  # what the results of what is built are, where it is not the type of the picture
    contexts_left: int = 1_000  # until the memory is full
    fails: Exception | None = None  # of a build
    says: str = ""  # to the log, with a failure
    streams: list[int] = field(default_factory=list)


class Severity(enum.Enum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class ILogger:
    Severity = Severity

    def __init__(self) -> None: ...
    def log(self, severity: Severity, msg: str) -> None: ...


class ExecutionContext:
    def __init__(self, engine: Engine) -> None:
        self._engine, self._addresses = engine, dict[str, int]()

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return name in ("x", "output0")

    def execute_async_v3(self, stream_handle: int) -> bool:
        engine = self._engine
        engine.behaviour.streams.append(stream_handle)
        x, y = (_tensor_at(self._addresses[name], engine.shape, engine.dtype) for name in ("x", "output0"))
        with torch.no_grad():
            y.copy_((engine.program(x) + engine.off_by).clamp(0, 255))
        return True


class Engine:
    num_io_tensors = 2

    def __init__(self, data: bytes, behaviour: Behaviour, logger: ILogger) -> None:
        extra = {"off_by": ""}
        program = torch.export.load(io.BytesIO(data), extra_files=extra)
        self.program, self.off_by = program.module(), float(extra["off_by"])
        meta = next(n for n in program.graph.nodes if n.name in program.graph_signature.user_inputs).meta["val"]
        self.shape, self.dtype = tuple(meta.shape), meta.dtype
        self.behaviour, self._logger = behaviour, logger

    def get_tensor_name(self, index: int) -> str:
        return ("x", "output0")[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return {"x": TensorIOMode.INPUT, "output0": TensorIOMode.OUTPUT}[name]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert name in ("x", "output0")
        return self.shape

    def get_tensor_dtype(self, name: str) -> DataType:
        own = {torch.float16: DataType.HALF, torch.float32: DataType.FLOAT}[self.dtype]
        return {"x": own, "output0": self.behaviour.gives or own}[name]

    def create_execution_context(self, strategy: Any = None) -> ExecutionContext | None:
        assert strategy is None
        if self.behaviour.contexts_left == 0:
            self._logger.log(Severity.ERROR, "Error Code 2: OutOfMemory (Requested size was 4 bytes.)")
            return None
        self.behaviour.contexts_left -= 1
        return ExecutionContext(self)


def _tensor_at(address: int, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    count = torch.Size(shape).numel()
    return torch.frombuffer((TYPES[dtype] * count).from_address(address), dtype=dtype).view(shape)


def fake_tensorrt(behaviour: Behaviour) -> ModuleType:
    class Runtime:
        def __init__(self, logger: ILogger) -> None:
            assert isinstance(logger, ILogger)
            self._logger = logger

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> Engine | None:
            if behaviour.refuses:
                self._logger.log(Severity.ERROR, "Error Code 1: Serialization (stdVersionRead == kVERSION)")
                return None
            if behaviour.full:
                self._logger.log(Severity.ERROR, "Error Code 1: Cuda Runtime (out of memory)")
                self._logger.log(Severity.ERROR, "Error Code 4: Internal Error (Engine deserialization failed.)")
                return None
            return Engine(serialized_engine, behaviour, self._logger)

    module: Any = ModuleType("tensorrt")
    module.__spec__ = importlib.machinery.ModuleSpec("tensorrt", None)
    module.__version__ = "10.15.1"
    module.ILogger, module.Runtime, module.TensorIOMode, module.DataType = ILogger, Runtime, TensorIOMode, DataType
    return module


def fake_torch_tensorrt(behaviour: Behaviour) -> ModuleType:
    def convert_exported_program_to_serialized_trt_engine(
        exported_program: torch.export.ExportedProgram, inputs: Any = None, **options: Any
    ) -> bytes:
        assert inputs is None and set(options) <= REAL_PARAMETERS - {"exported_program", "inputs", "kwargs"}
        assert options["tiling_optimization_level"] in ("none", "fast", "moderate", "full")
        behaviour.builds.append(options)
        if behaviour.fails:
            import logging

            logging.getLogger("torch_tensorrt [TensorRT Conversion Context]").error(behaviour.says)
            raise behaviour.fails
        exported_program.module()(*options["arg_inputs"])  # takes what it is told it takes
        data = io.BytesIO()
        torch.export.save(exported_program, data, extra_files={"off_by": str(behaviour.off_by)})
        return data.getvalue()

    module: Any = ModuleType("torch_tensorrt")
    module.__spec__ = importlib.machinery.ModuleSpec("torch_tensorrt", None)
    module.__version__ = "2.13.0"
    module.dynamo = SimpleNamespace(
        convert_exported_program_to_serialized_trt_engine=convert_exported_program_to_serialized_trt_engine
    )
    return module


def tiny(seed: int = 0) -> Style:
    name = f"tiny{seed}"
    return Style(Card(name, "", TINY, "", "", sha256=name), random_weights(TINY, seed))


def plain(seed: int = 0) -> Recipe:
    return Recipe(((tiny(seed), 1.0),))
