"""Kinds of panels, each with what dashboards here want of it, and how they stand on a dashboard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from grafana_foundation_sdk.builders import common, dashboard, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    DataSourceRef,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TableAutoCellOptions,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import Dashboard as DashboardModel
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DynamicConfigValue,
    FieldColorModeId,
    GridPos,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.dashboard import Panel as PanelModel

Target = Builder[Dataquery]
#: Colours that stand out from Grafana's dark background, its default, also for eyes that tell red from green
#: badly (Okabe and Ito). Those of our own pages are made for a light one.
GOOD, FAIR, BAD = "#009e73", "#e69f00", "#d55e00"
PALE = "#56b4e9"
STATUS_COLOURS = {
    "succeeded": GOOD,
    "rolled_back": FAIR,
    "rejected": "#cc79a7",
    "pruned": PALE,
    "failed": BAD,
    "abandoned": "#999999",
}
TAG = "evometrics"
COLUMNS = 24


class AnyPanel(Protocol):
    """What the SDK's builders of panels have in common."""

    def build(self) -> PanelModel: ...


def link_to(uid: str, text: str, **variables: str) -> dict[str, str]:
    """Return a link of a cell to another dashboard, at the same time, with values for its variables."""
    given = "".join(f"&var-{name}={value}" for name, value in variables.items())
    return {"title": text, "url": f"/d/{uid}?${{__url_time_range}}{given}"}


def limits(*steps: tuple[float, str], below: str = GOOD) -> dashboard.ThresholdsConfig:
    """Return colours by value: `below` up to the first step."""
    given = [Threshold(None, below), *(Threshold(value, colour) for value, colour in steps)]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(given)


def figures(
    title: str,
    description: str,
    *targets: Target,
    unit: str = "short",
    width: int = 4,
    thresholds: dashboard.ThresholdsConfig | None = None,
    decimals: int | None = None,
    units: Mapping[str, str] | None = None,
    fields: str = "",
) -> stat.Panel:
    """Return large figures: each column of numbers, or those that the expression `fields` names."""
    panel = stat.Panel().title(title).description(description).unit(unit).no_value("-").height(4).span(width)
    panel = panel.graph_mode(BigValueGraphMode.NONE).color_mode(BigValueColorMode.VALUE)
    panel = panel.text_mode(BigValueTextMode.AUTO)
    panel = panel.reduce_options(
        common.ReduceDataOptions().values(False).calcs(["lastNotNull"]).fields(fields)
    )
    panel = panel.thresholds(thresholds or limits(below=PALE))
    if decimals is not None:
        panel = panel.decimals(decimals)
    for name, other in (units or {}).items():
        panel = panel.override_by_name(name, [DynamicConfigValue("unit", other)])
    for target in targets:
        panel = panel.with_target(target)
    return panel


def series(
    title: str,
    description: str,
    *targets: Target,
    unit: str = "short",
    width: int = 12,
    label: str | None = None,
    bars: bool = False,
    points: bool = False,
    colours: Mapping[str, str] | None = None,
    band: tuple[str, str] | None = None,
    most: float | None = None,
    least: float | None = 0,
) -> timeseries.Panel:
    """Return time series.

    `label` is the label that names a series; `bars` are stacked; `points` are shown where values are rare;
    `band` is the names of the series between which to fill; `least` and `most` end the axis.
    """
    panel = timeseries.Panel().title(title).description(description).unit(unit).height(8).span(width)
    legend = common.VizLegendOptions().show_legend(True).placement(LegendPlacement.BOTTOM)
    panel = panel.legend(legend.display_mode(LegendDisplayMode.LIST).calcs([]))
    tooltip = common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
    panel = panel.tooltip(tooltip).line_width(1).fill_opacity(0)
    if label is not None:
        panel = panel.display_name(f"${{__field.labels.{label}}}")
    if bars:
        panel = panel.draw_style(GraphDrawStyle.BARS).fill_opacity(80)
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    else:
        panel = panel.draw_style(GraphDrawStyle.LINE).span_nulls(True)
        panel = panel.show_points(VisibilityMode.ALWAYS if points else VisibilityMode.AUTO)
    if least is not None:
        panel = panel.min(least)
    if most is not None:
        panel = panel.max(most)
    for name, colour in (colours or {}).items():
        panel = panel.override_by_name(name, [fixed(colour)])
    if band is not None:
        low, high = band
        edge = [DynamicConfigValue("custom.lineWidth", 0), fixed(PALE)]
        filled = [
            DynamicConfigValue("custom.fillBelowTo", low),
            DynamicConfigValue("custom.fillOpacity", 20),
        ]
        panel = panel.override_by_name(low, edge).override_by_name(high, edge + filled)
    for target in targets:
        panel = panel.with_target(target)
    return panel


