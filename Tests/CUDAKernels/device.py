"""The CUDA driver and its run-time compiler through ctypes, as far as the tests of the kernels need them.

Runs on the driver for tests (.build/cuda-test-driver), or where MAYFLY_CUDA_PATH is set: on the libraries in that folder,
and set to nothing on a real GPU with the libraries that the machine or PyTorch has.
"""

import contextlib
import ctypes
import os
import re
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ROOT / "Sources" / "CCUDA"
STORAGES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
MULTIPROCESSORS, MAJOR, MINOR, DYNAMIC_SHARED = 16, 75, 76, 8


class CUDAError(Exception):
    pass


def library(name: str, *versions: int) -> ctypes.CDLL:
    """The first that can be opened."""
    given = os.environ.get("MAYFLY_CUDA_PATH", str(ROOT / ".build" / "cuda-test-driver"))
    packages = Path(torch.__file__).parent.parent / "nvidia"
    own = [Path("/usr/local/nvidia/lib64"), Path("/usr/local/cuda/lib64"), *sorted(packages.glob("*/lib"))]
    folders = [Path(given)] if given else own
    names = [f"{name}.so.{version}" for version in versions]
    found = [str(folder / file) for folder in folders for file in names if (folder / file).exists()]
    for path in found if given else found + names:
        with contextlib.suppress(OSError):
            return ctypes.CDLL(path)
    raise CUDAError(f"{' or '.join(names)} is neither in {', '.join(map(str, folders))} nor on the loader's path")


class Int64(int):
    """An argument of 64 bits; other whole numbers have 32."""


class Array:
    """A tensor on the device, in memory of its own: the test driver sees what is read or written beyond it."""

    def __init__(self, device: "Device", tensor: torch.Tensor) -> None:
        self.device, self.shape, self.dtype = device, tensor.shape, tensor.dtype
        self.bytes = tensor.numel() * tensor.element_size()
        self.address = ctypes.c_uint64()
        device.check(device.cuda.cuMemAlloc_v2(ctypes.byref(self.address), ctypes.c_size_t(max(1, self.bytes))))
        self.set(tensor)

    def set(self, tensor: torch.Tensor) -> None:
        contiguous = tensor.contiguous()
        source = ctypes.c_void_p(contiguous.data_ptr())
        size = ctypes.c_size_t(self.bytes)
        if self.bytes:
            self.device.check(self.device.cuda.cuMemcpyHtoDAsync_v2(self.address, source, size, self.device.stream))
            self.device.synchronize()

    def get(self) -> torch.Tensor:
        result = torch.empty(self.shape, dtype=self.dtype)
        if self.bytes:
            to, size = ctypes.c_void_p(result.data_ptr()), ctypes.c_size_t(self.bytes)
            self.device.check(self.device.cuda.cuMemcpyDtoHAsync_v2(to, self.address, size, self.device.stream))
            self.device.synchronize()
        return result

    def free(self) -> None:
        self.device.cuda.cuMemFree_v2(self.address)


class View:
    """An array from one of its elements on."""

    def __init__(self, array: Array, element: int) -> None:
        size = torch.empty(0, dtype=array.dtype).element_size()
        self.address = ctypes.c_uint64(array.address.value + element * size)


