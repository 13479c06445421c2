//! Which part of a table's rows a condition keeps: by what page servers know of the column's values, else by rules of
//! thumb. Only for choosing between plans that give the same rows.

use super::Statistics;
use crate::execute::bounds;
use crate::sql::plan::{Bound, Scan};
use common::physical::PhysicalValue;
use common::service::page::ColumnFigures;
use expr::Expression;
use expr::eval::EvalContext;
use expr::mysql_type::MysqlType;
use std::cmp::Ordering;
use std::sync::Arc;

/// Part of the rows that an equality leaves where nothing is known.
pub const EQUAL: f64 = 0.05;
pub const BETWEEN: f64 = 0.1;
pub const BOUND: f64 = 0.33;

/// A column of the table that a scan reads.
pub struct Column<'s> {
    ty: &'s MysqlType,
    /// With the table's number of rows; `None` where nothing is known.
    figures: Option<(Arc<ColumnFigures>, f64)>,
}

impl<'s> Column<'s> {
    /// `position` in the table's columns.
    pub fn of(scan: &'s Scan, position: usize, statistics: &dyn Statistics) -> Option<Column<'s>> {
        let column = scan.table.columns.get(position)?;
        let rows = statistics.rows(&scan.table) as f64;
        let figures = statistics.column(&scan.table, column.id).filter(|figures| figures.distinct > 0 && rows >= 1.0);
        Some(Column { ty: &column.ty, figures: figures.map(|figures| (figures, rows)) })
    }

    /// How many different values it has, if that is known.
    pub fn distinct(&self) -> Option<f64> {
        self.figures.as_ref().map(|(figures, _)| figures.distinct as f64)
    }

    /// Of an equality with some value.
    pub fn equal(&self) -> f64 {
        match &self.figures {
            Some((figures, rows)) => (1.0 - figures.nulls as f64 / rows).clamp(0.0, 1.0) / figures.distinct as f64,
            None => EQUAL,
        }
    }

    pub fn is_null(&self) -> f64 {
        match &self.figures {
            Some((figures, rows)) => (figures.nulls as f64 / rows).clamp(0.0, 1.0),
            None => EQUAL,
        }
    }

    /// Of limits on both sides, or on one.
    pub fn between(&self, low: Option<&Expression>, high: Option<&Expression>) -> f64 {
        let unknown = [1.0, BOUND, BETWEEN][usize::from(low.is_some()) + usize::from(high.is_some())];
        let (Some((figures, _)), false) = (&self.figures, self.ty.is_text()) else { return unknown };
        let below = |limit: Option<&Expression>, open: f64| match limit {
            None => Some(open),
            Some(limit) => self.stored(limit).and_then(|limit| part_below(figures, &limit)),
        };
        let (Some(from), Some(to)) = (below(low, 0.0), below(high, 1.0)) else { return unknown };
        // Less than a part of the quantiles is not seen.
        let least = 0.5 / figures.quantiles.len().max(1) as f64;
        (to - from).clamp(least.min(unknown), 1.0) * (1.0 - self.is_null())
    }

    /// Of the bounds that an index is read between.
    pub fn within(&self, low: Option<&Bound>, high: Option<&Bound>) -> f64 {
        self.between(low.map(|low| &low.value), high.map(|high| &high.value))
    }

    fn stored(&self, constant: &Expression) -> Option<PhysicalValue> {
        let Expression::Literal { value, .. } = constant else { return None };
        bounds::as_stored(value, self.ty, &EvalContext::constant()).ok().flatten()
    }
}

/// The part of the values that is less than `limit`, about.
fn part_below(figures: &ColumnFigures, limit: &PhysicalValue) -> Option<f64> {
    let quantiles = &figures.quantiles;
    if quantiles.len() < 2 || quantiles.iter().any(|quantile| quantile.compare(limit).is_none()) {
        return None;
    }
    let below = quantiles.partition_point(|quantile| quantile.compare(limit) == Some(Ordering::Less));
    let not_above = quantiles.partition_point(|quantile| quantile.compare(limit) != Some(Ordering::Greater));
    // In the middle of where the limit itself stands.
    Some(((below + not_above) as f64 / 2.0 / quantiles.len() as f64).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::id::ColumnId;

    #[test]
    fn quantiles_say_how_much_is_below() {
        let quantiles = [0, 1, 2, 3, 4, 5, 6, 7, 100, 1000].map(PhysicalValue::Int64).to_vec();
        let figures = ColumnFigures { column: ColumnId(1), distinct: 500, nulls: 0, min: None, max: None, quantiles };
        let below = |limit: i64| part_below(&figures, &PhysicalValue::Int64(limit)).unwrap();
        assert_eq!((below(-5), below(5000)), (0.0, 1.0));
        assert_eq!((below(8), below(50)), (0.8, 0.8));
        assert!(below(4) > 0.4 && below(4) < 0.5);
        assert_eq!(part_below(&figures, &PhysicalValue::Float64(1.0)), None);
    }
}
