//! Keys: which columns they may have, how they are named, in which order they stand, which one clusters the rows.

use crate::catalog::TableDef;
use crate::catalog::schema::{
    ColumnDef, ColumnDefault, GeneratedDef, IndexDef, IndexKind, IndexPart, KEY_EXPRESSION_PREFIX,
};
use crate::execute::BindExpressions;
use crate::execute::ddl::columns::{COMMENT_MAX, fit_comment};
use crate::sql::plan::IndexSpec;
use common::id::{ColumnId, IndexId};
use expr::Expression;
use expr::eval::EvalContext;
use expr::function::json::table::CAST_ARRAY;
use expr::mysql_type::TypeKind;
use expr::{ErrorCode, SqlError};

/// InnoDB's limit on the bytes of a key.
const KEY_BYTES_MAX: u64 = 3072;
/// MySQL's limits.
const INDEXES_MAX: usize = 64;
const PARTS_MAX: usize = 16;

pub const PRIMARY: &str = "PRIMARY";
/// InnoDB's name for the clustered index of a table without keys.
pub const HIDDEN: &str = "GEN_CLUST_INDEX";

/// An index over these columns. `taken` are names of other indexes, for those that get theirs here.
pub fn define(
    spec: &IndexSpec,
    columns: &[ColumnDef],
    taken: &[&str],
    id: IndexId,
    eval: &EvalContext,
) -> Result<IndexDef, SqlError> {
    if spec.parts.len() > PARTS_MAX {
        return Err(SqlError::new(
            ErrorCode(1070),
            format!("Too many key parts specified; max {PARTS_MAX} parts allowed"),
        ));
    }
    let mut parts: Vec<IndexPart> = Vec::with_capacity(spec.parts.len());
    let mut key_bytes = 0;
    for (name, prefix, descending) in &spec.parts {
        let column = columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
            SqlError::new(ErrorCode::KEY_COLUMN_DOES_NOT_EXIST, format!("Key column '{name}' doesn't exist in table"))
        })?;
        if parts.iter().any(|part| part.column == column.id) {
            return Err(SqlError::new(ErrorCode::DUP_FIELDNAME, format!("Duplicate column name '{name}'")));
        }
        let prefix = match spec.kind {
            // The items are of a type that fits a key.
            IndexKind::Array if column.is_key_expression() && column.ty.kind == TypeKind::Json => None,
            IndexKind::Btree | IndexKind::Array => check_part(column, *prefix)?,
            IndexKind::Fulltext => check_fulltext(column)?,
            IndexKind::Spatial => check_spatial(column)?,
        };
        key_bytes += part_bytes(column, prefix);
        parts.push(IndexPart { column: column.id, prefix, descending: *descending });
    }
    if spec.kind == IndexKind::Btree && key_bytes > KEY_BYTES_MAX {
        return Err(SqlError::new(
            ErrorCode::TOO_LONG_KEY,
            format!("Specified key was too long; max key length is {KEY_BYTES_MAX} bytes"),
        ));
    }
    let name = name(spec, columns, &parts, taken)?;
    let comment = fit_comment(&spec.comment, COMMENT_MAX, ErrorCode(1688), &format!("index '{name}'"), eval)?;
    Ok(IndexDef {
        id,
        name,
        unique: spec.unique || spec.primary,
        parts,
        kind: spec.kind,
        comment,
        invisible: spec.invisible,
        building: false,
    })
}

