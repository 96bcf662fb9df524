//! Plots: SVG of rectangles, lines and short texts, with classes that the page's style gives colours.
//!
//! Texts are labels of the program's own and numbers; what comes from outside is in tables, not in plots. All goes
//! through [`Escaped`] nevertheless.

use std::fmt::Write as _;

use super::effect::grouped;
use super::escaped::Escaped;
use super::{Report, rule_name, text::delay_class};

/// Width of a plot in its own units: near that of a telephone in pixels, so that texts keep their size there.
const WIDTH: u64 = 360;

/// Height of a line of text and of a horizontal bar with its gap.
const LINE: u64 = 22;

/// Height of the field of vertical bars.
const FIELD: u64 = 130;

/// Width of a character, at most on average.
const CHARACTER: u64 = 7;

/// Width that horizontal bars have at least, beside their labels and values.
const BARS: u64 = 40;

/// The style of what is in the plots; the colours are the page's.
pub(super) const STYLE: &str = "
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg .end { text-anchor: end; }
.back, .heat { fill: var(--back); } .never { fill: var(--never); } .waiting { fill: var(--waiting); }
.mark { fill: var(--mark); }
";

/// An SVG image of this height, with a title for those who cannot see it.
fn svg(title: &str, height: u64, body: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">{body}</svg>",
        Escaped(title)
    )
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok());
}

/// `part` of `whole` as a part of `length`; something is never nothing.
fn scaled(part: u64, whole: u64, length: u64) -> u64 {
    if part == 0 {
        return 0;
    }
    part.saturating_mul(length)
        .checked_div(whole)
        .unwrap_or_default()
        .clamp(1, length)
}

/// Strangers by day, stacked: those that came back, those that never did, those that still can. A mark below a day says
/// that something changed.
#[must_use]
pub(super) fn by_day(report: &Report) -> String {
    let days = &report.days;
    let most = days
        .iter()
        .map(|day| day.effect.strangers)
        .max()
        .unwrap_or_default();
    let count = days.len() as u64;
    let mut body = String::new();
    for (number, day) in (0_u64..).zip(days) {
        let left = number.saturating_mul(WIDTH) / count.max(1);
        let right = number.saturating_add(1).saturating_mul(WIDTH) / count.max(1);
        // Many days have no gaps: they would be seen rather than the days.
        let gap = u64::from(count.saturating_mul(4) <= WIDTH);
        let width = right.saturating_sub(left).saturating_sub(gap).max(1);
        let mut top = FIELD.saturating_add(LINE);
        let parts = [
            ("back", day.effect.came_back),
            ("never", day.effect.never),
            (
                "waiting",
                day.effect.waiting.saturating_add(day.effect.survived),
            ),
        ];
        for (class, value) in parts {
            let height = scaled(value, most, FIELD);
            top = top.saturating_sub(height);
            push(
                &mut body,
                format_args!(
                    "<rect class=\"{class}\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/>"
                ),
            );
        }
        if !day.changes.is_empty() {
            let y = FIELD.saturating_add(LINE).saturating_add(2);
            push(
                &mut body,
                format_args!(
                    "<rect class=\"mark\" x=\"{left}\" y=\"{y}\" width=\"{width}\" height=\"4\"/>"
                ),
            );
        }
    }
    let label = |day: Option<&super::Day>| day.map_or_else(String::new, |day| day.label.clone());
    let base = FIELD.saturating_add(LINE * 2);
    push(
        &mut body,
        format_args!(
            "<text x=\"0\" y=\"14\">{} a day at most</text>",
            grouped(most)
        ),
    );
    push(
        &mut body,
        format_args!(
            "<text x=\"0\" y=\"{base}\">{}</text>",
            Escaped(&label(days.first()))
        ),
    );
    if days.len() > 1 {
        push(
            &mut body,
            format_args!(
                "<text class=\"end\" x=\"{WIDTH}\" y=\"{base}\">{}</text>",
                Escaped(&label(days.last()))
            ),
        );
    }
    svg("Strangers by day", base.saturating_add(8), &body)
}

/// A horizontal bar with a lighter part, its label and its values.
struct Bar {
    label: String,
    whole: u64,
    part: u64,
    value: String,
}