def fixed(colour: str) -> DynamicConfigValue:
    """Return a field's colour, whatever its value."""
    return DynamicConfigValue("color", {"mode": FieldColorModeId.FIXED, "fixedColor": colour})


def listing(
    title: str,
    description: str,
    *targets: Target,
    width: int = 24,
    height: int = 8,
    units: Mapping[str, str] | None = None,
    links: Mapping[str, Mapping[str, str]] | None = None,
    hidden: Iterable[str] = (),
) -> table.Panel:
    """Return a table, with `units` and `links` of its columns, and `hidden` ones that links take values "
    "of."""
    panel = table.Panel().title(title).description(description).height(height).span(width)
    panel = panel.show_header(True).filterable(True).cell_options(TableAutoCellOptions())
    for name, unit in (units or {}).items():
        panel = panel.override_by_name(name, [DynamicConfigValue("unit", unit)])
    for name, link in (links or {}).items():
        panel = panel.override_by_name(name, [DynamicConfigValue("links", [dict(link)])])
    for name in hidden:
        panel = panel.override_by_name(name, [DynamicConfigValue("custom.hidden", True)])
    for target in targets:
        panel = panel.with_target(target)
    return panel


def states(
    title: str, description: str, *targets: Target, words: Mapping[str, tuple[str, str]], width: int = 12
) -> statetimeline.Panel:
    """Return what state something was in over time; `words` has text and colour for each value."""
    panel = statetimeline.Panel().title(title).description(description).height(8).span(width)
    panel = panel.show_value(VisibilityMode.NEVER).row_height(0.8).merge_values(True)
    legend = common.VizLegendOptions().show_legend(True).placement(LegendPlacement.BOTTOM)
    panel = panel.legend(legend.display_mode(LegendDisplayMode.LIST).calcs([]))
    mapped = {value: ValueMappingResult(text=text, color=colour) for value, (text, colour) in words.items()}
    panel = panel.mappings([ValueMap(options=mapped)])
    for target in targets:
        panel = panel.with_target(target)
    return panel


def assembled(
    start: dashboard.Dashboard,
    source: DataSourceRef,
    rows: Mapping[str, Sequence[AnyPanel]],
    closed: str | None = None,
) -> DashboardModel:
    """Return a dashboard with rows of panels, side by side until 24 columns are full.

    The last row may be `closed`: its panels ask once it is opened.

    Ids are a hundred times the row's number plus the panel's: a link to a panel stays right where another row
    grows. The SDK gives none, and places a panel that does not fit beyond the edge. Raises ValueError where
    the panels of a line are not 24 columns wide.
    """
    links = dashboard.DashboardLink("evometrics").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    links = links.icon("external link").keep_time(True)
    start = start.tags([TAG]).editable().tooltip(DashboardCursorSync.CROSSHAIR).link(links)
    y = 0
    for number, (title, panels) in enumerate(rows.items(), 1):
        row = dashboard.Row(title).id(100 * number).grid_pos(GridPos(x=0, y=y, w=COLUMNS, h=1))
        if title == closed:
            row = row.collapsed(True)
        else:
            start = start.with_row(row)
        x, y, tallest = 0, y + 1, 0
        for place, panel in enumerate(panels, 1):
            built: Any = panel
            model = built.id(100 * number + place).datasource(source).build()
            model.grid_pos = GridPos(x=x, y=y, w=model.grid_pos.w, h=model.grid_pos.h)
            if title == closed:
                row = row.with_panel(built)
            else:
                start = start.with_panel(built)
            x, tallest = x + model.grid_pos.w, max(tallest, model.grid_pos.h)
            if x == COLUMNS:
                x, y, tallest = 0, y + tallest, 0
        if title == closed:
            start = start.with_row(row)
        if x:
            raise ValueError(f"{title}: the last line of panels is {x} columns wide, not {COLUMNS}")
    return start.build()
