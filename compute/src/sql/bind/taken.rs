//! Literals that were taken out of a statement's text ([`outline`](crate::sql::parse::outline)): parameters of the literals' own
//! types.
//!
//! A literal means what a parameter of its type means, but for some that the binder turns into something else by their value and
//! what they stand beside: a text beside a date becomes a date, one beside an integer a number. So each is to be met in a place
//! where that does not happen; a statement with one that is met elsewhere is bound with its literals.

use crate::sql::bind::{BindContext, Binder, TEXT_CHARACTERS};
use crate::sql::parse::ast;
use crate::sql::parse::outline::{DIGITS_MAX, Kind};
use crate::sql::plan::rules::expressions::conjuncts;
use crate::sql::plan::{Node, Prepared, Scan, Statement, walk};
use expr::collation::{Charset, CollationId};
use expr::expression::Comparison;
use expr::mysql_type::{MysqlType, TypeKind};
use expr::{Expression, SqlError};

/// What became of the literals while a statement was bound.
pub struct Taken {
    /// For each: how often it was bound, and how often it was met where it may be.
    counts: Vec<(usize, usize)>,
    /// Some bound a range.
    has_ranges: bool,
}

impl Taken {
    pub fn note_bound(&mut self, index: usize) {
        if let Some((bound, _)) = self.counts.get_mut(index) {
            *bound += 1;
        }
    }

    fn note_met(&mut self, index: usize) {
        if let Some((_, met)) = self.counts.get_mut(index) {
            *met += 1;
        }
    }

    fn all_were_met(&self) -> bool {
        self.counts.iter().all(|(bound, met)| *bound > 0 && bound == met)
    }
}

/// Binds an outline. `None` if its literals have to be known.
pub fn bind_outline(
    statement: &ast::Statement,
    kinds: &[Kind],
    context: &BindContext<'_>,
) -> Result<Option<Prepared>, SqlError> {
    let mut binder = Binder::new(context, statement.source.clone(), statement.parameters);
    let types: Vec<MysqlType> = kinds.iter().map(|kind| literal_type(*kind, context.collation_connection)).collect();
    binder.parameters = types.iter().cloned().map(Some).collect();
    binder.taken = Some(Taken { counts: vec![(0, 0); kinds.len()], has_ranges: false });
    let bound = binder.statement(&statement.kind)?;
    let Some(taken) = binder.taken.take().filter(Taken::all_were_met) else { return Ok(None) };
    let statement = crate::sql::plan::rules::optimise(bound, context.statistics);
    if taken.has_ranges && !ranges_choose_nothing(&statement) {
        return Ok(None);
    }
    Ok(Some(Prepared { statement, parameters: types, open: Vec::new() }))
}

/// Of a literal of its kind, whatever its value.
fn literal_type(kind: Kind, collation: CollationId) -> MysqlType {
    match kind {
        Kind::Integer => MysqlType::bigint(),
        Kind::Decimal { scale } => {
            MysqlType::new(TypeKind::Decimal { precision: DIGITS_MAX as u8, scale, unsigned: false })
        }
        Kind::Text => MysqlType::varchar(TEXT_CHARACTERS, collation),
    }
    .with_nullable(false)
}

/// How much a range leaves decides between plans. Not where there is one table, and no condition on anything but the column that
/// its rows are ordered by.
fn ranges_choose_nothing(statement: &Statement) -> bool {
    let root = match statement {
        Statement::Query(query) if query.subqueries.is_empty() => &query.root,
        Statement::Update(update) if update.subqueries.is_empty() => &update.input,
        Statement::Delete(delete) if delete.subqueries.is_empty() => &delete.input,
        _ => return false,
    };
    let mut node = root;
    loop {
        match node {
            Node::Scan(scan) => return reads_one_order(scan),
            Node::Filter { input, predicate: Expression::And(_) | Expression::Call { .. } } => node = input,
            _ => match node.inputs()[..] {
                [input] => node = input,
                _ => return false,
            },
        }
    }
}

fn reads_one_order(scan: &Scan) -> bool {
    let Some(first) = scan.table.clustered().parts.first() else { return false };
    let is_first = |index: &usize| {
        let position = scan.columns.get(*index);
        position.and_then(|position| scan.table.columns.get(*position)).is_some_and(|column| column.id == first.column)
    };
    conjuncts(scan.filter.clone()).iter().all(|part| part.columns().iter().all(is_first))
}

impl Binder<'_> {
    /// `literal` is compared with `other`, for equality or as one end of a range.
    pub fn meet_compared(&mut self, literal: &Expression, other: &Expression, comparison: Comparison) {
        let Some(taken) = &mut self.taken else { return };
        let Expression::Parameter { index, ty } = literal else { return };
        // What reads no column may be known when the plan is made.
        if !walk::any(other, &|part| matches!(part, Expression::Column { .. } | Expression::Outer { .. })) {
            return;
        }
        let other_type = other.ty();
        let agrees = match ty.kind {
            TypeKind::Int { .. } => is_number(&other_type),
            TypeKind::VarChar { .. } => {
                matches!(other, Expression::Column { .. } | Expression::Outer { .. })
                    && matches!(other_type.kind, TypeKind::Char { .. } | TypeKind::VarChar { .. } | TypeKind::Text { .. })
                    // Any text may be converted to it.
                    && other_type.collation.charset() == Charset::Utf8mb4
                    && comparison == Comparison::Equal
            }
            _ => false,
        };
        if agrees {
            taken.note_met(*index);
            taken.has_ranges |= comparison != Comparison::Equal;
        }
    }

    /// `literal` is stored in a column.
    pub fn meet_stored(&mut self, literal: &Expression) {
        if let (Some(taken), Expression::Parameter { index, .. }) = (&mut self.taken, literal) {
            taken.note_met(*index);
        }
    }

    /// `literal` is added to `other`, or taken from it.
    pub fn meet_added(&mut self, literal: &Expression, other: &Expression) {
        if let (Some(taken), Expression::Parameter { index, ty }) = (&mut self.taken, literal)
            && is_number(ty)
            && is_number(&other.ty())
            && !matches!(other, Expression::Parameter { .. })
        {
            taken.note_met(*index);
        }
    }
}

fn is_number(ty: &MysqlType) -> bool {
    matches!(
        ty.kind,
        TypeKind::Int { .. } | TypeKind::Decimal { .. } | TypeKind::Float { .. } | TypeKind::Double { .. }
    )
}
