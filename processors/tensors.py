"""Tensors between processes, and from the host to a device.

torch pickles a tensor by writing a file into memory. Here a tensor is its storage's bytes, which pickle can pass on without a
copy, with the same strides: a result does not depend on the process that prepared its input.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

#: A storage this many times larger than its tensor is not sent as a whole: the tensor is a small part of it.
LARGEST_STORAGE = 2


def reducers() -> dict[type, Callable[[Any], Any]]:
    """Return what `pickle.Pickler.dispatch_table` needs for tensors; nothing if torch was never imported."""
    torch = sys.modules.get("torch")
    return {} if torch is None else {torch.Tensor: reduce_tensor}


def reduce_tensor(tensor: Any) -> tuple[Any, ...]:
    """Reduce a tensor for pickle. A tensor of another device becomes one of the CPU; gradients are left out."""
    import torch

    if tensor.layout is not torch.strided or tensor.is_quantized:
        return tensor.__reduce_ex__(2)  # type: ignore[no-any-return]
    dense = tensor.detach().resolve_conj().resolve_neg().cpu()
    storage = dense.untyped_storage()
    if storage.nbytes() > LARGEST_STORAGE * max(1, dense.numel() * dense.element_size()):
        dense = dense.clone()
        storage = dense.untyped_storage()
    data = torch.empty(0, dtype=torch.uint8).set_(storage).numpy()
    return restore_tensor, (data, dense.dtype, dense.storage_offset(), tuple(dense.shape), dense.stride())


def restore_tensor(data: Any, dtype: Any, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> Any:
    """Return the tensor that `reduce_tensor` was given, over the memory of `data`."""
    import torch

    if not data.nbytes:
        return torch.empty_strided(shape, stride, dtype=dtype)
    storage = torch.from_numpy(data).untyped_storage()
    return torch.empty(0, dtype=dtype).set_(storage, offset, shape, stride)


class HostToDevice:
    """Copies batches to a device: on CUDA from pinned memory, on a stream of its own.

    Pinned memory is read by the device itself, so the copy takes no time of the CPU and runs beside the kernels of the batch
    before. The kernels that are launched next wait for it, not the program. On the CPU it returns what it was given.

        def load(self, ctx):
            self._copy = HostToDevice(ctx.device)

        def run(self, items):
            batch = self._copy(torch.from_numpy(np.stack(items)))
    """

    def __init__(self, device: str) -> None:
        import torch

        self._device = torch.device(device)
        stream: Any = torch.cuda.Stream  # untyped in torch
        self._stream = stream(self._device) if self._device.type == "cuda" else None

    def __call__(self, tensor: Any) -> Any:
        """Return the tensor on the device. Do not change `tensor` afterwards: the copy may not have begun."""
        if self._stream is None:
            return tensor.to(self._device)
        import torch

        pinned = tensor if tensor.is_pinned() else tensor.pin_memory()
        current = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            copied = pinned.to(self._device, non_blocking=True)
        current.wait_stream(self._stream)
        copied.record_stream(current)  # its memory is not given to another tensor before the kernels have read it
        return copied
