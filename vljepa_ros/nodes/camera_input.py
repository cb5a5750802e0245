"""Receives the images of one camera, and reports when none arrive or none are usable."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from vljepa_ros import ros
from vljepa_ros.models.config import ModelConfig
from vljepa_ros.nodes.diagnostics import Part, checked
from vljepa_ros.nodes.evidence import Evidence
from vljepa_ros.nodes.image_topic import ImageTopic, ViewParameters
from vljepa_ros.nodes.lifecycle_node import LifecycleNode
from vljepa_ros.nodes.parameters import live, read_only
from vljepa_ros.nodes.topics import to_nanoseconds
from vljepa_ros.perception.domain import out_of_domain
from vljepa_ros.perception.frames import FrameDecoder
from vljepa_ros.perception.image_encodings import FrameError, LevelRange
from vljepa_ros.perception.pipeline import CameraFeed
from vljepa_ros.perception.ring import ClipRing
from vljepa_ros.perception.stamps import ImageStamps

_FORMAT_FIELDS = ("format", "height", "width", "encoding", "step")
STALE_STAMP_S = 3600.0  # no camera is that late, but a bag played without simulated time is
DOUBTFUL_STAMP_S = 10.0  # two machines' clocks that are not synchronised may differ by this much


@dataclass(frozen=True)
class CameraParameters(ViewParameters):
    """Parameters of each camera of the perception node, such as `front.image_topic`."""

    image_topic: str = read_only(
        "/camera/image_raw",
        "Topic of the images; a relative name lies in the node's namespace.",
        ros_name=True,
    )
    max_rate: float = live(0.0, "Clips per second at most; 0: the node's max_rate.", 0.0, 1000.0)
    labels: tuple[str, ...] = live(
        [""],
        "Labels of this camera alone, as the node's `labels`; a group takes the place of the "
        "common one for its prompt; a single empty text: none.",
    )


class CameraInput:
    """Receives the images of one camera and puts them into the ring that clips are taken from.

    Args:
        node: Has the parameters of the camera, and `max_rate`, `image_timeout` and `always_on`.
        name: Of the camera.
        model: Model that the clips are made for.
        subscriptions: Returns which results of a camera have subscribers; see `CameraFeed`.
        topic: Topic of its images; several cameras may use different crops of the same images.
        evidence: Receives each image.

    Attributes:
        feed: The camera as the pipeline sees it.
    """

    def __init__(
        self,
        node: LifecycleNode[Any],
        name: str,
        model: ModelConfig,
        subscriptions: Callable[[str], frozenset[str]],
        topic: ImageTopic,
        evidence: Evidence,
    ) -> None:
        self._node = node
        self._name = name
        self._model = model
        self._in_domain = True
        self._parameters = node.camera_parameters[name]
        self._subscriptions = subscriptions
        self._topic = topic
        self._evidence = evidence
        self._age = 0.0
        self._unusable = ""
        self._format: tuple[Any, ...] = ()
        self._broken = 0
        self._note = ""
        settings = self._parameters.value
        self._decoder = FrameDecoder(
            model.input_size, settings.rotate, model.preprocessing, crop=settings.crop
        )
        self._stamps = ImageStamps(model.frame_interval)
        ring: ClipRing[Any] = ClipRing(model.clip_frames, model.frame_interval, self._decoder)
        self._fastest = 1.0 / model.period if model.period else math.inf
        self.feed = CameraFeed(name, ring, self._rate())
        topic.receivers.append(self._receive)

    def stop(self) -> None:
        """Forget the images."""
        self._format = ()
        self.feed.forget()

    def apply(self) -> None:
        """Take over parameters that have changed."""
        settings, decoder = self._parameters.value, self._decoder
        self.feed.max_rate = self._rate()
        if (settings.rotate, settings.crop) != (decoder.rotate, decoder.crop):
            decoder.rotate, decoder.crop = settings.rotate, settings.crop
            self._format = ()
            self.feed.forget()

    def watch(self) -> None:
        """Warn of missing or broken images; call it about once a second."""
        counts = self.feed.ring.counts
        if counts.broken != self._broken:
            self._broken = counts.broken
            self._warn(
                counts.error,
                f"{counts.broken} of {counts.received} images could not be used, most recently "
                f"because: {counts.error}",
            )
        if self._decoder.levels.note != self._note:
            self._note = self._decoder.levels.note
            self._node.get_logger().info(f"camera '{self._name}': {self._note}")
        if self._in_domain != self.feed.domain.in_domain:
            self._in_domain = self.feed.domain.in_domain
            log = self._node.get_logger()
            if self._in_domain:
                log.info(f"camera '{self._name}': images are within the model's domain again")
            else:
                log.warning(f"camera '{self._name}': {out_of_domain(self._model)}")
        if missing := self._missing:
            self._warn("silent", missing + self._topic.other_topics(f"{self._name}."))

    @property
    def silent(self) -> bool:
        """Whether no image has arrived for `image_timeout`."""
        topic = self._topic
        return topic.is_open and topic.silence >= float(self._node.settings.image_timeout)

    def part(self) -> Part:
        """State of this camera for the diagnostics."""
        counts = self.feed.ring.counts
        topic = self._topic
        values = {
            "topic": topic.topic,
            "transport": topic.transport,
            "received": counts.received,
            "dropped": counts.dropped,
            "broken": counts.broken,
            "restarts": counts.restarts,
            "seconds_since_image": topic.silence,
            "image_age": self._age,
            "refused_stamps": self._stamps.refused,
            "levels": self._note,
            "in_domain": self.feed.domain.in_domain,
            "last_error": self._unusable or counts.error,
        }
        # without subscribers nothing is decoded, and no good frame would end it
        unusable = self._unusable or (counts.failing if self.feed.subscriptions else "")
        if not topic.is_open:
            trouble = "not active"
        elif self.silent:
            trouble = self._missing
        elif unusable:
            trouble = f"no usable image: {unusable}"
        elif self._stamps.trouble:
            trouble = self._stamps.trouble
        elif abs(self._age) > STALE_STAMP_S:
            trouble = self._stale_stamps()
        else:
            trouble = self._missing or topic.mismatch
        if not trouble and not self.feed.domain.in_domain:
            trouble = out_of_domain(self._model)
        return checked(f"camera {self._name}", trouble, "images arrive", values)

    def _receive(self, message: ros.Message, image: ros.Message) -> None:
        """Handle a message; `image` is what the decoder is given: the message or a SharedImage."""
        now = self._node.get_clock().now().nanoseconds
        stamp = self._stamps.read(to_nanoseconds(message.header.stamp), now)
        if self._stamps.trouble:
            self._warn(self._stamps.trouble.partition("(")[0], self._stamps.trouble, 60.0)
        if stamp is None:
            return
        self._age = (now - stamp) / 1e9
        # no image is from the future, and none takes an hour to arrive
        taken = stamp if 0 <= self._age <= STALE_STAMP_S else now
        if abs(self._age) > DOUBTFUL_STAMP_S:
            self._warn("stale stamps", self._stale_stamps())
        present = tuple(getattr(message, name, None) for name in _FORMAT_FIELDS)
        if present != self._format:
            self._format = present
            self._try_format(message)
        self.feed.subscriptions = self._subscriptions(self._name)
        self._evidence.receive(self._name, stamp, message, self._decoder)
        self.feed.ring.push(stamp, image, message.header.frame_id, time.monotonic(), taken)
        self._node.worker.wake(bool(self.feed.subscriptions))

    def _try_format(self, message: ros.Message) -> None:
        """Decode the first image of each format, even while no result has subscribers."""
        self._unusable = ""
        try:
            replace(self._decoder, levels=LevelRange()).view(message)
        except FrameError as error:
            self._unusable = str(error)
            self._warn(self._unusable, f"images cannot be used: {error}")

    @property
    def _missing(self) -> str:
        """Why images are missing while they are expected; empty: they are not."""
        timeout = self._node.settings.image_timeout
        return self._topic.trouble(timeout) if self._topic.is_open else ""

    def _rate(self) -> float:
        """The camera's max_rate, else the node's, limited by the `period` of the model folder."""
        own, shared = self._parameters.value.max_rate, self._node.settings.max_rate
        return float(min(own or shared, self._fastest))

    def _stale_stamps(self) -> str:
        age, when = abs(self._age), "old" if self._age > 0 else "ahead of the clock"
        much = f"{age / 3600:.0f} h" if age > STALE_STAMP_S else f"{age:.0f} s"
        return (
            f"stamps are {much} {when}: is this a bag? Play it with --clock and start this node "
            "with use_sim_time:=true; a camera of another machine? Set both clocks (chrony)"
        )

    def _warn(self, cause: str, text: str, interval: float = 10.0) -> None:
        self._node.warn(f"camera '{self._name}': {text}", f"{self._name} {cause}", interval)
