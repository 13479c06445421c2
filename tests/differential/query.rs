//! SELECT statements: sources and joins, grouping, windows, set operations, common table expressions.
//!
//! Every query has one right answer: where LIMIT or a window's frame picks rows, the order is total.

use crate::expression::{Generator, Name, VALUES};
use crate::schema::Type;
use crate::templates::{AGGREGATES, WINDOWS};
use crate::tree::{Kind, Tree};
use rand::RngExt;
use rand::seq::IndexedRandom;

pub struct Query {
    pub tree: Tree,
    pub kinds: Vec<Kind>,
    /// The order of the rows is part of the answer.
    pub ordered: bool,
}

/// What FROM gives to the rest of a query.
struct From {
    tree: Tree,
    names: Vec<Name>,
    /// Names that tell rows apart.
    total: Vec<String>,
    /// What is selected is the statement's answer.
    is_last: bool,
}

/// A named query that FROM may use, with its columns.
struct Cte {
    name: String,
    columns: Vec<Name>,
}

/// A whole statement.
pub fn select(generator: &mut Generator<'_>) -> Query {
    match generator.random.random_range(0..12) {
        0 | 1 if !generator.variants => set_operation(generator),
        2 => with(generator),
        3 => recursive(generator),
        _ => body(generator, &[], None, 3, true),
    }
}

/// `(SELECT ...)` of one column; `single`: of one row at most.
pub fn subquery(generator: &mut Generator<'_>, kind: Kind, scope: &[Name], single: bool) -> Tree {
    let target = generator.target.clone();
    let tables: Vec<&crate::schema::Table> =
        generator.tables.iter().filter(|table| target.as_ref() != Some(&table.name)).collect();
    let table = (*tables.choose(generator.random).unwrap()).clone();
    let from = table_source(generator, &table.name);
    let mut names = from.names.clone();
    if generator.chance(0.5) {
        names.extend_from_slice(scope);
    }
    let mut value = generator.expression(kind, &names, 1);
    let mut parts = vec![Tree::text("(SELECT ")];
    let aggregated = single && !(kind == Kind::Text && generator.variants) && generator.chance(0.6);
    if aggregated {
        let function = match kind {
            Kind::Int => *["MAX(", "MIN(", "COUNT("].choose(generator.random).unwrap(),
            Kind::Decimal => *["MAX(", "SUM(", "MIN("].choose(generator.random).unwrap(),
            _ => *["MAX(", "MIN("].choose(generator.random).unwrap(),
        };
        // Of the inner query, whatever it names.
        let inner = generator.expression(kind, &from.names, 1);
        value = Tree::Node { kind, parts: vec![Tree::text(function), inner, Tree::text(")")] };
    }
    parts.extend([value, Tree::text(" FROM "), from.tree]);
    if generator.chance(0.7) {
        let condition = generator.condition(&names, 1);
        parts.push(Tree::optional(" WHERE ", condition));
    }
    if single && !aggregated {
        parts.push(Tree::text(format!(" ORDER BY {} LIMIT 1", from.total.join(", "))));
    }
    parts.push(Tree::text(")"));
    Tree::Node { kind, parts }
}

/// A query's parts without ORDER BY, of the kinds if they are given.
fn body(generator: &mut Generator<'_>, ctes: &[Cte], kinds: Option<&[Kind]>, depth: u32, may_order: bool) -> Query {
    let mut from = from(generator, ctes, depth);
    from.is_last = may_order;
    match generator.random.random_range(0..10) {
        0..=2 if kinds.is_none() && !generator.variants => grouped(generator, from),
        3 if kinds.is_none() => windowed(generator, from),
        _ => plain(generator, from, kinds, may_order),
    }
}

fn item(value: Tree, at: usize) -> Tree {
    Tree::other(vec![value, Tree::text(format!(" AS c{at}"))])
}

fn items(generator: &mut Generator<'_>, from: &From, kinds: &[Kind]) -> Vec<Tree> {
    let values = kinds.iter().map(|kind| generator.expression(*kind, &from.names, 3)).collect::<Vec<_>>();
    values.into_iter().enumerate().map(|(at, value)| item(value, at)).collect()
}

fn some_kinds(generator: &mut Generator<'_>) -> Vec<Kind> {
    let count = generator.random.random_range(1..4);
    (0..count).map(|_| *VALUES.choose(generator.random).unwrap()).collect()
}

