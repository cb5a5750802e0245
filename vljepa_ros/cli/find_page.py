"""The page of `vljepa find --html`: one file, thumbnails inside, nothing from the net."""

from __future__ import annotations

import base64
from html import escape
from typing import Any

from vljepa_ros.cli.memory_place import bag_name, clock

_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2em auto;max-width:64em;padding:0 1em}"
    "article{border-top:1px solid #8884;padding:1em 0}"
    "img{max-width:100%;height:auto;border-radius:4px}"
    "b{font-variant-numeric:tabular-nums}small{opacity:.7}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}}"
)


def page(text: str, moments: list[Any]) -> str:
    """HTML of moments, best first."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>{escape(text)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(text)}</h1>",
    ]
    if not moments:
        parts.append("<p>Nothing fits.</p>")
    for moment in moments:
        length = (moment.end - moment.start) / 1e9
        image = ""
        if moment.best.thumbnail:
            data = base64.b64encode(moment.best.thumbnail).decode()
            image = f"<img src='data:image/jpeg;base64,{data}' alt='what the camera saw'>"
        parts.append(
            f"<article><p><b>{moment.score:.3f}</b> {escape(moment.text)}<br>"
            f"<small>{escape(clock(moment.stamp))} in {escape(clock(moment.start))} + "
            f"{length:.1f} s, camera {escape(moment.camera)}, "
            f"<span title='{escape(moment.source, quote=True)}'>{escape(bag_name(moment.source))}"
            f"</span></small></p>{image}</article>"
        )
    return "\n".join([*parts, "</html>"]) + "\n"
