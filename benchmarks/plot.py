"""The plot: horizontal bars as an SVG of its own, readable on light and on dark pages."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks.peer import OURS
from benchmarks.report import Bars

WIDTH, LEFT, RIGHT = 760, 200, 90
ROW, GAP, TOP = 22, 44, 24
WORST_SHOWN = 30  # times ours: longer bars are cut, and say so
STYLE = """
    .card { fill: #ffffff; stroke: #cfd8dc }
    text { fill: #263238 }
    .title { font-weight: 600 }
    .ours { fill: #3949ab }
    .other { fill: #90a4ae }
    @media (prefers-color-scheme: dark) {
      .card { fill: #1e2129; stroke: #455a64 }
      text { fill: #eceff1 }
      .ours { fill: #8c9eff }
      .other { fill: #607d8b }
    }
"""


def svg(charts: Sequence[Bars], title: str) -> str:
    """Draw all charts, one below the other."""
    parts, y = [], TOP
    for chart in charts:
        drawn, y = _chart(chart, y)
        parts.append(drawn)
    height = y
    said = "; ".join(
        f"{chart.title}: {', '.join(f'{name} {value:.0f}' for name, value in chart.values.items())}"
        for chart in charts
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        ' aria-labelledby="title description" font-family="system-ui, sans-serif" font-size="13">\n'
        f'  <title id="title">{escape(title)}</title>\n'
        f'  <desc id="description">{escape(said)}</desc>\n'
        f"  <style>{STYLE}  </style>\n"
        f'  <rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>\n'
        + "".join(parts)
        + "</svg>\n"
    )


def _chart(chart: Bars, y: int) -> tuple[str, int]:
    ordered = sorted(chart.values.items(), key=lambda pair: pair[1])
    most = WORST_SHOWN * max(chart.values.get(OURS, 1.0), 1.0)
    longest = max(1.0, min(most, max(chart.values.values())))
    lines = [f'  <text class="title" x="20" y="{y + 8}">{escape(chart.title)}</text>\n']
    y += 20
    for name, value in ordered:
        length = max(1.0, min(value, longest) / longest * (WIDTH - LEFT - RIGHT))
        kind = "ours" if name.startswith(OURS) else "other"
        cut = " …" if value > longest else ""
        lines.append(
            f'  <text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>\n'
            f'  <rect class="{kind}" x="{LEFT}" y="{y + 2}" width="{length:.1f}" height="{ROW - 6}" rx="2"/>\n'
            f'  <text x="{LEFT + length + 6:.1f}" y="{y + 14}">{max(value, 0):,.0f}{cut}</text>\n'
        )
        y += ROW
    return "".join(lines), y + GAP - ROW