/// Gives the table a hidden column for each expression of an index; they are the index's parts then, and the index has a
/// name. `given`: names that other indexes of the statement will have. Manual: "CREATE INDEX", "Functional Key Parts"
/// (15.1.15).
pub fn with_hidden_columns(
    spec: &IndexSpec,
    table: &mut TableDef,
    given: &[&str],
    binder: &dyn BindExpressions,
) -> Result<IndexSpec, SqlError> {
    let mut spec = spec.clone();
    if spec.expressions.is_empty() {
        return Ok(spec);
    }
    let refused = |code: u16, text: &str| Err(SqlError::new(ErrorCode(code), text));
    match spec.kind {
        _ if spec.primary => return refused(3756, "The primary key cannot be a functional index"),
        IndexKind::Fulltext => return refused(3759, "Fulltext functional index is not supported."),
        IndexKind::Spatial => return refused(3760, "Spatial functional index is not supported."),
        IndexKind::Btree | IndexKind::Array => {}
    }
    let index_name = match &spec.name {
        Some(name) => name.clone(),
        None => {
            let base = if spec.expressions[0].0 == 0 { "functional_index" } else { &spec.parts[0].0 };
            let is_given = |name: &str| given.iter().any(|other| other.eq_ignore_ascii_case(name));
            free_name(base, |name| table.index_by_name(name).is_some() || is_given(name))
        }
    };
    for (position, expression) in std::mem::take(&mut spec.expressions) {
        let bound = binder.bind(table, &expression)?;
        let ty = bound.ty();
        let is_array = matches!(&bound, Expression::Call { function, .. } if function.name == CAST_ARRAY);
        if is_array && spec.kind == IndexKind::Array {
            return refused(
                1235,
                "This version of MySQL doesn't yet support 'more than one multi-valued key part per index'",
            );
        }
        if is_array {
            spec.kind = IndexKind::Array;
        }
        match ty.kind {
            _ if is_array => {}
            TypeKind::Json | TypeKind::Geometry(_) => {
                let text = "Cannot create a functional index on a function that returns a JSON or GEOMETRY value.";
                return refused(3753, text);
            }
            TypeKind::Text { .. } | TypeKind::Blob { .. } => {
                let text = "Cannot create a functional index on an expression that returns a BLOB or TEXT. Please \
                            consider using CAST.";
                return refused(3757, text);
            }
            TypeKind::Null => {
                let text = format!("The used storage engine cannot index the expression '{expression}'.");
                return refused(3761, &text);
            }
            _ => {}
        }
        let base = format!("{KEY_EXPRESSION_PREFIX}{index_name}!{position}");
        let numbered = (0..).map(|number: u32| format!("{base}!{number}"));
        let name = numbered.into_iter().find(|name| table.column_index(name).is_none()).unwrap_or_default();
        table.columns.push(ColumnDef {
            id: ColumnId(table.next_column),
            name: name.clone(),
            ty: ty.with_nullable(true),
            default: ColumnDefault::None,
            on_update_now: false,
            auto_increment: false,
            generated: Some(GeneratedDef { expression, stored: false }),
            comment: String::new(),
            invisible: true,
            added_default: None,
        });
        table.next_column += 1;
        spec.parts[position].0 = name;
    }
    spec.name = Some(index_name);
    Ok(spec)
}

/// `base`, or `base_2` and so on where it is taken.
fn free_name(base: &str, taken: impl Fn(&str) -> bool) -> String {
    let others = (2..).map(|number: u32| format!("{base}_{number}"));
    std::iter::once(base.to_owned()).chain(others).find(|name| !taken(name)).unwrap_or_default()
}

fn name(spec: &IndexSpec, columns: &[ColumnDef], parts: &[IndexPart], taken: &[&str]) -> Result<String, SqlError> {
    if spec.primary {
        if spec.invisible {
            return Err(SqlError::new(ErrorCode(3522), "A primary key index cannot be invisible"));
        }
        return Ok(PRIMARY.into());
    }
    let is_taken = |name: &str| taken.iter().any(|other| other.eq_ignore_ascii_case(name));
    if let Some(name) = &spec.name {
        if name.eq_ignore_ascii_case(PRIMARY) || name.eq_ignore_ascii_case(HIDDEN) || name.is_empty() {
            return Err(SqlError::new(ErrorCode::WRONG_NAME_FOR_INDEX, format!("Incorrect index name '{name}'")));
        }
        if name.chars().count() > 64 {
            return Err(SqlError::new(ErrorCode::TOO_LONG_IDENT, format!("Identifier name '{name}' is too long")));
        }
        if is_taken(name) {
            return Err(duplicate_name(name));
        }
        return Ok(name.clone());
    }
    let first = parts.first().and_then(|part| columns.iter().find(|column| column.id == part.column));
    let base = first.map_or("key", |column| column.name.as_str());
    Ok(free_name(base, |name| is_taken(name) || name.eq_ignore_ascii_case(PRIMARY)))
}

pub fn duplicate_name(name: &str) -> SqlError {
    SqlError::new(ErrorCode::DUP_KEYNAME, format!("Duplicate key name '{name}'"))
}

/// The prefix that is kept: one as long as the column is none.
fn check_part(column: &ColumnDef, prefix: Option<u32>) -> Result<Option<u32>, SqlError> {
    let wrong_prefix = || {
        SqlError::new(
            ErrorCode(1089),
            "Incorrect prefix key; the used key part isn't a string, the used length is longer than the key part, or \
             the storage engine doesn't support unique prefix keys",
        )
    };
    match (&column.ty.kind, prefix) {
        (TypeKind::Json, _) => Err(SqlError::new(
            ErrorCode(3152),
            format!(
                "JSON column '{}' supports indexing only via generated columns on a specified JSON path.",
                column.name
            ),
        )),
        (TypeKind::Text { .. } | TypeKind::Blob { .. } | TypeKind::Geometry(_), None) => Err(SqlError::new(
            ErrorCode::BLOB_KEY_WITHOUT_LENGTH,
            format!("BLOB/TEXT column '{}' used in key specification without a key length", column.name),
        )),
        (_, Some(0)) => Err(SqlError::new(ErrorCode(1391), format!("Key part '{}' length cannot be 0", column.name))),
        (TypeKind::Text { .. } | TypeKind::Blob { .. }, Some(length)) => Ok(Some(length)),
        (
            TypeKind::Char { length: full }
            | TypeKind::VarChar { length: full }
            | TypeKind::Binary { length: full }
            | TypeKind::VarBinary { length: full },
            Some(length),
        ) => match length.cmp(full) {
            std::cmp::Ordering::Less => Ok(Some(length)),
            std::cmp::Ordering::Equal => Ok(None),
            std::cmp::Ordering::Greater => Err(wrong_prefix()),
        },
        (_, Some(_)) => Err(wrong_prefix()),
        (_, None) => Ok(None),
    }
}

