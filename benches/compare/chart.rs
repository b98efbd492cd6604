//! The findings as a picture: for each scenario each proxy's cost, HAProxy's being 1.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::error::Error;
use crate::peer::{Peer, Subject, Variant};
use crate::result::Findings;
use crate::scenario::Field;

/// A bar of a group.
struct Bar {
    peer: Peer,
    ratio: f64,
}

/// A scenario and its bars.
struct Group {
    name: &'static str,
    bars: Vec<Bar>,
}

/// Above this a bar is cut and says so by its number: Envoy would dwarf what is to be compared.
const HIGHEST: f64 = 2.5;

/// Groups beside each other; more make a further row.
const ROW: usize = 8;

/// Room for the names of the colours, in groups.
const LEGEND: f64 = 0.5;

/// Draws an SVG; nothing where no scenario has HAProxy as a reference.
pub(crate) fn draw(all: &[Findings], path: &Path) -> Result<(), Error> {
    let groups: Vec<Group> = all.iter().filter_map(group).collect();
    if groups.is_empty() {
        return Ok(());
    }
    // A bar is as wide as its number.
    let bars = groups.iter().map(|group| group.bars.len()).max().unwrap_or(0);
    let width = 190 + (24 + 26 * bars) * groups.len().min(ROW);
    let height = 50 + 280 * groups.len().div_ceil(ROW);
    let points = |length| u32::try_from(length).unwrap_or(2_000);
    let area = SVGBackend::new(path, (points(width), points(height))).into_drawing_area();
    draw_groups(&area, &groups).map_err(|error| Error::Chart(error.to_string()))
}

fn group(findings: &Findings) -> Option<Group> {
    if matches!(findings.scenario.field, Field::Routes | Field::Logs) {
        return None;
    }
    let rows = findings.rows();
    // HAProxy at its best is 1: with its splice on where bodies are measured.
    let reference = *findings.scenario.references(Subject::of(Peer::Haproxy)).first()?;
    rows.iter().find(|row| row.subject == reference)?;
    let bars = rows.iter().filter_map(|row| {
        let peer = row.subject.peer;
        if row.subject == reference {
            return Some(Bar { peer, ratio: 1.0 });
        }
        let (_, ratio) = row.ratios.iter().find(|(beside, _)| *beside == reference)?;
        let is_shown = match peer {
            Peer::Haproxy => false,
            // The lower of the floors.
            Peer::Floor if findings.scenario.field == Field::Bodies => row.subject.variant == Variant::Splice,
            _ => row.subject.variant == Variant::Usual,
        };
        is_shown.then_some(Bar { peer, ratio: ratio.median })
    });
    Some(Group { name: findings.scenario.name, bars: bars.collect() })
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw_groups(area: &DrawingArea<SVGBackend<'_>, Shift>, groups: &[Group]) -> Drawn {
    area.fill(&WHITE)?;
    let title = "cost of a request, a connection or a byte beside HAProxy (1.0); less is better";
    let below = area.titled(title, ("sans-serif", 18))?;
    let rows = groups.chunks(ROW);
    for (row, part) in rows.clone().zip(below.split_evenly((rows.len(), 1))) {
        draw_row(&part, row, groups)?;
    }
    area.present()?;
    Ok(())
}

/// One row of the picture, as wide as a full one.
fn draw_row(area: &DrawingArea<SVGBackend<'_>, Shift>, groups: &[Group], all: &[Group]) -> Drawn {
    let width = all.len().min(ROW) as f64;
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..width + LEGEND, 0.0..HIGHEST * 1.12)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .x_labels(0)
        .y_max_light_lines(1)
        .y_desc("of HAProxy")
        .y_label_formatter(&|y| format!("{y:.1}"))
        .draw()?;
    let is_present = |peer: &Peer| groups.iter().any(|group| group.bars.iter().any(|bar| bar.peer == *peer));
    for peer in Peer::ALL.into_iter().filter(is_present) {
        let bars = groups.iter().enumerate().flat_map(|(index, group)| place(index, group, peer));
        let series = chart.draw_series(bars.map(|(left, right, ratio)| {
            Rectangle::new([(left, 0.0), (right, ratio.min(HIGHEST))], colour(peer).filled())
        }))?;
        series
            .label(peer.name())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], colour(peer).filled()));
    }
    for (index, group) in groups.iter().enumerate() {
        let name =
            EmptyElement::at((index as f64 + 0.4, 0.0)) + Text::new(group.name, (0, 8), ("sans-serif", 14));
        chart.draw_series([name])?;
        for peer in Peer::ALL {
            chart.draw_series(place(index, group, peer).map(|(left, _, ratio)| {
                EmptyElement::at((left, ratio.min(HIGHEST)))
                    + Text::new(number(ratio), (0, -11), ("sans-serif", 11))
            }))?;
        }
    }
    chart.draw_series(LineSeries::new([(0.0, 1.0), (width, 1.0)], BLACK.stroke_width(1)))?;
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(())
}

/// Left, right and height of a peer's bar in its group.
fn place(index: usize, group: &Group, peer: Peer) -> impl Iterator<Item = (f64, f64, f64)> {
    let width = 0.84 / group.bars.len().max(1) as f64;
    group.bars.iter().enumerate().filter(move |(_, bar)| bar.peer == peer).map(move |(position, bar)| {
        let left = index as f64 + 0.08 + width * position as f64;
        (left, left + width * 0.92, bar.ratio)
    })
}

fn number(ratio: f64) -> String {
    if ratio < 9.95 { format!("{ratio:.2}") } else { format!("{ratio:.0}") }
}

/// Told apart without red and green.
fn colour(peer: Peer) -> RGBColor {
    match peer {
        Peer::Lb => RGBColor(0, 90, 181),
        Peer::Haproxy => RGBColor(120, 120, 120),
        Peer::Nginx => RGBColor(230, 159, 0),
        Peer::Envoy => RGBColor(204, 121, 167),
        Peer::Pingora => RGBColor(86, 180, 233),
        Peer::Floor => RGBColor(210, 210, 210),
    }
}
