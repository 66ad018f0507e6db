"""Horizontal bars as SVG, readable on a light and on a dark page."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping

_WIDTH, _LABELS, _ROW, _TOP = 760, 260, 26, 44
_FONT = "font-family='system-ui, sans-serif' font-size='13'"
_OURS, _OTHERS, _TEXT = "#2f81f7", "#8b949e", "#6e7681"


def bars(title: str, values: Mapping[str, float], *, ours: str, unit: float) -> str:
    """Draw a bar for each value, in colour where a name begins with `ours`; a line is the unit."""
    height = _TOP + _ROW * len(values) + 12
    scale = (_WIDTH - _LABELS - 60) / max(*values.values(), unit)
    rows = [
        _row(name, value, _TOP + _ROW * index, scale, _OURS if name.startswith(ours) else _OTHERS)
        for index, (name, value) in enumerate(values.items())
    ]
    line = _LABELS + unit * scale
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {height}' {_FONT}>",
            f"<text x='8' y='22' fill='{_TEXT}' font-weight='600'>{escape(title)}</text>",
            *rows,
            f"<path d='M{line:.1f} {_TOP - 8}V{height - 6}' stroke='{_TEXT}'/>",
            "</svg>\n",
        ]
    )


def _row(name: str, value: float, top: int, scale: float, colour: str) -> str:
    width = max(1.0, value * scale)
    middle = top + 16
    return (
        f"<text x='{_LABELS - 8}' y='{middle}' fill='{_TEXT}' text-anchor='end'>"
        f"{escape(name)}</text>"
        f"<rect x='{_LABELS}' y='{top + 3}' width='{width:.1f}' height='{_ROW - 8}' rx='3' "
        f"fill='{colour}'/>"
        f"<text x='{_LABELS + width + 6:.1f}' y='{middle}' fill='{_TEXT}'>{value:.2f}</text>"
    )
