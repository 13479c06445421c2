//! INSERT, REPLACE, UPDATE and DELETE in their forms.

use crate::expression::{Generator, Name};
use crate::schema::{Column, Table, Type};
use crate::tree::{Kind, Tree};
use rand::RngExt;
use rand::seq::IndexedRandom;

pub fn write(generator: &mut Generator<'_>) -> Tree {
    let table = generator.tables.choose(generator.random).unwrap().clone();
    generator.strict = true;
    let tree = match generator.random.random_range(0..10) {
        0..=3 => insert(generator, &table),
        4 => insert_select(generator, &table),
        5 | 6 => update(generator, &table),
        7 => update_join(generator, &table),
        8 => delete(generator, &table),
        _ => delete_join(generator, &table),
    };
    generator.strict = false;
    generator.target = None;
    tree
}

fn names(table: &Table, prefix: &str) -> Vec<Name> {
    let name = |column: &Column| {
        let sql = format!("{prefix}{}", column.name);
        match column.of {
            Type::Bit { .. } | Type::Year => Name { sql: format!("({sql} + 0)"), kind: Kind::Int },
            _ => Name { sql, kind: column.of.kind() },
        }
    };
    table.columns.iter().map(name).collect()
}

fn stored(table: &Table) -> Vec<&Column> {
    table.columns.iter().filter(|column| column.generated.is_none()).collect()
}

/// A value for a column: mostly one that it takes.
fn value(generator: &mut Generator<'_>, column: &Column) -> Tree {
    let kind = column.of.kind();
    match generator.random.random_range(0..20) {
        // What is no date would become zero date with IGNORE, of which MariaDB thinks otherwise.
        1 if matches!(kind, Kind::Date | Kind::DateTime | Kind::Time) => generator.literal(kind),
        // Without a default that is an error, for MariaDB also where no row comes.
        0 if !column.not_null => Tree::text("DEFAULT"),
        1 => {
            // Fractions of seconds that become an integer are rounded by MySQL and cut by MariaDB; a date becomes a year;
            // hexadecimal literals are numbers where numbers are wanted.
            let kind = match generator.value_kind() {
                Kind::DateTime | Kind::Time | Kind::Date if matches!(column.of, Type::Year) => Kind::Int,
                Kind::DateTime | Kind::Time => Kind::Date,
                Kind::Binary => Kind::Text,
                // What is too short for all digits gets fewer of them.
                Kind::Double if matches!(column.of, Type::Text { .. } | Type::Binary { .. }) => Kind::Int,
                kind => kind,
            };
            generator.literal(kind)
        }
        2 => generator.literal(kind),
        3 => generator.stored(column, &[], 1),
        _ => {
            let variants = generator.variants;
            Tree::text(column.value(generator.random, variants))
        }
    }
}

impl Generator<'_> {
    /// An expression for a column. For SET a member: the number that a text may be there is cut to fit by MariaDB.
    fn stored(&mut self, column: &Column, scope: &[Name], depth: u32) -> Tree {
        match column.of {
            Type::Set => Tree::text(column.value(self.random, false)),
            _ => self.expression(column.of.kind(), scope, depth),
        }
    }
}

fn insert(generator: &mut Generator<'_>, table: &Table) -> Tree {
    generator.target = Some(table.name.clone());
    let columns = stored(table);
    let form = generator.random.random_range(0..6);
    let head = match form {
        0 | 1 => "INSERT IGNORE INTO",
        2 => "REPLACE INTO",
        _ => "INSERT INTO",
    };
    let list: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let mut rows = Vec::new();
    for _ in 0..generator.random.random_range(1..4) {
        let mut values = Vec::new();
        for column in &columns {
            values.push(match column.name.as_str() {
                // Of those that are there, more often than not.
                "id" => Tree::text(generator.random.random_range(1..24).to_string()),
                "k" => Tree::text(generator.random.random_range(0..6).to_string()),
                _ => value(generator, column),
            });
        }
        let values = values.into_iter().enumerate().flat_map(|(at, value)| match at {
            0 => vec![value],
            _ => vec![Tree::text(", "), value],
        });
        rows.push(Tree::other([vec![Tree::text("(")], values.collect(), vec![Tree::text(")")]].concat()));
    }
    let mut parts =
        vec![Tree::text(format!("{head} {} ({}) VALUES ", table.name, list.join(", "))), Tree::list(", ", rows)];
    if form >= 4 {
        parts.push(Tree::Optional(vec![Tree::text(" ON DUPLICATE KEY UPDATE "), on_duplicate(generator, table)]));
    }
    Tree::other(parts)
}

fn on_duplicate(generator: &mut Generator<'_>, table: &Table) -> Tree {
    let scope = names(table, &format!("{}.", table.name));
    let mut assignments = Vec::new();
    for column in stored(table).into_iter().filter(|column| column.name != "id") {
        if !assignments.is_empty() && generator.chance(0.6) {
            continue;
        }
        let value = match generator.chance(0.5) {
            true => Tree::text(format!("VALUES({})", column.name)),
            false => generator.stored(column, &scope, 1),
        };
        assignments.push(Tree::other(vec![Tree::text(format!("{} = ", column.name)), value]));
    }
    Tree::list(", ", assignments)
}