fn check_fulltext(column: &ColumnDef) -> Result<Option<u32>, SqlError> {
    match column.ty.kind {
        TypeKind::Char { .. } | TypeKind::VarChar { .. } | TypeKind::Text { .. } => Ok(None),
        _ => Err(SqlError::new(ErrorCode(1283), format!("Column '{}' cannot be part of FULLTEXT index", column.name))),
    }
}

fn check_spatial(column: &ColumnDef) -> Result<Option<u32>, SqlError> {
    match column.ty.kind {
        TypeKind::Geometry(_) if column.ty.nullable => {
            Err(SqlError::new(ErrorCode(1252), "All parts of a SPATIAL index must be NOT NULL"))
        }
        TypeKind::Geometry(_) => Ok(None),
        _ => Err(SqlError::new(ErrorCode(1687), "A SPATIAL index may only contain a geometrical type column")),
    }
}

/// As InnoDB counts: four bytes for a character of utf8mb4.
fn part_bytes(column: &ColumnDef, prefix: Option<u32>) -> u64 {
    let characters =
        |length: u32| u64::from(prefix.unwrap_or(length)) * u64::from(column.ty.collation.charset().bytes_max());
    match &column.ty.kind {
        TypeKind::Char { length } | TypeKind::VarChar { length } => characters(*length),
        TypeKind::Text { .. } => characters(u32::MAX),
        TypeKind::Binary { length } | TypeKind::VarBinary { length } => u64::from(prefix.unwrap_or(*length)),
        TypeKind::Blob { .. } => u64::from(prefix.unwrap_or(u32::MAX)),
        _ => 8,
    }
}

/// Puts indexes in MySQL's order (primary key, unique without NULLs, unique, others, FULLTEXT; else as given) behind
/// the clustered index, which is made if there is no key that can be it.
pub fn arrange(table: &mut TableDef) -> Result<(), SqlError> {
    table.indexes.retain(|index| index.name != HIDDEN);
    if table.indexes.len() > INDEXES_MAX {
        return Err(SqlError::new(ErrorCode(1069), format!("Too many keys specified; max {INDEXES_MAX} keys allowed")));
    }
    let columns = &table.columns;
    let nullable = |index: &IndexDef| {
        let of = |part: &IndexPart| columns.iter().find(|column| column.id == part.column);
        index.parts.iter().any(|part| of(part).is_some_and(|column| column.ty.nullable))
    };
    let rank = |index: &IndexDef| match index {
        _ if index.name == PRIMARY => 0,
        _ if !matches!(index.kind, IndexKind::Btree | IndexKind::Array) => 4,
        _ if index.unique && !nullable(index) => 1,
        _ if index.unique => 2,
        _ => 3,
    };
    table.indexes.sort_by_key(rank);
    let clusters = |index: &IndexDef| {
        index.name == PRIMARY || (rank(index) == 1 && index.parts.iter().all(|part| part.prefix.is_none()))
    };
    match table.indexes.iter().position(clusters) {
        Some(position) => {
            let index = table.indexes.remove(position);
            table.indexes.insert(0, index);
        }
        None => table.indexes.insert(0, hidden()),
    }
    // The first unique key without NULLs stands for the primary key that is not there.
    if table.indexes[0].invisible {
        return Err(SqlError::new(ErrorCode(3522), "A primary key index cannot be invisible"));
    }
    Ok(())
}

fn hidden() -> IndexDef {
    IndexDef {
        id: IndexId(0),
        name: HIDDEN.into(),
        unique: true,
        parts: Vec::new(),
        kind: IndexKind::Btree,
        comment: String::new(),
        invisible: false,
        building: false,
    }
}

/// There may be one AUTO_INCREMENT column, and it must be the first of a key.
pub fn check_auto_increment(table: &TableDef) -> Result<(), SqlError> {
    let mut automatic = table.columns.iter().filter(|column| column.auto_increment);
    let (first, second) = (automatic.next(), automatic.next());
    let is_key = |column: &ColumnDef| {
        table.indexes.iter().any(|index| index.parts.first().is_some_and(|part| part.column == column.id))
    };
    if second.is_some() || first.is_some_and(|column| !is_key(column)) {
        return Err(SqlError::new(
            ErrorCode::WRONG_AUTO_KEY,
            "Incorrect table definition; there can be only one auto column and it must be defined as a key",
        ));
    }
    Ok(())
}