class Device:
    def __init__(self) -> None:
        self.cuda, self.nvrtc = library("libcuda", 1), library("libnvrtc", 13, 12)
        self.check(self.cuda.cuInit(0))
        self.device, context = ctypes.c_int(), ctypes.c_void_p()
        self.check(self.cuda.cuDeviceGet(ctypes.byref(self.device), 0))
        self.check(self.cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), self.device))
        self.check(self.cuda.cuCtxSetCurrent(context))
        self.stream = ctypes.c_void_p()
        self.check(self.cuda.cuStreamCreate(ctypes.byref(self.stream), 1))
        self.modules: dict[tuple[str, str], ctypes.c_void_p] = {}
        self.arrays: list[Array] = []

    def check(self, status: int) -> None:
        if status == 0:
            return
        name, text = ctypes.c_char_p(), ctypes.c_char_p()
        self.cuda.cuGetErrorName(status, ctypes.byref(name))
        self.cuda.cuGetErrorString(status, ctypes.byref(text))
        raise CUDAError(f"{name.value!r}: {text.value!r}")

    def synchronize(self) -> None:
        self.check(self.cuda.cuStreamSynchronize(self.stream))

    @property
    def is_for_tests(self) -> bool:
        name = ctypes.create_string_buffer(256)
        self.check(self.cuda.cuDeviceGetName(name, 256, self.device))
        return b"test" in name.value.lower()

    @property
    def architecture(self) -> str:
        parts = []
        for attribute in (MAJOR, MINOR):
            value = ctypes.c_int()
            self.check(self.cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, self.device))
            parts.append(str(value.value))
        name = "sm_" + "".join(parts)
        return "sm_90a" if name == "sm_90" else name

    def array(self, tensor: torch.Tensor) -> Array:
        self.arrays.append(Array(self, tensor))
        return self.arrays[-1]

    def empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> Array:
        """Filled with NaN: what a kernel does not write is seen."""
        is_float = dtype.is_floating_point
        return self.array(torch.full(shape, float("nan") if is_float else -1, dtype=dtype))

    def free(self) -> None:
        for array in self.arrays:
            array.free()
        self.arrays.clear()

    def module(self, file: str, storage: str) -> ctypes.c_void_p:
        if (file, storage) not in self.modules:
            self.modules[file, storage] = self.compile(file, storage)
        return self.modules[file, storage]

    def compile(self, file: str, storage: str) -> ctypes.c_void_p:
        headers = sorted((SOURCES / "kernels").glob("*.cuh")) + [SOURCES / "include" / "KernelArguments.h"]
        names = (ctypes.c_char_p * len(headers))(*(header.name.encode() for header in headers))
        texts = (ctypes.c_char_p * len(headers))(*(header.read_bytes() for header in headers))
        line = re.search(r"#define MF_KERNEL_OPTIONS (.*)", (SOURCES / "include" / "CCUDA.h").read_text())
        options = re.findall(r'"([^"]*)"', line[1])
        options += [f"--gpu-architecture={self.architecture}", f"-DMF_STORAGE={list(STORAGES).index(storage)}"]
        passed = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        program, size = ctypes.c_void_p(), ctypes.c_size_t()
        text = (SOURCES / "kernels" / f"{file}.cu").read_bytes()
        create = self.nvrtc.nvrtcCreateProgram
        assert create(ctypes.byref(program), text, f"{file}.cu".encode(), len(headers), texts, names) == 0
        status = self.nvrtc.nvrtcCompileProgram(program, len(options), passed)
        self.nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        self.nvrtc.nvrtcGetProgramLog(program, log)
        if status != 0:
            raise CUDAError(log.value.decode())
        self.nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
        image = ctypes.create_string_buffer(size.value)
        self.nvrtc.nvrtcGetCUBIN(program, image)
        self.nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
        module = ctypes.c_void_p()
        self.check(self.cuda.cuModuleLoadData(ctypes.byref(module), image))
        return module

    def launch(self, kernel: str, storage: str, grid, block: int, *arguments, shared: int = 0) -> None:
        """`kernel` is file:name."""
        file, name = kernel.split(":")
        function = ctypes.c_void_p()
        self.check(
            self.cuda.cuModuleGetFunction(ctypes.byref(function), self.module(file, storage), name.encode())
        )
        # Static shared memory counts, too: 48 KiB in all need no asking.
        if shared > 40 * 1024:
            self.check(self.cuda.cuFuncSetAttribute(function, DYNAMIC_SHARED, shared))
        values = [self.value(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        grid = (grid,) if isinstance(grid, int) else grid
        sizes = (*grid, *[1] * (3 - len(grid)), block, 1, 1, shared)
        sizes = [ctypes.c_uint(size) for size in sizes]
        self.check(self.cuda.cuLaunchKernel(function, *sizes, self.stream, pointers, None))
        self.synchronize()

    @staticmethod
    def value(argument):
        match argument:
            case None:
                return ctypes.c_uint64(0)
            case Array() | View():
                return ctypes.c_uint64(argument.address.value)
            case float():
                return ctypes.c_float(argument)
            case Int64():
                return ctypes.c_int64(argument)
            case int():
                return ctypes.c_int32(argument)
        raise TypeError(f"{type(argument)} is no argument of a kernel")