fn filter(generator: &mut Generator<'_>, from: &From, parts: &mut Vec<Tree>) {
    if generator.chance(0.65) {
        let condition = generator.condition(&from.names, 3);
        parts.push(Tree::optional(" WHERE ", condition));
    }
}

fn plain(generator: &mut Generator<'_>, from: From, kinds: Option<&[Kind]>, may_order: bool) -> Query {
    let kinds = match kinds {
        Some(kinds) => kinds.to_vec(),
        None => some_kinds(generator),
    };
    let distinct = !generator.variants && generator.chance(0.12);
    let items = items(generator, &from, &kinds);
    let mut parts = vec![Tree::text("SELECT ")];
    if distinct {
        parts.push(Tree::Optional(vec![Tree::text("DISTINCT ")]));
    }
    parts.extend([Tree::list(", ", items), Tree::text(" FROM "), from.tree.clone()]);
    filter(generator, &from, &mut parts);
    let ordered = may_order && !distinct && generator.chance(0.4);
    if ordered {
        parts.push(order(generator, &from));
    }
    Query { tree: Tree::Node { kind: Kind::Query, parts }, kinds, ordered }
}

/// ORDER BY something and then what tells rows apart, maybe LIMIT.
fn order(generator: &mut Generator<'_>, from: &From) -> Tree {
    let mut parts = vec![Tree::text(" ORDER BY ")];
    for _ in 0..generator.random.random_range(0..3) {
        let kind = generator.value_kind();
        let value = generator.expression(kind, &from.names, 1);
        // A literal would be a position.
        let direction = *[" + 0", " IS NULL", ""].choose(generator.random).unwrap();
        let descending = if generator.chance(0.4) { " DESC, " } else { ", " };
        let open = if direction.is_empty() { "COALESCE(" } else { "(" };
        let close = if direction.is_empty() { ", NULL)" } else { ")" };
        parts.push(Tree::Optional(vec![
            Tree::text(open),
            value,
            Tree::text(format!("{close}{direction}{descending}")),
        ]));
    }
    let descending = if generator.chance(0.3) { " DESC" } else { "" };
    parts.push(Tree::text(from.total.iter().map(|name| format!("{name}{descending}")).collect::<Vec<_>>().join(", ")));
    if generator.chance(0.5) {
        let limit = generator.random.random_range(0..7);
        parts.push(Tree::Optional(vec![Tree::text(format!(" LIMIT {limit}"))]));
        if generator.chance(0.3) {
            parts.pop();
            let offset = generator.random.random_range(0..5);
            parts.push(Tree::Optional(vec![Tree::text(format!(" LIMIT {limit} OFFSET {offset}"))]));
        }
    }
    Tree::Node { kind: Kind::Other, parts }
}

fn aggregate(generator: &mut Generator<'_>, from: &From) -> (Kind, Tree) {
    if generator.chance(0.08) {
        let value = generator.expression(Kind::Text, &from.names, 1);
        let distinct = generator.chance(0.4);
        let by = if distinct { value.to_string() } else { format!("{value}, {}", from.total.join(", ")) };
        let head = if distinct { "GROUP_CONCAT(DISTINCT " } else { "GROUP_CONCAT(" };
        // A literal would be a position.
        let text = format!(
            "{head}{value} ORDER BY {} SEPARATOR '|')",
            by.replacen(&value.to_string(), &format!("CONCAT({value}, '')"), usize::from(!distinct))
        );
        return (Kind::Text, Tree::leaf(Kind::Text, text));
    }
    let (kind, form) = AGGREGATES.choose(generator.random).unwrap();
    // MariaDB computes on with digits of an average that it does not show.
    if !from.is_last && form.starts_with("AVG") {
        return aggregate(generator, from);
    }
    (*kind, generator.fill(*kind, form, &from.names, 2))
}

