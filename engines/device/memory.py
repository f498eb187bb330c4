"""Pictures in a device's memory from decoder to encoder: every copy to and from it is made and counted here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engines.device.errors import device_errors
from engines.device.planes import FORMS, Colours, Size, ToPlanes, ToRgb
from engines.torch import reason
from vidstyle.errors import EngineError


class DeviceMemory:
    """What the pipeline's three threads do on one device, each on a CUDA stream of its own; on "cpu" there are none.

    - Source (`rgb`, `upload`): its work is complete when the call returns, so the decoder may use its surface again,
      and whoever takes the picture waits for nothing.
    - Stylizer: runs inside `styling`, which makes its stream the current one.
    - Sink (`planes`, `kept_planes`): waits on the device for all that the stylizer's stream has under way.

    Attributes:
        name: "cuda:0", "cpu".
        uploaded, downloaded: bytes copied between the machine's memory and the device's, so far.
    """

    def __init__(self, name: str) -> None:
        """
        Raises:
            EngineError: there is no such device.
        """
        try:
            self._device = torch.empty(1, device=name).device
        except (RuntimeError, AssertionError) as error:
            raise EngineError(f"there is no device {name!r}: {reason(error)}") from error
        self.name = str(self._device)
        self.uploaded = self.downloaded = 0
        self._is_cuda = self._device.type == "cuda"
        self._arriving, self._styling, self._leaving = (self._stream() for _ in range(3))
        self._to_rgb, self._to_planes = lru_cache(16)(self._make_rgb), lru_cache(16)(self._make_planes)

    def _stream(self) -> Any:
        return torch.cuda.Stream(self._device) if self._is_cuda else None

    def rgb(
        self,
        planes: Sequence[Any],
        pix_fmt: str,
        colours: Colours,
        sizes: tuple[Size, Size],
        orientation: int,
        siting: tuple[float, float],
        there: bool,
    ) -> Tensor:
        """uint8 [H, W, 3] of a decoded picture, complete; see `engines.device.planes.ToRgb`.

        Args:
            planes: PyAV's.
            there: they are in this device's memory, else in the machine's.
            sizes: of the picture and of the result before turning.
        """
        with self._using(self._arriving):
            convert = self._to_rgb(pix_fmt, colours, *sizes, orientation, siting)
            given = [torch.from_dlpack(plane.__dlpack__()) for plane in planes]  # a capsule: PyAV takes no stream
            if there and self._is_cuda:
                self._arriving.wait_stream(torch.cuda.default_stream(self._device))  # FFmpeg's own
            return self._settled(convert(given if there else self._placed(given)))

    def _make_rgb(
        self, pix_fmt: str, colours: Colours, source: Size, target: Size, turn: int, siting: tuple[float, float]
    ) -> ToRgb:
        return ToRgb(FORMS[pix_fmt], colours, source, target, self._device, turn, siting)

    def upload(self, image: np.ndarray) -> Tensor:
        """A picture made on the CPU, uint8 [H, W, 3]; complete."""
        with self._using(self._arriving):
            return self._settled(self._placed([torch.from_numpy(image)])[0])

    def _placed(self, given: Sequence[Tensor]) -> list[Tensor]:
        """Copies on the device, in one transfer."""
        sizes = [tensor.numel() for tensor in given]
        staged = torch.empty(sum(sizes), dtype=given[0].dtype, pin_memory=self._is_cuda)
        for part, tensor in zip(staged.split(sizes), given, strict=True):  # without the decoder's padding
            # By this thread alone: torch would share it among all cores, which decoder and encoder keep busy.
            np.copyto(part.view(tensor.shape).numpy(), tensor.numpy())
        self.uploaded += staged.nbytes
        placed = staged.to(self._device, non_blocking=True)
        return [part.view(tensor.shape) for part, tensor in zip(placed.split(sizes), given, strict=True)]

    def _settled(self, image: Tensor) -> Tensor:
        if self._is_cuda:
            self._arriving.synchronize()
            image.record_stream(self._styling)  # its memory is not given to the next picture before that is done
        return image

    @contextmanager
    def current(self) -> Iterator[None]:
        """The device's CUDA context as the calling thread's own, for FFmpeg, which joins the one that it finds."""
        if not self._is_cuda:
            yield
            return
        with torch.cuda.device(self._device):
            with device_errors(self._device):
                torch.zeros(1, device=self._device)  # a new thread has no context before its first launch
            yield

    @contextmanager
    def styling(self) -> Iterator[None]:
        """For the thread that runs the engine: its current stream, and what comes up between the engine's calls."""
        with device_errors(self._device):
            if self._is_cuda:
                with torch.cuda.stream(self._styling):
                    yield
            else:
                yield

    def planes(self, image: Tensor, pix_fmt: str, colours: Colours, target: Size) -> Callable[[], list[np.ndarray]]:
        """Start to make an encoder's planes of a styled picture; the function waits for them, in the machine's memory.

        The arrays share one piece of pinned memory, which is used again once all of them are gone.
        """
        with self._using(self._leaving):
            convert, flat = self._made(image, pix_fmt, colours, target)
            host = self._fetched(flat)
            done = self._leaving.record_event() if self._is_cuda else None

        def wait() -> list[np.ndarray]:
            if done is not None:
                with device_errors(self._device):
                    done.synchronize()
            return [part.numpy() for part in convert.split(host)]

        return wait

    def kept_planes(self, image: Tensor, pix_fmt: str, colours: Colours, target: Size) -> list[Any]:
        """The same, complete, left on the device: DLPack capsules for an encoder that reads them there."""
        with self._using(self._leaving):
            convert, flat = self._made(image, pix_fmt, colours, target)
            if self._is_cuda:
                self._leaving.synchronize()
            return [part.__dlpack__() for part in convert.split(flat)]  # only while the device is the current one

    def _made(self, image: Tensor, pix_fmt: str, colours: Colours, target: Size) -> tuple[ToPlanes, Tensor]:
        if self._is_cuda:
            self._leaving.wait_stream(self._styling)
            image.record_stream(self._leaving)
        convert = self._to_planes(pix_fmt, colours, (image.shape[0], image.shape[1]), target)
        return convert, convert(image)

    def _make_planes(self, pix_fmt: str, colours: Colours, source: Size, target: Size) -> ToPlanes:
        return ToPlanes(FORMS[pix_fmt], colours, source, target, self._device)

    def fetch(self, image: Tensor) -> np.ndarray:
        """A styled picture itself, for what is only done on the CPU."""
        with self._using(self._leaving):
            if self._is_cuda:
                self._leaving.wait_stream(self._styling)
            host = self._fetched(image)
            if self._is_cuda:
                self._leaving.synchronize()
        return host.numpy()

    def _fetched(self, tensor: Tensor) -> Tensor:
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=self._is_cuda)
        self.downloaded += tensor.nbytes
        return host.copy_(tensor, non_blocking=True)

    @contextmanager
    def _using(self, stream: Any) -> Iterator[None]:
        with device_errors(self._device), torch.no_grad():
            if stream is None:
                yield
            else:
                with torch.cuda.stream(stream):
                    yield
