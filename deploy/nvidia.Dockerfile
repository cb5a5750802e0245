# The image of jazzy.Dockerfile with ONNX Runtime for NVIDIA GPUs. Not built by this project's tests;
# hadolint has no complaint. Needs the NVIDIA container toolkit:
#   docker build -f deploy/nvidia.Dockerfile --build-arg IMAGE=vljepa_ros -t vljepa_ros:nvidia deploy
#   docker run --rm --net=host --ipc=host --gpus=all vljepa_ros:nvidia engine:=onnxruntime-cuda image:=/camera/image_raw
ARG IMAGE=vljepa_ros
FROM ${IMAGE}

# One module in two distributions: the CPU's has to go first. The extras are CUDA's libraries and cuDNN.
RUN .venv/bin/pip uninstall -y onnxruntime \
    && .venv/bin/pip install --no-cache-dir "onnxruntime-gpu[cuda,cudnn]==1.23.2"
# Where the extras lie: ONNX Runtime loads them by name.
ENV NVIDIA=/ws/.venv/lib/python3.12/site-packages/nvidia
ENV LD_LIBRARY_PATH=${NVIDIA}/cublas/lib:${NVIDIA}/cuda_nvrtc/lib:${NVIDIA}/cuda_runtime/lib:${NVIDIA}/cudnn/lib:${NVIDIA}/cufft/lib:${NVIDIA}/curand/lib:${NVIDIA}/nvjitlink/lib
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