fn grouped(generator: &mut Generator<'_>, from: From) -> Query {
    let (mut kinds, mut trees, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..generator.random.random_range(0..3) {
        let kind = generator.value_kind();
        let depth = generator.random.random_range(0..2);
        let columns: Vec<Name> = from.names.iter().filter(|name| name.kind == kind).cloned().collect();
        let Some(column) = columns.choose(generator.random) else { continue };
        let key = match depth {
            0 => Tree::leaf(kind, column.sql.clone()),
            _ => generator.expression(kind, &columns, 1),
        };
        // A literal would be a position.
        let text = key.to_string();
        let again = keys.iter().any(|key: &Tree| key.to_string() == text);
        if text.contains('.') && !text.contains("SELECT") && !again {
            kinds.push(kind);
            trees.push(Tree::text(text.clone()));
            keys.push(Tree::text(text));
        }
    }
    for _ in 0..generator.random.random_range(1..4) {
        let (kind, tree) = aggregate(generator, &from);
        kinds.push(kind);
        trees.push(tree);
    }
    let items = trees.into_iter().enumerate().map(|(at, tree)| item(tree, at)).collect();
    let mut parts = vec![Tree::text("SELECT "), Tree::list(", ", items), Tree::text(" FROM "), from.tree.clone()];
    filter(generator, &from, &mut parts);
    if !keys.is_empty() {
        parts.push(Tree::text(" GROUP BY "));
        // None is left out where the statement is made smaller: what is selected must stay grouped.
        let names: Vec<String> = keys.iter().map(Tree::to_string).collect();
        parts.push(Tree::text(names.join(", ")));
        let of_columns = names.iter().all(|name| from.names.iter().any(|column| column.sql == *name));
        if of_columns && generator.chance(0.25) {
            parts.push(Tree::Optional(vec![Tree::text(" WITH ROLLUP")]));
        }
    }
    if generator.chance(0.25) {
        let (kind, left) = aggregate(generator, &from);
        let right = generator.literal(kind);
        let comparison = *[" > ", " <= ", " <> "].choose(generator.random).unwrap();
        let condition = Tree::Node { kind: Kind::Condition, parts: vec![left, Tree::text(comparison), right] };
        parts.push(Tree::optional(" HAVING ", condition));
    }
    Query { tree: Tree::Node { kind: Kind::Query, parts }, kinds, ordered: false }
}

fn windowed(generator: &mut Generator<'_>, from: From) -> Query {
    let mut kinds = some_kinds(generator);
    kinds.truncate(2);
    let mut items = items(generator, &from, &kinds);
    for _ in 0..generator.random.random_range(1..3) {
        let (kind, form) = WINDOWS.choose(generator.random).unwrap();
        let partition = match generator.chance(0.6) {
            true => format!("PARTITION BY {} ", from.names.choose(generator.random).unwrap().sql),
            false => String::new(),
        };
        let by = from.names.choose(generator.random).unwrap().sql.clone();
        let descending = if generator.chance(0.3) { " DESC" } else { "" };
        let total = format!("{partition}ORDER BY {by}{descending}, {}", from.total.join(", "));
        let with_order = format!("{partition}ORDER BY {by}{descending}");
        let peers = if generator.chance(0.5) { with_order.clone() } else { partition };
        let integers: Vec<&Name> = from.names.iter().filter(|name| name.sql.ends_with(".k")).collect();
        let key = integers.choose(generator.random).map_or("1 + 1".to_owned(), |name| name.sql.clone());
        let form = form.replace("{o}", &total).replace("{h}", &with_order).replace("{g}", &peers).replace("{k}", &key);
        let tree = generator.fill(*kind, &form, &from.names, 1);
        items.push(item(tree, kinds.len()));
        kinds.push(*kind);
    }
    let mut parts = vec![Tree::text("SELECT "), Tree::list(", ", items), Tree::text(" FROM "), from.tree.clone()];
    filter(generator, &from, &mut parts);
    Query { tree: Tree::Node { kind: Kind::Query, parts }, kinds, ordered: false }
}

fn set_operation(generator: &mut Generator<'_>) -> Query {
    let first = body(generator, &[], None, 2, false);
    let kinds = first.kinds;
    let mut parts = vec![first.tree];
    let mut operators = vec![" UNION ", " UNION ALL ", " INTERSECT ", " EXCEPT ", " EXCEPT ALL ", " INTERSECT ALL "];
    for _ in 0..generator.random.random_range(1..3) {
        let operator = *operators.choose(generator.random).unwrap();
        // MariaDB does not come to an end with both, and cannot be told to.
        match operator {
            " EXCEPT ALL " => operators.retain(|other| *other != " INTERSECT ALL "),
            " INTERSECT ALL " => operators.retain(|other| *other != " EXCEPT ALL "),
            _ => {}
        }
        let next = body(generator, &[], Some(&kinds), 2, false);
        parts.push(Tree::optional(operator, next.tree));
    }
    let ordered = generator.chance(0.4);
    if ordered {
        let positions: Vec<String> = (1..=kinds.len()).map(|at| at.to_string()).collect();
        parts.push(Tree::text(format!(" ORDER BY {}", positions.join(", "))));
        if generator.chance(0.5) {
            parts.push(Tree::Optional(vec![Tree::text(format!(" LIMIT {}", generator.random.random_range(0..6)))]));
        }
    }
    Query { tree: Tree::Node { kind: Kind::Other, parts }, kinds, ordered }
}

fn columns_of(kinds: &[Kind]) -> Vec<Name> {
    kinds.iter().enumerate().map(|(at, kind)| Name { sql: format!("c{at}"), kind: *kind }).collect()
}

fn with(generator: &mut Generator<'_>) -> Query {
    let inner = body(generator, &[], None, 2, false);
    let name = generator.alias("w");
    let ctes = [Cte { name: name.clone(), columns: columns_of(&inner.kinds) }];
    let outer = body(generator, &ctes, None, 2, true);
    let parts = vec![Tree::text(format!("WITH {name} AS (")), inner.tree, Tree::text(") "), outer.tree];
    Query { tree: Tree::other(parts), ..outer }
}

fn recursive(generator: &mut Generator<'_>) -> Query {
    let table = generator.tables.choose(generator.random).unwrap().clone();
    let name = generator.alias("r");
    let anchor = table_source(generator, &table.name);
    let start = generator.condition(&anchor.names, 1);
    let all = if generator.chance(0.5) { " ALL" } else { "" };
    let step = match generator.random.random_range(0..3) {
        0 => format!("SELECT n + 1, v + 2 FROM {name} WHERE n < 9"),
        1 => format!("SELECT n + 1, v - n FROM {name} WHERE n BETWEEN 0 AND 6"),
        _ => {
            let other = &table.name;
            format!("SELECT s.id, {name}.v + 1 FROM {name} JOIN {other} AS s ON s.k = {name}.n WHERE {name}.v < 4")
        }
    };
    let key = anchor.total[0].clone();
    let alias = key.split('.').next().unwrap().to_owned();
    let columns = vec![Name { sql: "n".to_owned(), kind: Kind::Int }, Name { sql: "v".to_owned(), kind: Kind::Int }];
    let ctes = [Cte { name: name.clone(), columns }];
    let outer = body(generator, &ctes, None, 1, true);
    let parts = vec![
        Tree::text(format!("WITH RECURSIVE {name} (n, v) AS (SELECT {alias}.id, {alias}.k FROM ")),
        anchor.tree,
        Tree::optional(" WHERE ", start),
        Tree::text(format!(" UNION{all} {step}) ")),
        outer.tree,
    ];
    Query { tree: Tree::other(parts), ..outer }
}

fn table_source(generator: &mut Generator<'_>, name: &str) -> From {
    let alias = generator.alias("a");
    let table = generator.tables.iter().find(|table| table.name == name).expect("a table of the round");
    let mut names = Vec::new();
    for column in &table.columns {
        let sql = format!("{alias}.{}", column.name);
        names.push(match &column.of {
            // As it is it comes as bytes.
            // And MariaDB takes a number beside a YEAR for a year, 2 for 2002.
            Type::Bit { .. } | Type::Year => Name { sql: format!("({sql} + 0)"), kind: Kind::Int },
            of => Name { sql, kind: of.kind() },
        });
    }
    let total = vec![format!("{alias}.id")];
    From { tree: Tree::text(format!("{name} AS {alias}")), names, total, is_last: false }
}

fn source(generator: &mut Generator<'_>, ctes: &[Cte], depth: u32) -> From {
    let (tree, columns) = if let Some(cte) = ctes.choose(generator.random)
        && generator.random.random_bool(0.6)
    {
        (Tree::text(cte.name.clone()), cte.columns.clone())
    } else if depth >= 2 && generator.chance(0.12) {
        let inner = body(generator, &[], None, depth - 2, false);
        let columns = columns_of(&inner.kinds);
        (Tree::other(vec![Tree::text("("), inner.tree, Tree::text(")")]), columns)
    } else {
        let table = generator.tables.choose(generator.random).unwrap().name.clone();
        return table_source(generator, &table);
    };
    let alias = generator.alias("a");
    let names: Vec<Name> =
        columns.into_iter().map(|name| Name { sql: format!("{alias}.{}", name.sql), kind: name.kind }).collect();
    let total = total_of(&names);
    From { tree: Tree::other(vec![tree, Tree::text(format!(" AS {alias}"))]), names, total, is_last: false }
}

/// Keys that tell rows apart by all of their columns: texts also by their bytes, where a collation takes them for equal.
fn total_of(names: &[Name]) -> Vec<String> {
    let keys = |name: &Name| match name.kind {
        Kind::Text => vec![name.sql.clone(), format!("HEX({})", name.sql)],
        _ => vec![name.sql.clone()],
    };
    names.iter().flat_map(keys).collect()
}

fn from(generator: &mut Generator<'_>, ctes: &[Cte], depth: u32) -> From {
    let mut all = source(generator, ctes, depth);
    if !ctes.is_empty() {
        // At least once the named query itself.
        let alias = generator.alias("a");
        let cte = &ctes[0];
        let names: Vec<Name> =
            cte.columns.iter().map(|name| Name { sql: format!("{alias}.{}", name.sql), kind: name.kind }).collect();
        let total = total_of(&names);
        all = From { tree: Tree::text(format!("{} AS {alias}", cte.name)), names, total, is_last: false };
    }
    let joins = *[0, 0, 0, 1, 1, 1, 2].choose(generator.random).unwrap();
    for _ in 0..joins {
        let next = source(generator, ctes, depth.min(2));
        let tables = all.total.len() == 1 && next.total.len() == 1;
        let form = generator.random.random_range(0..12);
        let mut names = all.names.clone();
        names.extend(next.names.clone());
        let mut parts = vec![all.tree];
        match form {
            0 => parts.extend([Tree::text(" CROSS JOIN "), next.tree]),
            1 if tables => parts.extend([Tree::text(" NATURAL JOIN "), next.tree]),
            2 if tables => parts.extend([Tree::text(" JOIN "), next.tree, Tree::text(" USING (k)")]),
            3 if tables => parts.extend([Tree::text(" LEFT JOIN "), next.tree, Tree::text(" USING (id, k)")]),
            _ => {
                let join = *[" JOIN ", " JOIN ", " LEFT JOIN ", " LEFT JOIN ", " RIGHT JOIN ", " STRAIGHT_JOIN "]
                    .choose(generator.random)
                    .unwrap();
                let on = on(generator, &all.names, &next.names, &names);
                parts.extend([Tree::text(join), next.tree, Tree::text(" ON "), on]);
            }
        }
        all.total.extend(next.total);
        all = From { tree: Tree::Optional(parts), names, total: all.total, is_last: false };
        // What is joined belongs to the whole: it is not left out by itself.
        if let Tree::Optional(parts) = all.tree {
            all.tree = Tree::other(parts);
        }
    }
    all
}

fn on(generator: &mut Generator<'_>, left: &[Name], right: &[Name], names: &[Name]) -> Tree {
    let mut conditions = Vec::new();
    if generator.chance(0.8) {
        let first = left.choose(generator.random).unwrap().clone();
        let fitting: Vec<&Name> = right.iter().filter(|name| name.kind == first.kind).collect();
        if let Some(second) = fitting.choose(generator.random) {
            conditions.push(Tree::leaf(Kind::Condition, format!("{} = {}", first.sql, second.sql)));
        }
    }
    if conditions.is_empty() || generator.chance(0.3) {
        let condition = generator.condition(names, 1);
        conditions.push(Tree::Node { kind: Kind::Condition, parts: vec![Tree::text("("), condition, Tree::text(")")] });
    }
    Tree::Node { kind: Kind::Condition, parts: vec![Tree::list(" AND ", conditions)] }
}

/// The three parts of a table by a condition, and the whole: (parts, whole).
pub fn partitioned(generator: &mut Generator<'_>) -> (Tree, Tree) {
    let from = from(generator, &[], 0);
    let kinds = some_kinds(generator);
    let items = items(generator, &from, &kinds);
    let whole =
        Tree::other(vec![Tree::text("SELECT "), Tree::list(", ", items), Tree::text(" FROM "), from.tree.clone()]);
    let condition = generator.condition(&from.names, 3);
    let part = |before: &str, after: &str| {
        let parts = vec![whole.clone(), Tree::text(format!(" WHERE {before}(")), condition.clone()];
        Tree::other([parts, vec![Tree::text(format!("){after}"))]].concat())
    };
    let union = vec![part("", ""), part("NOT ", ""), part("", " IS NULL")];
    let union = union.into_iter().enumerate().flat_map(|(at, part)| match at {
        0 => vec![part],
        _ => vec![Tree::text(" UNION ALL "), part],
    });
    (Tree::other(union.collect()), whole)
}
