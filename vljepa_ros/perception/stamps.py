"""Chooses the stamp of an image: its own, or its time of arrival if its own is unusable.

Used wherever images are kept by stamp: in perception, and for the thumbnails of the memory.
"""

from __future__ import annotations

UNUSABLE = 3.0
"""Number of images with an unusable stamp after which the time of arrival is used: consecutive ones
for a repeated stamp, any for time that jumps back. (One jump is normal: a bag in a loop.)"""
FORGIVEN = 0.1  # of a jump back, by each good image
TRUSTED = 50  # good images in a row after which a camera's own stamps are used again


class ImageStamps:
    """Chooses the stamps of one camera; it must see every image, in the order of arrival.

    Args:
        interval: Seconds between two images of a clip; up to half of it is no jump back.

    Attributes:
        refused: Number of images left out so far.
        trouble: What is wrong with the newest stamps, and what is done; empty: nothing.
    """

    def __init__(self, interval: float) -> None:
        self.refused = 0
        self.trouble = ""
        self._jump = -round(interval * 1e9) // 2
        self._last: int | None = None
        self._repeats = 0.0
        self._jumps = 0.0
        self._arrival = False
        self._wrong = ""
        self._good = 0

    def read(self, stamp: int, arrival: int) -> int | None:
        """The stamp to use, nanoseconds; None: the image must be left out.

        Args:
            stamp: Nanoseconds, the camera's own.
            arrival: Nanoseconds, of the node's clock.
        """
        self._wrong = self._judge(stamp) or self._wrong
        if self._repeats >= UNUSABLE or self._jumps >= UNUSABLE or stamp == 0:
            self._arrival = True
        elif self._good >= TRUSTED:
            self._arrival = False
        if self._arrival:
            self.trouble = (
                f"images have {self._wrong}, the time of arrival is "
                "taken; set header.stamp in the camera's driver"
            )
            return arrival
        self.trouble = ""
        if stamp < 0:
            self.refused += 1
            self.trouble = f"an image is left out, it has {self._wrong}"
            return None
        return stamp

    def _judge(self, stamp: int) -> str:
        """What is wrong with a stamp, which is counted; empty: nothing."""
        step = None if self._last is None else stamp - self._last
        if stamp > 0:
            self._last = stamp
        wrong = ""
        if stamp == 0:
            wrong = "no stamp"
        elif stamp < 0:
            wrong = f"a negative stamp ({stamp / 1e9:.3f} s)"
        elif step == 0:
            wrong = f"the same stamp again and again ({stamp / 1e9:.3f} s)"
        elif step is not None and step < self._jump:
            self._jumps = min(self._jumps + 1.0, UNUSABLE)
            self._good = 0
            return f"stamps that jump back ({-step / 1e9:.3f} s)"
        if wrong:
            self._repeats, self._good = self._repeats + 1.0, 0
            return wrong
        self._repeats, self._good = 0.0, self._good + 1
        self._jumps = max(0.0, self._jumps - FORGIVEN)
        return ""
