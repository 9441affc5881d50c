//! Which rows answer a question about a range of time: days in its middle, hours and minutes at its
//! edges, as far back as each is kept.

use sea_orm::{ConnectionTrait, Statement};

use crate::{Grain, Result};

/// From when on the rows of each grain are complete, in microseconds since 1970, at the beginning of
/// a day. Days are kept for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Floors {
    pub(crate) minute: i64,
    pub(crate) hour: i64,
}

impl Floors {
    fn of(&self, grain: Grain) -> i64 {
        match grain {
            Grain::Minute => self.minute,
            Grain::Hour => self.hour,
            Grain::Day => i64::MIN,
        }
    }

    /// The finest grain, `finest` or longer, whose row for this moment is there.
    fn finest(&self, finest: Grain, at: i64) -> Grain {
        let kept = |grain: &Grain| *grain >= finest && self.of(*grain) <= grain.floor(at);
        Grain::ALL.into_iter().find(kept).unwrap_or(Grain::Day)
    }
}

/// Rows of one grain: from one beginning of a bucket up to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) grain: Grain,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// The rows for a range, in order. Together they cover it once; the range is widened to whole
/// buckets of the finest grain that is kept, `finest` or longer. No row is longer than `coarsest`,
/// where such rows are kept.
pub(crate) fn plan(
    from: i64,
    to: i64,
    finest: Grain,
    coarsest: Grain,
    floors: Floors,
) -> Vec<Segment> {
    let from = floors.finest(finest, from).floor(from);
    let to = floors.finest(finest, to).ceil(to);
    let mut segments = Vec::new();
    // Longer rows than wanted are taken for what is kept in no others.
    let old = Ord::min(floors.of(coarsest), to);
    if coarsest < Grain::Day && from < old {
        fill(Grain::Day, from, old, &mut segments);
        fill(coarsest, old, to, &mut segments);
    } else {
        fill(coarsest, from, to, &mut segments);
    }
    segments
}

fn fill(grain: Grain, from: i64, to: i64, segments: &mut Vec<Segment>) {
    if from >= to {
        return;
    }
    let finer = match grain {
        Grain::Day => Grain::Hour,
        Grain::Hour => Grain::Minute,
        Grain::Minute => return segments.push(Segment { grain, from, to }),
    };
    let (first, last) = (grain.ceil(from), grain.floor(to));
    if first >= last {
        return fill(finer, from, to, segments);
    }
    fill(finer, from, first, segments);
    segments.push(Segment { grain, from: first, to: last });
    fill(finer, last, to, segments);
}

/// From when on rows are complete.
pub(crate) async fn floors(db: &impl ConnectionTrait) -> Result<Floors> {
    let sql = "SELECT grain, from_us FROM rollup_floors";
    let statement = Statement::from_string(db.get_database_backend(), sql);
    let mut floors = Floors { minute: i64::MIN, hour: i64::MIN };
    for row in db.query_all_raw(statement).await? {
        let from: i64 = row.try_get_by_index(1)?;
        match i64::from(row.try_get_by_index::<i32>(0)?) {
            0 => floors.minute = from,
            1 => floors.hour = from,
            _ => {}
        }
    }
    Ok(floors)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;
    const MINUTE: i64 = 60_000_000;
    const DAY: i64 = 24 * HOUR;
    const ALL: Floors = Floors { minute: i64::MIN, hour: i64::MIN };

    fn check(from: i64, to: i64, floors: Floors, expected: &[(Grain, i64, i64)]) {
        let found = plan(from, to, Grain::Minute, Grain::Day, floors);
        let found: Vec<_> = found.iter().map(|s| (s.grain, s.from, s.to)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_range_is_days_with_hours_and_minutes_at_its_edges() {
        use Grain::{Day, Hour, Minute};
        check(0, 2 * DAY, ALL, &[(Day, 0, 2 * DAY)]);
        check(HOUR, 3 * HOUR, ALL, &[(Hour, HOUR, 3 * HOUR)]);
        let (from, to) = (DAY - HOUR - 5 * MINUTE - 1, 2 * DAY + MINUTE);
        check(
            from,
            to,
            ALL,
            &[
                (Minute, DAY - HOUR - 6 * MINUTE, DAY - HOUR),
                (Hour, DAY - HOUR, DAY),
                (Day, DAY, 2 * DAY),
                (Minute, 2 * DAY, 2 * DAY + MINUTE),
            ],
        );
        let kept = Floors { minute: 2 * DAY, hour: 0 };
        let (from, to) = (DAY - MINUTE, 2 * DAY + MINUTE);
        let edge = (Minute, 2 * DAY, 2 * DAY + MINUTE);
        check(from, to, kept, &[(Hour, DAY - HOUR, DAY), (Day, DAY, 2 * DAY), edge]);
        let kept = Floors { minute: 2 * DAY, hour: 2 * DAY };
        check(from, to, kept, &[(Day, 0, 2 * DAY), edge]);
    }

    #[test]
    fn hours_that_are_gone_are_taken_as_days() {
        let kept = Floors { minute: 2 * DAY, hour: 2 * DAY };
        let found = plan(HOUR, 2 * DAY + HOUR, Grain::Hour, Grain::Hour, kept);
        let found: Vec<_> = found.iter().map(|s| (s.grain, s.from, s.to)).collect();
        let expected = [(Grain::Day, 0, 2 * DAY), (Grain::Hour, 2 * DAY, 2 * DAY + HOUR)];
        assert_eq!(found, expected);
    }

    #[test]
    fn every_range_is_covered_once_and_whole() {
        for from in (0..3 * DAY).step_by(7_777_777_777) {
            for length in [1, MINUTE, HOUR, HOUR + 1, DAY, 3 * DAY - 5] {
                let found = plan(from, from + length, Grain::Minute, Grain::Day, ALL);
                assert!(found.windows(2).all(|pair| pair[0].to == pair[1].from), "{found:?}");
                assert!(found.iter().all(|s| s.from < s.to && s.from % s.grain.us() == 0));
                let (first, last) = (found.first().unwrap().from, found.last().unwrap().to);
                assert!(first <= from && from - first < MINUTE, "{found:?}");
                assert!(last >= from + length && last - from - length < MINUTE, "{found:?}");
            }
        }
    }
}
