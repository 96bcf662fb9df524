//! The targets, each a ratio of figures of the same run. Those of the table are [`judge`]d there.

use crate::cells::Cell;
use crate::load::Sample;
use crate::spread::Spread;
use crate::verdict::Bound;

/// Clients that need no lookup, where lookups are configured, against the same server without.
pub(crate) const NEEDS_NO_LOOKUP: Bound = Bound::Least(0.98);

/// The same while every list is silent, and some clients are looked up.
pub(crate) const WHILE_SILENT: Bound = Bound::Least(0.95);

/// Clients with cached findings, against null.
pub(crate) const CACHED_FINDINGS: Bound = Bound::Least(0.4);

/// MB of private memory that a hundred thousand findings may take.
pub(crate) const MEMORY: Bound = Bound::Most(40.0);

/// With `--lookup-by-domain`, against the same server without.
pub(crate) const BY_DOMAIN: Bound = Bound::Least(0.9);

/// The server that stargreyd is compared with.
#[derive(Clone, Copy)]
enum Against {
    Null,
    Postgrey,
    Bare,
}

/// The compared figure.
#[derive(Clone, Copy)]
enum Figure {
    Rate,
    P99,
    Cpu,
}

/// A ratio and its bound: at least, for rates; at most, for all else.
struct Target {
    works: &'static [&'static str],
    connections: &'static [usize],
    figure: Figure,
    against: Against,
    bound: f64,
}

/// Works without durable changes.
const READS: &[&str] = &[
    "listed by name",
    "listed by network",
    "s25r miss",
    "auto-whitelisted",
    "known",
];

/// Decisions a second through the milter, of milter-greylist's.
pub(crate) const OF_MILTER_GREYLIST: f64 = 5.0;

/// Requests a second with `--shared`, of those without: new triplets, and mail that passes.
pub(crate) const SHARED_NEW: f64 = 0.6;
pub(crate) const SHARED_PASSING: f64 = 0.98;

/// A build against another one: requests a second, and what a request costs.
pub(crate) const BUILD_RATE: Bound = Bound::Least(0.97);
pub(crate) const BUILD_COST: Bound = Bound::Most(1.03);

/// The CPU time of a request of mail that passes, of that without.
pub(crate) const SHARED_CPU: Bound = Bound::Most(1.02);

/// Records a second that a host sends in the background. More than 500 are not sent, and a step is begun late.
pub(crate) const SHARED_TRANSFER: f64 = 450.0;

const fn target(
    works: &'static [&'static str],
    connections: &'static [usize],
    figure: Figure,
    against: Against,
    bound: f64,
) -> Target {
    Target {
        works,
        connections,
        figure,
        against,
        bound,
    }
}

const TARGETS: &[Target] = &[
    target(READS, &[16, 100, 500], Figure::Rate, Against::Null, 0.5),
    target(READS, &[16, 100, 500], Figure::Cpu, Against::Null, 4.0),
    target(
        &["listed by name"],
        &[16, 100, 500],
        Figure::Rate,
        Against::Postgrey,
        20.0,
    ),
    target(
        &["known"],
        &[16, 100, 500],
        Figure::Rate,
        Against::Postgrey,
        60.0,
    ),
    target(
        &["new, sync=full"],
        &[1],
        Figure::Rate,
        Against::Postgrey,
        1.0,
    ),
    target(&["new"], &[1, 100, 500], Figure::Rate, Against::Bare, 0.6),
    target(&["new"], &[100], Figure::Rate, Against::Postgrey, 12.0),
    target(&["new"], &[500], Figure::Rate, Against::Postgrey, 15.0),
    target(&["new"], &[100, 500], Figure::P99, Against::Postgrey, 0.15),
    target(&["mix"], &[100], Figure::Rate, Against::Null, 0.1),
    target(&["mix"], &[100], Figure::Rate, Against::Postgrey, 15.0),
];

/// The targets that these cells say something about, a line each, and how many are missed.
pub(crate) fn judge(cells: &[Cell]) -> (Vec<String>, usize) {
    let mut lines = Vec::new();
    let mut missed = 0;
    for target in TARGETS {
        let concerned = cells.iter().filter(|cell| {
            target.works.contains(&cell.work) && target.connections.contains(&cell.connections)
        });
        for cell in concerned {
            if let Some(ratio) = target.ratio(cell) {
                missed += usize::from(!target.is_met(ratio));
                lines.push(target.line(cell, ratio));
            }
        }
    }
    (lines, missed)
}

impl Target {
    fn ratio(&self, cell: &Cell) -> Option<Spread> {
        let get: fn(&Sample) -> f64 = match self.figure {
            Figure::Rate => |sample| sample.rate,
            Figure::P99 => |sample| sample.p99,
            Figure::Cpu => |sample| sample.cpu,
        };
        match self.against {
            Against::Null => cell.of_null(get),
            Against::Postgrey => cell.of_postgrey(get),
            Against::Bare => cell.of_bare(),
        }
    }

    fn is_met(&self, ratio: Spread) -> bool {
        match self.figure {
            Figure::Rate => ratio.median >= self.bound,
            Figure::P99 | Figure::Cpu => ratio.median <= self.bound,
        }
    }

    fn line(&self, cell: &Cell, ratio: Spread) -> String {
        let (figure, sign) = match self.figure {
            Figure::Rate => ("requests/s", '≥'),
            Figure::P99 => ("p99", '≤'),
            Figure::Cpu => ("CPU", '≤'),
        };
        let against = match self.against {
            Against::Null => "null",
            Against::Postgrey => "Postgrey",
            Against::Bare => "bare LMDB",
        };
        let verdict = if self.is_met(ratio) { "pass" } else { "MISS" };
        format!(
            "{verdict}  {:>4} × {:<18} {figure:<10} of {against:<10} {sign} {:<5} {ratio}",
            cell.connections, cell.work, self.bound
        )
    }
}