fn insert_select(generator: &mut Generator<'_>, table: &Table) -> Tree {
    let source = generator.tables.choose(generator.random).unwrap().clone();
    let scope = names(&source, "s.");
    let columns = stored(table);
    let list: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let mut values = Vec::new();
    for column in &columns {
        let value = match column.name.as_str() {
            "id" => Tree::text(format!("s.id + {}", generator.random.random_range(0..40))),
            "k" => Tree::text("s.k"),
            _ => match generator.chance(0.7) {
                true => value(generator, column),
                false => generator.stored(column, &scope, 1),
            },
        };
        // DEFAULT has no meaning in a query.
        let value = if value.to_string() == "DEFAULT" { Tree::text("NULL") } else { value };
        values.extend([value, Tree::text(", ")]);
    }
    values.pop();
    let head = *["INSERT INTO", "INSERT IGNORE INTO", "REPLACE INTO"].choose(generator.random).unwrap();
    let condition = generator.condition(&scope, 2);
    let mut parts = vec![Tree::text(format!("{head} {} ({}) SELECT ", table.name, list.join(", ")))];
    parts.extend(values);
    parts.push(Tree::text(format!(" FROM {} AS s", source.name)));
    parts.push(Tree::optional(" WHERE ", condition));
    // Which rows are left out or replaced depends on the order.
    parts.push(Tree::text(" ORDER BY s.id"));
    Tree::other(parts)
}

fn assignments(generator: &mut Generator<'_>, table: &Table, prefix: &str, scope: &[Name]) -> Tree {
    let columns = stored(table);
    let mut assignments = Vec::new();
    // Of several tables: in which order values are assigned is open.
    let count = if prefix.is_empty() { generator.random.random_range(1..3) } else { 1 };
    for _ in 0..count {
        let column = columns[1..].choose(generator.random).unwrap();
        let value = match generator.chance(0.5) {
            true => value(generator, column),
            false => generator.stored(column, scope, 2),
        };
        assignments.push(Tree::other(vec![Tree::text(format!("{prefix}{} = ", column.name)), value]));
    }
    Tree::list(", ", assignments)
}

fn update(generator: &mut Generator<'_>, table: &Table) -> Tree {
    generator.target = Some(table.name.clone());
    let scope = names(table, &format!("{}.", table.name));
    let ignore = if generator.chance(0.15) { "IGNORE " } else { "" };
    let assignments = assignments(generator, table, "", &scope);
    let condition = generator.condition(&scope, 2);
    let mut parts = vec![Tree::text(format!("UPDATE {ignore}{} SET ", table.name)), assignments];
    parts.push(Tree::optional(" WHERE ", condition));
    parts.push(Tree::text(" ORDER BY id"));
    if generator.chance(0.3) {
        parts.push(Tree::Optional(vec![Tree::text(format!(" LIMIT {}", generator.random.random_range(0..5)))]));
    }
    Tree::other(parts)
}

fn other<'a>(generator: &mut Generator<'a>, table: &Table) -> Option<Table> {
    let others: Vec<&Table> = generator.tables.iter().filter(|other| other.name != table.name).collect();
    others.choose(generator.random).map(|other| (*other).clone())
}

fn update_join(generator: &mut Generator<'_>, table: &Table) -> Tree {
    let Some(other) = other(generator, table) else { return update(generator, table) };
    generator.target = Some(table.name.clone());
    // Values come from the row that is changed: which of several partners it meets must not count.
    let own = names(table, "x.");
    let both = [own.clone(), names(&other, "y.")].concat();
    let assignments = assignments(generator, table, "x.", &own);
    let condition = generator.condition(&both, 1);
    let join = *["JOIN", "LEFT JOIN"].choose(generator.random).unwrap();
    let on = *["x.k = y.k", "x.id = y.id", "x.id = y.k"].choose(generator.random).unwrap();
    let head = format!("UPDATE {} AS x {join} {} AS y ON {on} SET ", table.name, other.name);
    Tree::other(vec![Tree::text(head), assignments, Tree::optional(" WHERE ", condition)])
}

fn delete(generator: &mut Generator<'_>, table: &Table) -> Tree {
    generator.target = Some(table.name.clone());
    let scope = names(table, &format!("{}.", table.name));
    let condition = generator.condition(&scope, 2);
    let limit = format!(" ORDER BY id LIMIT {}", generator.random.random_range(0..3));
    Tree::other(vec![
        Tree::text(format!("DELETE FROM {}", table.name)),
        Tree::optional(" WHERE ", condition),
        Tree::Optional(vec![Tree::text(limit)]),
    ])
}

fn delete_join(generator: &mut Generator<'_>, table: &Table) -> Tree {
    let Some(other) = other(generator, table) else { return delete(generator, table) };
    generator.target = Some(table.name.clone());
    let both = [names(table, "x."), names(&other, "y.")].concat();
    let condition = generator.condition(&both, 1);
    let id = generator.random.random_range(0..12);
    let targets = *["x", "x, y"].choose(generator.random).unwrap();
    let head = format!("DELETE {targets} FROM {} AS x JOIN {} AS y ON x.k = y.k", table.name, other.name);
    Tree::other(vec![Tree::text(format!("{head} WHERE x.id = {id} AND (")), condition, Tree::text(")")])
}
