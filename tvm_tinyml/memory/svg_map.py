"""The memory plan as an SVG picture: steps to the right, addresses upwards, one rectangle per tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from tvm_tinyml.memory.memory_plan import MemoryPlan
from tvm_tinyml.memory.occupancy import (
    Region,
    occupied_bytes,
    operator_of,
    peak_time,
    printable,
    regions,
    shortened,
    time_name,
)
from tvm_tinyml.memory.program import Program

# Soft hues, in an order in which neighbours differ in lightness too; black text is legible on each.
_PALETTE = (
    "#8ecae6",
    "#f6bd60",
    "#84c9a0",
    "#f28482",
    "#cdb4db",
    "#b5c99a",
    "#a3b4e0",
    "#e6ccb2",
    "#f7aef8",
    "#80d8d0",
)
_INPUT_COLOUR = "#ced4da"
_OTHER_COLOUR = "#e9ecef"
_ALARM = "#c1121f"
_LEFT, _RIGHT = 84, 150
_STRIP_TOP, _STRIP_HEIGHT = 84, 52
_MAP_TOP, _MAP_HEIGHT = 164, 420
_FONT_SIZE = 10.5
_CHARACTER = 0.58 * _FONT_SIZE
_STYLE = f"""text {{ font-family: Helvetica, Arial, sans-serif; font-size: {_FONT_SIZE}px; fill: #212529; }}
.title {{ font-size: 18px; font-weight: bold; }} .note {{ font-size: 12px; fill: #495057; }}
.alarm {{ fill: {_ALARM}; }} .end {{ text-anchor: end; }} .middle {{ text-anchor: middle; }}
.grid {{ stroke: #dee2e6; stroke-width: 1; }} .axis {{ stroke: #495057; stroke-width: 1; }}
.block {{ stroke: #495057; stroke-width: 0.75; }} .output {{ stroke-width: 2.5; }}"""


@dataclass(frozen=True)
class _Scale:
    """Picture coordinates in px of times and addresses."""

    step_width: float
    step_count: int
    arena_bytes: int

    def x(self, time: float) -> float:
        """Left edge of step `time`; the moment before the first step is the first column."""
        return _LEFT + (time + 1) * self.step_width

    def y(self, address: float) -> float:
        """Height of `address` in the map."""
        return _MAP_TOP + _MAP_HEIGHT * (1 - address / self.arena_bytes)

    @property
    def right(self) -> float:
        """Right edge of the map."""
        return self.x(self.step_count + 1)


def draw_svg(program: Program, plan: MemoryPlan, *, title: str = "Memory plan") -> str:
    """Draw the arena over time as a stand-alone SVG document, ended by a newline.

    Rectangles are coloured by the operator that fills them and carry a tooltip with name, size, address range
    and lifetime; a strip above the map shows the bytes in use in every step. Of an input and an output that
    share bytes in place, each takes half of the step.
    """
    found = regions(program, plan)
    step_count = len(program.steps)
    step_width = min(64.0, max(18.0, 1080 / (step_count + 2)))
    scale = _Scale(step_width, step_count, max(plan.arena_bytes, 1))
    peak = peak_time(found, step_count)
    names = ["before", *(shortened(step.name, 28) for step in program.steps), "after"]
    legend_top = _MAP_TOP + _MAP_HEIGHT + 44 + _CHARACTER * max(map(len, names))
    width = max(scale.right + _RIGHT, 640)
    colours = _colours(found)
    legend, height = _legend(colours, legend_top, width)
    body = [
        *_heading(program, plan, title, peak, found),
        *_strip(found, scale, peak),
        *_axes(scale, names),
        *(part for region in found for part in _block(region, found, colours, scale)),
        *_limits(plan, scale),
        *legend,
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}">',
            f"<style>{_STYLE}</style>",
            '<defs><pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse">'
            '<path d="M-2 2L2 -2M0 8L8 0M6 10L10 6" stroke="#868e96" stroke-width="0.8"/></pattern></defs>',
            f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>',
            *body,
            "</svg>\n",
        ]
    )


def _text(x: float, y: float, content: str, kind: str = "", turned: bool = False) -> str:
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}"{turn}>{escape(printable(content))}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, attributes: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {attributes}/>'


def _rectangle(x: float, y: float, width: float, height: float, attributes: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" {attributes}/>'


def _colours(found: Sequence[Region]) -> dict[str, str]:
    """Colour of each operator, those that fill most bytes first; the palette is not used twice."""
    totals: dict[str, int] = {}
    for region in found:
        if region.writers:
            operator = operator_of(region.writers[-1])
            totals[operator] = totals.get(operator, 0) + region.nbytes
    ranked = sorted(totals, key=lambda operator: (-totals[operator], operator))
    return {
        operator: _PALETTE[i] if i < len(_PALETTE) else _OTHER_COLOUR for i, operator in enumerate(ranked)
    }


def _heading(
    program: Program, plan: MemoryPlan, title: str, peak: int, found: Sequence[Region]
) -> Iterable[str]:
    yield _text(_LEFT, 30, title, "title")
    quality = (
        "optimal" if plan.optimal else f"{plan.gap:.1%} above the lower bound of {plan.lower_bound:,} bytes"
    )
    yield _text(
        _LEFT,
        52,
        f"Arena {plan.arena_bytes:,} bytes, {quality} ({plan.method} planner). "
        f"Peak: {time_name(program, peak)} with {occupied_bytes(found, peak):,} bytes in use.",
        "note",
    )


def _strip(found: Sequence[Region], scale: _Scale, peak: int) -> Iterable[str]:
    """Bars of the bytes in use in each step, and a band through the map at the peak."""
    bottom = _STRIP_TOP + _STRIP_HEIGHT
    yield _rectangle(
        scale.x(peak),
        _STRIP_TOP,
        scale.step_width,
        _MAP_TOP + _MAP_HEIGHT - _STRIP_TOP,
        f'fill="{_ALARM}" fill-opacity="0.10"',
    )
    yield _text(_LEFT - 8, bottom, "in use", "end")
    yield _text(scale.x(peak + 0.5), _STRIP_TOP - 5, "peak", "alarm middle")
    for time in range(-1, scale.step_count + 1):
        used = occupied_bytes(found, time)
        height = _STRIP_HEIGHT * used / scale.arena_bytes
        yield (
            f"<g><title>{used:,} bytes in use</title>"
            + _rectangle(
                scale.x(time) + 1,
                bottom - height,
                scale.step_width - 2,
                height,
                f'fill="{_ALARM if time == peak else "#868e96"}"',
            )
            + "</g>"
        )
    yield _line(_LEFT, bottom, scale.right, bottom, 'class="axis"')


def _axes(scale: _Scale, names: Sequence[str]) -> Iterable[str]:
    bottom = _MAP_TOP + _MAP_HEIGHT
    unit, unit_name = (1024, "KiB") if scale.arena_bytes >= 8192 else (1, "bytes")
    step = _tick_step(scale.arena_bytes / unit)
    ticks = [step * index for index in range(int(scale.arena_bytes / unit / step) + 1)]
    for tick in ticks:
        y = scale.y(tick * unit)
        yield _line(_LEFT - 4, y, scale.right, y, 'class="grid"')
        yield _text(_LEFT - 8, y + 4, f"{tick:,.10g}", "end")
    yield _text(
        24, _MAP_TOP + _MAP_HEIGHT / 2, f"address in the arena ({unit_name})", "note middle", turned=True
    )
    yield _line(_LEFT, _MAP_TOP, _LEFT, bottom, 'class="axis"')
    yield _line(_LEFT, bottom, scale.right, bottom, 'class="axis"')
    for time, name in enumerate(names, start=-1):
        middle = scale.x(time + 0.5)
        if 0 <= time < scale.step_count:
            yield _text(middle, bottom + 14, str(time), "middle")
        yield _text(middle + 4, bottom + 20, name, "end", turned=True)


def _tick_step(maximum: float) -> float:
    """Distance of ticks, 1, 2 or 5 times a power of ten, that gives 5 to 11 of them up to `maximum`."""
    scale = 1.0
    while scale * 10 <= maximum / 5:
        scale *= 10
    while scale > maximum / 5 and scale > 1:
        scale /= 10
    return max(scale * factor for factor in (1, 2, 5) if factor == 1 or scale * factor <= maximum / 5)


def _block(
    region: Region, found: Sequence[Region], colours: Mapping[str, str], scale: _Scale
) -> Iterable[str]:
    left, right = scale.x(region.first), scale.x(region.last + 1)
    for other in found:
        if region.start < other.end and other.start < region.end:
            if region.last == other.first and region.first < other.first:
                right = scale.x(region.last + 0.5)
            elif region.first == other.last and other.first < region.first:
                left = scale.x(region.first + 0.5)
    top, bottom = scale.y(region.end), scale.y(region.start)
    colour = colours[operator_of(region.writers[-1])] if region.writers else _INPUT_COLOUR
    kind = "block output" if region.kind == "output" else "block"
    box = (left, top, right - left, bottom - top)
    yield f"<g><title>{escape(_tooltip(region, scale.step_count))}</title>"
    yield _rectangle(*box, f'class="{kind}" fill="{colour}"')
    if region.kind == "scratch":
        yield _rectangle(*box, 'fill="url(#hatch)"')
    yield from _label(region, *box)
    yield "</g>"


def _tooltip(region: Region, step_count: int) -> str:
    first = "the start" if region.first < 0 else f"step {region.first}"
    last = "the end" if region.last >= step_count else f"step {region.last}"
    lines = [
        f"{region.name} ({region.kind})",
        f"{region.nbytes:,} bytes at [{region.start:,}, {region.end:,})",
        f"from {first} to {last}",
    ]
    if region.writers:
        lines.append(f"filled by {', '.join(region.writers)}")
    if region.views:
        lines.append(f"views: {', '.join(region.views)}")
    return "\n".join(map(printable, lines))


def _label(region: Region, left: float, top: float, width: float, height: float) -> Iterable[str]:
    """The longest text that fits, upright if possible."""
    source = region.writers[-1] if region.writers else shortened(region.name, 24)
    if region.kind == "scratch":
        source = "scratch"
    size = f"{region.nbytes:,}"
    x, y = left + width / 2, top + height / 2 + 0.35 * _FONT_SIZE
    if width >= _CHARACTER * max(len(source), len(size)) + 6 and height >= 2.6 * _FONT_SIZE:
        yield _text(x, y - 0.6 * _FONT_SIZE, source, "middle")
        yield _text(x, y + 0.6 * _FONT_SIZE, size, "middle")
        return
    for text in (f"{source} · {size}", source, size):
        length = _CHARACTER * len(text) + 6
        if length <= width and height >= 1.15 * _FONT_SIZE:
            yield _text(x, y, text, "middle")
            return
        if length <= height and width >= 1.15 * _FONT_SIZE:
            yield _text(x + 0.35 * _FONT_SIZE, top + height / 2, text, "middle", turned=True)
            return


def _limits(plan: MemoryPlan, scale: _Scale) -> Iterable[str]:
    limits = [(plan.arena_bytes, "arena", f'stroke="{_ALARM}" stroke-width="1.5" stroke-dasharray="7 4"')]
    if not plan.optimal:
        limits.append((plan.lower_bound, "lower bound", 'stroke="#495057" stroke-dasharray="2 3"'))
    for index, (nbytes, name, attributes) in enumerate(limits):
        y = scale.y(nbytes)
        yield _line(_LEFT, y, scale.right + 6, y, attributes)
        # Close lines keep their labels apart.
        text_y = max(y, scale.y(plan.arena_bytes) + 16 * index) + 4
        yield _text(scale.right + 10, text_y, f"{name} {nbytes:,} B", "" if index else "alarm")


def _legend(colours: Mapping[str, str], top: float, width: float) -> tuple[list[str], float]:
    """Samples with names in as many rows as needed, and the height of the whole picture."""
    named = [(operator, f'class="block" fill="{c}"') for operator, c in colours.items() if c != _OTHER_COLOUR]
    if len(named) < len(colours):
        named.append(("other operators", f'class="block" fill="{_OTHER_COLOUR}"'))
    named += [
        ("input", f'class="block" fill="{_INPUT_COLOUR}"'),
        ("output", 'class="block output" fill="white"'),
        ("scratch", 'class="block" fill="url(#hatch)"'),
    ]
    parts = []
    x, y = float(_LEFT), top
    for name, attributes in named:
        length = 34 + _CHARACTER * len(shortened(name, 28))
        if x + length > width and x > _LEFT:
            x, y = float(_LEFT), y + 20
        parts += [_rectangle(x, y - 10, 14, 12, attributes), _text(x + 20, y, shortened(name, 28))]
        x += length
    return parts, y + 20
