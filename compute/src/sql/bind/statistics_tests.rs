//! What page servers know of columns chooses between plans of the same answer.

use super::tests::World;
use crate::catalog::TableDef;
use crate::execute::row::walk;
use crate::sql::plan::rules::Statistics;
use crate::sql::plan::{Access, Statement};
use common::id::ColumnId;
use common::physical::PhysicalValue;
use common::service::page::ColumnFigures;
use std::sync::Arc;

/// Of one table's column: how many different values, and the values that divide them.
type Known = (&'static str, &'static str, u64, &'static [i64]);

struct Figures {
    rows: &'static [(&'static str, u64)],
    columns: &'static [Known],
}

impl Statistics for Figures {
    fn rows(&self, table: &TableDef) -> u64 {
        self.rows.iter().find(|(name, _)| *name == table.name).map_or(0, |(_, rows)| *rows)
    }

    fn column(&self, table: &TableDef, column: ColumnId) -> Option<Arc<ColumnFigures>> {
        let (_, definition) = table.column_by_id(column)?;
        let of = |known: &&Known| known.0 == table.name && known.1 == definition.name;
        let (_, _, distinct, quantiles) = self.columns.iter().find(of)?;
        let quantiles = quantiles.iter().map(|value| PhysicalValue::Int64(*value)).collect();
        Some(Arc::new(ColumnFigures { column, distinct: *distinct, nulls: 0, min: None, max: None, quantiles }))
    }
}

/// The scans of a plan from left to right, each with the index that it reads.
fn scans(text: &str, figures: &Figures) -> String {
    let mut world = World::new();
    world.run("CREATE TABLE t (id INT PRIMARY KEY, a INT NOT NULL, b INT NOT NULL, KEY a (a), KEY b (b))").unwrap();
    world.run("CREATE TABLE u (id INT PRIMARY KEY, x INT NOT NULL, t_id INT NOT NULL)").unwrap();
    let Statement::Query(query) = world.bind_with(text, figures).unwrap().statement else { panic!("a query") };
    let mut found = Vec::new();
    walk::visit_scans(&query.root, &mut |scan| {
        let index = match scan.access {
            Access::Full => "all",
            Access::Point { index, .. } | Access::Range { index, .. } => scan.table.indexes[index].name.as_str(),
        };
        found.push(format!("{}:{index}", scan.alias));
    });
    found.join(" ")
}

const ROWS: &[(&str, u64)] = &[("t", 100_000), ("u", 50_000)];

#[test]
fn the_index_with_more_different_values_is_read() {
    let both = "SELECT * FROM t WHERE a = 1 AND b = 2";
    let few_a = Figures { rows: ROWS, columns: &[("t", "a", 2, &[]), ("t", "b", 40_000, &[])] };
    let few_b = Figures { rows: ROWS, columns: &[("t", "a", 40_000, &[]), ("t", "b", 2, &[])] };
    assert_eq!((scans(both, &few_a), scans(both, &few_b)), ("t:b".into(), "t:a".into()));
    // Half of the rows through an index costs more than all of them.
    let one = "SELECT * FROM t WHERE a = 1";
    assert_eq!((scans(one, &few_a), scans(one, &few_b)), ("t:all".into(), "t:a".into()));
}

#[test]
fn quantiles_say_whether_a_range_is_worth_its_index() {
    const SMALL: &[i64] = &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1000];
    const LARGE: &[i64] = &[0, 900, 910, 920, 930, 940, 950, 960, 970, 980, 990, 1000];
    let range = "SELECT * FROM t WHERE a > 500 AND b > 500";
    let rare_a = Figures { rows: ROWS, columns: &[("t", "a", 900, SMALL), ("t", "b", 900, LARGE)] };
    let rare_b = Figures { rows: ROWS, columns: &[("t", "a", 900, LARGE), ("t", "b", 900, SMALL)] };
    assert_eq!((scans(range, &rare_a), scans(range, &rare_b)), ("t:a".into(), "t:b".into()));
    let one = "SELECT * FROM t WHERE a > 500";
    assert_eq!((scans(one, &rare_a), scans(one, &rare_b)), ("t:a".into(), "t:all".into()));
}

#[test]
fn the_join_begins_where_conditions_leave_least() {
    let join = "SELECT * FROM t JOIN u ON u.t_id = t.id WHERE u.x = 1 AND t.a = 1";
    let few_of_u = Figures { rows: ROWS, columns: &[("u", "x", 50_000, &[]), ("t", "a", 2, &[])] };
    let few_of_t = Figures { rows: ROWS, columns: &[("u", "x", 2, &[]), ("t", "a", 100_000, &[])] };
    // One row, and its partner is looked up.
    assert_eq!(scans(join, &few_of_u), "u:all t:PRIMARY");
    // The smaller side of a join by hash is the right one.
    assert_eq!(scans(join, &few_of_t), "u:all t:a");
}
