"""The TensorRT Python package: which one is here, and every name of it that we use at run time."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from vljepa_ros.models.config import ModelError

RUNTIME_NAMES = (
    "__version__",
    "Logger.WARNING",
    "Runtime.deserialize_cuda_engine",
    "ICudaEngine.create_execution_context",
    "ICudaEngine.num_io_tensors",
    "ICudaEngine.num_optimization_profiles",
    "ICudaEngine.get_tensor_name",
    "ICudaEngine.get_tensor_mode",
    "ICudaEngine.get_tensor_dtype",
    "ICudaEngine.get_tensor_profile_shape",
    "IExecutionContext.set_optimization_profile_async",
    "IExecutionContext.set_input_shape",
    "IExecutionContext.set_tensor_address",
    "IExecutionContext.get_tensor_shape",
    "IExecutionContext.execute_async_v3",
    "TensorIOMode.INPUT",
    "TensorIOMode.OUTPUT",
    "DataType.FLOAT",
    "DataType.INT64",
)
# Not in the lean runtime, which cannot build.
BUILDER_NAMES = (
    "Builder.create_network",
    "Builder.create_builder_config",
    "Builder.create_optimization_profile",
    "Builder.build_serialized_network",
    "IBuilderConfig.add_optimization_profile",
    "IBuilderConfig.create_timing_cache",
    "IBuilderConfig.set_timing_cache",
    "IBuilderConfig.get_timing_cache",
    "IBuilderConfig.set_memory_pool_limit",
    "IOptimizationProfile.set_shape",
    "ITimingCache.serialize",
    "MemoryPoolType.WORKSPACE",
    "OnnxParser.parse_from_file",
    "OnnxParser.get_error",
    "OnnxParser.num_errors",
    "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
)
OLDEST = 10


def missing_names(module: object, names: tuple[str, ...]) -> list[str]:
    """Those of `names` (`Class.attribute`) that the module does not have."""
    missing: list[str] = []
    for name in names:
        found: object = module
        for step in name.split("."):
            found = getattr(found, step, missing)
            if found is missing:
                missing.append(name)
                break
    return missing


def import_runtime() -> ModuleType:
    """`tensorrt`, else the lean runtime of the same API.

    :raises ModelError: neither is installed, or one that is too old for strongly typed networks.
    """
    return _import(("tensorrt", "tensorrt_lean", "tensorrt_lean_bindings"))


def import_builder() -> ModuleType:
    """`tensorrt` with its builder.

    :raises ModelError: not installed, or too old.
    """
    return _import(("tensorrt",))


def _import(names: tuple[str, ...]) -> ModuleType:
    for name in names:
        try:
            module = import_module(name)
        except (ImportError, OSError):  # OSError: the bindings without their libraries
            continue
        version = str(getattr(module, "__version__", "0"))
        if int(version.split(".")[0]) < OLDEST:
            raise ModelError(
                f"TensorRT {version} is too old: {OLDEST} or newer is needed (JetPack 6.1 or newer)"
            )
        return module
    raise ModelError(
        "TensorRT is not installed: pip install tensorrt (on a Jetson it comes with JetPack)"
    )
