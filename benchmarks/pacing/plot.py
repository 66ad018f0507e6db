"""The plot: requests a second against a limit that changes, as an SVG."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from attrs import frozen

from pacing.clients import Paced, Unpaced
from pacing.scenarios import CHANGES, changing
from pacing.servers import exact
from pacing.work import Result, simulate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pacing.engine import Client

LIMITS = ((0.0, 50.0), *CHANGES)
SCENARIO = changing(exact)
SECONDS = 320
MOST = 220

WIDTH, HEIGHT = 920, 560
LEFT, RIGHT, TOP, PANEL, GAP = 64, 24, 74, 186, 62

STYLE = """
  .page { fill: #ffffff; } text { font: 13px system-ui, sans-serif; fill: #57606a; }
  .title { font-size: 17px; font-weight: 600; fill: #1f2328; }
  .name { font-size: 14px; font-weight: 600; fill: #1f2328; }
  .grid { stroke: #d8dee4; stroke-width: 1; } .axis { stroke: #8c959f; stroke-width: 1; }
  .good { fill: #8fd19e; } .bad { fill: #e5534b; }
  .limit { fill: none; stroke: #0b3d91; stroke-width: 2; stroke-dasharray: 7 4; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; } text { fill: #9198a1; } .title, .name { fill: #f0f6fc; }
    .grid { stroke: #2a313c; } .axis { stroke: #656c76; } .limit { stroke: #79c0ff; }
    .good { fill: #2f6f3e; } .bad { fill: #f85149; }
  }
"""


@frozen
class Panel:
    """One client's requests over time; `top` is its upper edge in the picture."""

    name: str
    result: Result
    top: int

    def lines(self) -> list[str]:
        """Its elements."""
        good, bad = Counter(map(int, self.result.good)), Counter(map(int, self.result.bad))
        total = {second: good[second] + bad[second] for second in range(SECONDS)}
        return [
            *self._grid(),
            f'<path class="bad" d="{self._area(total)}"/>',
            f'<path class="good" d="{self._area(good)}"/>',
            f'<path class="limit" d="{self._limit()}"/>',
            text(LEFT, self.top - 12, self.name, "name"),
            text(WIDTH - RIGHT, self.top - 12, self._told(), anchor="end"),
        ]

    def _told(self) -> str:
        sent = self.result.granted + self.result.refused
        took = self.result.finished / SCENARIO.ideal
        return (
            f"{sent:,} requests for {self.result.granted:,} items, "
            f"{self.result.refused:,} throttled; {took:.2f} times the ideal time"
        )

    def _grid(self) -> Iterable[str]:
        for rate in range(0, MOST, 50):
            y = self._y(rate)
            kind = "grid" if rate else "axis"
            yield f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:g}" y2="{y:g}"/>'
            yield text(LEFT - 8, y + 4, f"{rate}/s", anchor="end")

    def _area(self, rates: dict[int, int]) -> str:
        points = [f"M{x(0):g} {self._y(0):g}"]
        for second in range(SECONDS):
            y = self._y(min(rates.get(second, 0), MOST))
            points.append(f"L{x(second):g} {y:g}L{x(second + 1):g} {y:g}")
        return "".join([*points, f"L{x(SECONDS):g} {self._y(0):g}Z"])

    def _limit(self) -> str:
        ends = [since for since, _ in LIMITS[1:]] + [float(SECONDS)]
        steps = [
            f"{x(since):g} {self._y(rate):g}L{x(end):g} {self._y(rate):g}"
            for (since, rate), end in zip(LIMITS, ends, strict=True)
        ]
        return "M" + "L".join(steps)

    def _y(self, rate: float) -> float:
        return round(self.top + PANEL * (1 - rate / MOST), 1)


def x(second: float) -> float:
    """Where a time is."""
    return round(LEFT + (WIDTH - LEFT - RIGHT) * second / SECONDS, 1)


def text(left: float, top: float, words: str, kind: str = "", *, anchor: str = "start") -> str:
    """A line of text."""
    return f'<text class="{kind}" x="{left:g}" y="{top:g}" text-anchor="{anchor}">{words}</text>'


def draw() -> str:
    """Run both clients and draw what they sent."""
    second = TOP + PANEL + GAP
    panels = [
        Panel("This client: one rate for all requests", run(Paced(1)), TOP),
        Panel("Exponential backoff in each request", run(Unpaced(1)), second),
    ]
    bottom = second + PANEL
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            "<title>Requests per second against an undocumented limit</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
            text(LEFT, 28, "Requests per second against an undocumented limit", "title"),
            *legend(),
            *(line for panel in panels for line in panel.lines()),
            *(text(x(at), bottom + 20, f"{at} s", anchor="middle") for at in range(0, SECONDS, 60)),
            "</svg>\n",
        ]
    )


def legend() -> Iterable[str]:
    """What the colours say, at the upper right."""
    left = WIDTH - RIGHT - 282
    yield f'<rect class="good" x="{left}" y="17" width="13" height="13"/>'
    yield text(left + 19, 28, "answered")
    yield f'<rect class="bad" x="{left + 92}" y="17" width="13" height="13"/>'
    yield text(left + 111, 28, "throttled")
    yield f'<path class="limit" d="M{left + 188} 24h36"/>'
    yield text(left + 230, 28, "the limit")


def run(client: Client) -> Result:
    """One client on the limit that changes."""
    return simulate([client], SCENARIO.server(), SCENARIO.work(1))[0]