/// The width that texts need, with a gap.
fn width<'t>(texts: impl Iterator<Item = &'t String>) -> u64 {
    let most = texts.map(|text| text.chars().count()).max();
    let most = most.unwrap_or_default().saturating_add(1) as u64;
    most.saturating_mul(CHARACTER)
}

fn bars(title: &str, bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.whole).max().unwrap_or_default();
    let labels = width(bars.iter().map(|bar| &bar.label));
    let values = width(bars.iter().map(|bar| &bar.value));
    let room = WIDTH
        .saturating_sub(labels)
        .saturating_sub(values)
        .max(BARS);
    let mut body = String::new();
    for (number, bar) in (0_u64..).zip(bars) {
        let top = number.saturating_mul(LINE);
        let base = top.saturating_add(15);
        push(
            &mut body,
            format_args!("<text x=\"0\" y=\"{base}\">{}</text>", Escaped(&bar.label)),
        );
        let y = top.saturating_add(4);
        for (class, value) in [("never", bar.whole), ("back", bar.part)] {
            let width = scaled(value, most, room);
            push(
                &mut body,
                format_args!(
                    "<rect class=\"{class}\" x=\"{labels}\" y=\"{y}\" width=\"{width}\" height=\"14\"/>"
                ),
            );
        }
        push(
            &mut body,
            format_args!(
                "<text class=\"end\" x=\"{WIDTH}\" y=\"{base}\">{}</text>",
                Escaped(&bar.value)
            ),
        );
    }
    svg(
        title,
        (bars.len() as u64).saturating_mul(LINE).max(1),
        &body,
    )
}

/// Strangers by check, with the part that came back.
#[must_use]
pub(super) fn by_rule(report: &Report) -> String {
    let rules = report.rules.iter().map(|rule| Bar {
        label: rule_name(&rule.word),
        whole: rule.strangers,
        part: rule.came_back,
        value: format!("{}/{}", grouped(rule.came_back), grouped(rule.strangers)),
    });
    bars("Strangers by check", &rules.collect::<Vec<_>>())
}

/// Those that came back, by their delay.
#[must_use]
pub(super) fn by_delay(report: &Report) -> String {
    let delays = report.effect.delays().map(|(most, count)| Bar {
        label: delay_class(most),
        whole: count,
        part: count,
        value: grouped(count),
    });
    bars(
        "Those that came back, by delay",
        &delays.collect::<Vec<_>>(),
    )
}

/// Strangers by weekday and hour: the more, the darker.
#[must_use]
pub(super) fn by_weekday(report: &Report) -> String {
    const SIDE: u64 = 13;
    const LEFT: u64 = 40;
    let all = report.weekdays.iter().flatten();
    let most = all.copied().max().unwrap_or_default();
    let names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let mut body = String::new();
    for (row, (name, hours)) in (0_u64..).zip(names.into_iter().zip(report.weekdays)) {
        let top = row.saturating_mul(SIDE.saturating_add(3));
        let base = top.saturating_add(11);
        push(
            &mut body,
            format_args!("<text x=\"0\" y=\"{base}\">{name}</text>"),
        );
        for (hour, count) in (0_u64..).zip(hours) {
            let x = hour.saturating_mul(SIDE).saturating_add(LEFT);
            let width = SIDE.saturating_sub(1);
            // Something is visible beside nothing.
            let percent = if count == 0 {
                6
            } else {
                scaled(count, most, 80).saturating_add(20)
            };
            push(
                &mut body,
                format_args!(
                    "<rect class=\"heat\" x=\"{x}\" y=\"{top}\" width=\"{width}\" height=\"{SIDE}\" \
                     fill-opacity=\"{}\"><title>{name} {hour}:00: {}</title></rect>",
                    Opacity(percent),
                    grouped(count)
                ),
            );
        }
    }
    let base = SIDE.saturating_add(3).saturating_mul(7).saturating_add(14);
    for hour in [0_u64, 6, 12, 18] {
        let x = hour.saturating_mul(SIDE).saturating_add(LEFT);
        push(
            &mut body,
            format_args!("<text x=\"{x}\" y=\"{base}\">{hour}:00</text>"),
        );
    }
    svg(
        "Strangers by weekday and hour",
        base.saturating_add(6),
        &body,
    )
}

/// Percent as a fraction.
struct Opacity(u64);

impl std::fmt::Display for Opacity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}
