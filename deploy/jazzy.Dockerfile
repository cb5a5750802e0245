# ROS 2 Jazzy, CPU. Not built by this project's tests; hadolint has no complaint.
#   docker build -f deploy/jazzy.Dockerfile -t vljepa_ros .
#   docker run --rm --net=host --ipc=host vljepa_ros image:=/camera/image_raw
ARG DISTRO=jazzy
FROM ros:${DISTRO}-ros-base
ARG DISTRO
SHELL ["/bin/bash", "-eo", "pipefail", "-c"]

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /ws
# What pip brings is a layer of its own, which a change of the sources leaves as it is.
COPY requirements-ros.txt src/vljepa_ros/
RUN python3 -m venv --system-site-packages .venv \
    && touch .venv/COLCON_IGNORE \
    && .venv/bin/pip install --no-cache-dir -r src/vljepa_ros/requirements-ros.txt

COPY . src/vljepa_ros
RUN apt-get update \
    && rosdep update --rosdistro "${DISTRO}" \
    && rosdep install --from-paths src --ignore-src -y \
    && rm -rf /var/lib/apt/lists/*
RUN . "/opt/ros/${DISTRO}/setup.bash" \
    && . .venv/bin/activate \
    && colcon build --packages-select vljepa_ros --cmake-args -DBUILD_TESTING=OFF

ENV DISTRO=${DISTRO}
ENTRYPOINT ["/ws/src/vljepa_ros/deploy/entrypoint.bash"]
