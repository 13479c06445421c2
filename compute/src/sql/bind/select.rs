//! One SELECT: its clauses bound in MySQL's order, then put together as a plan.
//!
//! Everything after WHERE and GROUP BY is bound over the row that FROM gives; aggregates and windows are placeholders
//! until the groups are known, then the expressions are moved to the rows that they will be evaluated on.

use crate::sql::bind::query::{Limit, is_descending, limited};
use crate::sql::bind::scope::{Block, Clause, SelectItem};
use crate::sql::bind::{Binder, Built, WINDOWS, aggregate, canonical, column_type, error, query};
use crate::sql::parse::VARIABLE_QUOTE;
use crate::sql::parse::ast::syntax::{
    Distinct, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, GroupByWithModifier, OrderByExpr,
    Select, SelectItem as ItemSyntax, SelectItemQualifiedWildcardKind, UnaryOperator, Value,
};
use crate::sql::parse::lexer::string_literal;
use crate::sql::plan::{AggregateCall, Field, FieldOrigin, Node, SortKey, walk};
use expr::aggregate::AggregateFunction;
use expr::eval::SqlMode;
use expr::{ErrorCode, Expression, SqlError};

/// An item of the select list with what the client is told of it.
struct Item {
    expression: Expression,
    field: Field,
    /// Named with AS.
    alias: bool,
    /// Of a plain column: its table's alias, its name.
    column: Option<(Option<String>, String)>,
}

/// A key of ORDER BY: a column of the select list, or one more to compute.
enum Key {
    Output(usize),
    Hidden(Expression),
}

impl Binder<'_> {
    pub fn select(&mut self, select: &Select, order_by: &[OrderByExpr], limit: &Limit) -> Result<Built, SqlError> {
        let unsupported = select.top.is_some()
            || select.into.is_some()
            || select.qualify.is_some()
            || !select.lateral_views.is_empty()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.sort_by.is_empty();
        if unsupported {
            return Err(SqlError::not_supported("this clause of SELECT"));
        }
        let (boundary, frame) = query::boundary_of(self);
        let depth = self.blocks.len();
        self.blocks.push(Block::new(boundary, frame));
        let bound = self.block_of(select, order_by, limit);
        self.blocks.truncate(depth);
        bound
    }

    fn block_of(&mut self, select: &Select, order_by: &[OrderByExpr], limit: &Limit) -> Result<Built, SqlError> {
        let mut node = self.from(&select.from)?;
        self.block().groups = true;
        if let Some(selection) = &select.selection {
            self.block().clause = Clause::Where;
            let predicate = self.condition(selection)?;
            node = Node::Filter { input: Box::new(node), predicate };
        }
        let equalities = super::dependency::equalities(&node);
        self.block().named_windows =
            select.named_window.iter().map(|window| (window.0.value.to_ascii_lowercase(), window.1.clone())).collect();
        self.block().clause = Clause::Fields;
        let mut items = self.items(select)?;
        self.block().items = items
            .iter()
            .map(|item| SelectItem {
                name: item.field.name.clone(),
                expression: item.expression.clone(),
                alias: item.alias,
                column: item.column.clone(),
            })
            .collect();
        let (group_by, rollup) = self.group_by(&select.group_by, &items)?;
        self.block().group_by = group_by.clone();
        self.block().rollup = rollup;
        self.block().clause = Clause::Having;
        let mut having = select.having.as_ref().map(|having| self.condition(having)).transpose()?;
        let mut keys = self.keys(order_by, &items)?;
        // One row of all has no order.
        if self.block().group_by.is_empty() && !self.block().aggregates.is_empty() {
            keys.clear();
        }
        self.check_windows()?;
        if matches!(select.distinct, Some(Distinct::Distinct)) {
            self.check_distinct(&keys, &items)?;
        }

        // Nothing more is bound here: the row changes from now on.
        let block = self.block();
        let frame = block.frame;
        let aggregates = std::mem::take(&mut block.aggregates);
        let mut windows = std::mem::take(&mut block.windows);
        let scope = std::mem::take(&mut block.scope);
        let mut expressions: Vec<&mut Expression> = items.iter_mut().map(|item| &mut item.expression).collect();
        expressions.extend(having.as_mut());
        for (key, _) in &mut keys {
            if let Key::Hidden(expression) = key {
                expressions.push(expression);
            }
        }
        for window in &mut windows {
            expressions.extend(window.arguments.iter_mut().chain(&mut window.partition_by));
            expressions.extend(window.order_by.iter_mut().map(|key| &mut key.expression));
        }
        let grouping = aggregate::Grouping {
            scope: &scope,
            group_by,
            rollup,
            aggregates,
            equalities,
            sql_mode: self.context.sql_mode,
        };
        let (grouped, width) = grouping.apply(node, expressions, &mut self.frames[frame].subqueries)?;
        node = grouped;
        if let Some(predicate) = having {
            node = Node::Filter { input: Box::new(node), predicate };
        }
        if !windows.is_empty() {
            node = Node::Window { input: Box::new(node), calls: windows };
            let subqueries = &mut self.frames[frame].subqueries;
            let place = &mut |index: usize, ty: &expr::MysqlType| {
                let index = if index >= WINDOWS { width + index - WINDOWS } else { index };
                Expression::Column { index, ty: ty.clone() }
            };
            for item in &mut items {
                walk::map_columns(&mut item.expression, subqueries, place);
            }
            for (key, _) in &mut keys {
                if let Key::Hidden(expression) = key {
                    walk::map_columns(expression, subqueries, place);
                }
            }
        }
        let calc_found_rows = select.select_modifiers.as_ref().is_some_and(|modifiers| modifiers.sql_calc_found_rows);
        let distinct = matches!(select.distinct, Some(Distinct::Distinct));
        let strict = self.context.sql_mode.has(SqlMode::ONLY_FULL_GROUP_BY);
        let (root, fields) = project(node, items, keys, Distinctness { distinct, strict }, limit)?;
        Ok(Built { root, fields, calc_found_rows })
    }

    fn items(&mut self, select: &Select) -> Result<Vec<Item>, SqlError> {
        let mut items = Vec::new();
        for (position, item) in select.projection.iter().enumerate() {
            match item {
                ItemSyntax::Wildcard(_) => {
                    if self.block().scope.columns.is_empty() {
                        return Err(SqlError::new(ErrorCode::NO_TABLES_USED, "No tables used"));
                    }
                    let before = items.len();
                    self.star(None, &mut items)?;
                    self.note_star(select, position, &items[before..]);
                }
                ItemSyntax::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    let path: Vec<String> =
                        name.0.iter().filter_map(|part| part.as_ident()).map(|part| part.value.clone()).collect();
                    match self.block().scope.find_table(&path) {
                        Some(table) => {
                            let before = items.len();
                            self.star(Some(table), &mut items)?;
                            self.note_star(select, position, &items[before..]);
                        }
                        None => return Err(error::unknown_table(&path.join("."))),
                    }
                }
                ItemSyntax::UnnamedExpr(expression) => {
                    let text = self.source.item(select, position).map(str::to_owned);
                    let escapes = !self.context.sql_mode.has(SqlMode::NO_BACKSLASH_ESCAPES);
                    let name = text.as_deref().and_then(|text| first_literal(expression, text, escapes));
                    let name = name.or_else(|| item_name(expression)).or(text);
                    let name = name.unwrap_or_else(|| expression.to_string());
                    let item = self.item(expression, name, false)?;
                    items.push(item);
                }
                ItemSyntax::ExprWithAlias { expr, alias } => {
                    let item = self.item(expr, alias.value.clone(), true)?;
                    items.push(item);
                }
                other => return Err(SqlError::not_supported(other)),
            }
        }
        Ok(items)
    }

    fn item(&mut self, syntax: &Expr, name: String, alias: bool) -> Result<Item, SqlError> {
        let expression = self.expression(syntax)?;
        let column = match syntax {
            Expr::Identifier(ident) => Some((None, ident.value.clone())),
            Expr::CompoundIdentifier(parts) => {
                let (name, qualifier) =
                    parts.split_last().map(|(name, rest)| (name.value.clone(), rest)).unwrap_or_default();
                Some((qualifier.last().map(|table| table.value.clone()), name))
            }
            _ => None,
        };
        let origin = self.origin_of(&expression);
        let field = Field { name, ty: expression.ty(), origin };
        Ok(Item { expression, field, alias: alias || column.is_some(), column })
    }

    fn origin_of(&self, expression: &Expression) -> Option<FieldOrigin> {
        let Expression::Column { index, .. } = expression else { return None };
        let scope = &self.blocks.last()?.scope;
        scope.columns.iter().find(|column| column.index == *index)?.origin.told()
    }

    fn star(&mut self, table: Option<usize>, items: &mut Vec<Item>) -> Result<(), SqlError> {
        let scope = &self.block().scope;
        for column in &scope.columns {
            let wanted = match table {
                Some(table) => column.table == table,
                None => !column.merged,
            };
            if wanted && !column.invisible {
                if let Some(limits) = &scope.tables[column.table].limits
                    && limits.check_read(&column.name).is_err()
                {
                    return Err(limits.all_denied());
                }
                items.push(Item {
                    expression: Expression::column(column.index, column.ty.clone()),
                    field: Field { name: column.name.clone(), ty: column.ty.clone(), origin: column.origin.told() },
                    alias: true,
                    column: Some((Some(scope.tables[column.table].alias.clone()), column.name.clone())),
                });
            }
        }
        Ok(())
    }

    /// A view keeps the columns that it had when it was made.
    fn note_star(&mut self, select: &Select, position: usize, items: &[Item]) {
        if self.view_depth > 0 {
            return;
        }
        let (Some(stars), Some(range)) = (&mut self.stars, self.source.item_range(select, position)) else { return };
        let column = |item: &Item| {
            let (table, name) = item.column.clone()?;
            Some(match table {
                Some(table) if !table.is_empty() => {
                    format!("{}.{}", canonical::quoted(&table), canonical::quoted(&name))
                }
                _ => canonical::quoted(&name),
            })
        };
        let columns: Option<Vec<String>> = items.iter().map(column).collect();
        if let Some(columns) = columns {
            stars.insert(range.start, (range.end, format!(" {}", columns.join(","))));
        }
    }

    fn group_by(&mut self, syntax: &GroupByExpr, items: &[Item]) -> Result<(Vec<Expression>, bool), SqlError> {
        let GroupByExpr::Expressions(keys, modifiers) = syntax else {
            return Err(SqlError::not_supported("GROUP BY ALL"));
        };
        let rollup = match modifiers.as_slice() {
            [] => false,
            [GroupByWithModifier::Rollup] => true,
            _ => return Err(SqlError::not_supported("this modifier of GROUP BY")),
        };
        self.block().clause = Clause::Group;
        let mut bound: Vec<Expression> = Vec::new();
        for key in keys {
            let expression = match Self::position(key) {
                Some(position) => match position.checked_sub(1).and_then(|at| items.get(at)) {
                    Some(item) => item.expression.clone(),
                    None => return Err(error::unknown_column(&position.to_string(), "group statement")),
                },
                None => self.group_key(key, items)?,
            };
            let aggregated = walk::any(
                &expression,
                &|part| matches!(part, Expression::Column { index, .. } if *index >= super::AGGREGATES),
            );
            if aggregated {
                return Err(SqlError::new(ErrorCode(1056), format!("Can't group on '{key}'")));
            }
            bound.push(expression);
        }
        Ok((bound, rollup))
    }

    /// A column of FROM, else an alias, whose expression is shared so that the select list finds its group.
    fn group_key(&mut self, key: &Expr, items: &[Item]) -> Result<Expression, SqlError> {
        if let Expr::Identifier(name) = key {
            let path = [name.value.clone()];
            // The first expression of that name ends the search for two columns of it: only what stands before it counts.
            let named = items.iter().filter(|item| item.field.name.eq_ignore_ascii_case(&name.value));
            let mut columns = named.take_while(|item| item.column.is_some());
            if let Some(first) = columns.next()
                && columns.any(|other| !other.expression.is_same(&first.expression))
            {
                return Err(error::ambiguous(&name.value, "group statement"));
            }
            let known = self.block().scope.find(&path, "group statement")?.is_some();
            if !known && let Some(item) = items.iter().find(|item| item.field.name.eq_ignore_ascii_case(&name.value)) {
                return Ok(item.expression.clone());
            }
        }
        self.expression(key)
    }

    /// 3066: what DISTINCT makes one has no aggregate of its own to be ordered by.
    fn check_distinct(&self, keys: &[(Key, bool)], items: &[Item]) -> Result<(), SqlError> {
        let selected = |part: &Expression| items.iter().any(|item| item.expression.is_same(part));
        let foreign = |part: &Expression| {
            matches!(part, Expression::Column { index, .. } if (super::AGGREGATES..WINDOWS).contains(index))
                && !selected(part)
        };
        let aggregates = |(key, _): &(Key, bool)| match key {
            Key::Hidden(expression) => walk::any(expression, &foreign),
            Key::Output(_) => false,
        };
        match keys.iter().position(aggregates) {
            Some(at) if self.context.sql_mode.has(SqlMode::ONLY_FULL_GROUP_BY) => {
                let text = format!(
                    "Expression #{} of ORDER BY clause is not in SELECT list, contains aggregate function; this is \
                     incompatible with DISTINCT",
                    at + 1
                );
                Err(SqlError::new(ErrorCode(3066), text))
            }
            _ => Ok(()),
        }
    }

    fn keys(&mut self, order_by: &[OrderByExpr], items: &[Item]) -> Result<Vec<(Key, bool)>, SqlError> {
        self.block().clause = Clause::Order;
        let plain = self.block().group_by.is_empty() && self.block().aggregates.is_empty();
        let mut keys = Vec::new();
        for key in order_by {
            if plain && !self.block().aggregates.is_empty() {
                return Err(aggregate_in_order(keys.len()));
            }
            let bound = match Self::position(&key.expr) {
                Some(position) => match position.checked_sub(1).filter(|at| *at < items.len()) {
                    Some(at) => Key::Output(at),
                    None => return Err(error::unknown_column(&position.to_string(), "order clause")),
                },
                None => self.key(&key.expr, items)?,
            };
            keys.push((bound, is_descending(key)));
        }
        match plain && !self.block().aggregates.is_empty() {
            true => Err(aggregate_in_order(keys.len())),
            false => Ok(keys),
        }
    }

    fn key(&mut self, key: &Expr, items: &[Item]) -> Result<Key, SqlError> {
        let inner = strip(key);
        if let Expr::Identifier(name) = inner
            && name.quote_style != Some(VARIABLE_QUOTE)
        {
            let named = |item: &Item| item.field.name.eq_ignore_ascii_case(&name.value);
            let mut found = items.iter().enumerate().filter(|(_, item)| named(item));
            if let Some((at, first)) = found.next() {
                let clash = found.any(|(_, other)| !other.expression.is_same(&first.expression));
                if clash {
                    return Err(error::ambiguous(&name.value, "order clause"));
                }
                return Ok(Key::Output(at));
            }
        }
        let expression = self.expression(key)?;
        let at = items.iter().position(|item| item.expression.is_same(&expression));
        Ok(at.map_or(Key::Hidden(expression), Key::Output))
    }
}

/// 3029: the key alone would make one row of all.
fn aggregate_in_order(number: usize) -> SqlError {
    let text = format!(
        "Expression #{number} of ORDER BY contains aggregate function and applies to the result of a non-aggregated query"
    );
    SqlError::new(ErrorCode(3029), text)
}

fn strip(expression: &Expr) -> &Expr {
    match expression {
        Expr::Nested(inner) => strip(inner),
        other => other,
    }
}

/// Of literals that stand behind each other as one text, the first names the column.
fn first_literal(expression: &Expr, source: &str, backslash_escapes: bool) -> Option<String> {
    let Expr::Value(value) = expression else { return None };
    let quote = *source.as_bytes().first().filter(|quote| matches!(quote, b'\'' | b'"'))?;
    let Value::SingleQuotedString(_) = value.value else { return None };
    let (first, _) = string_literal(source, 0, quote, backslash_escapes)?;
    Some(first.trim_start().to_owned())
}

/// The column name of items that are not named by their text: columns, literals, and those behind a plus sign.
fn item_name(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Identifier(ident) if ident.quote_style != Some(VARIABLE_QUOTE) => Some(ident.value.clone()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.clone()),
        Expr::Value(value) => match &value.value {
            Value::Null => Some("NULL".to_owned()),
            Value::Boolean(truth) => Some(truth.to_string().to_ascii_uppercase()),
            Value::Number(digits, _) => Some(digits.clone()),
            other => column_type::text_of(other),
        },
        Expr::Prefixed { value, .. } => match value.as_ref() {
            Expr::Value(value) => column_type::text_of(&value.value),
            _ => None,
        },
        // A plus sign is no operator to MySQL's grammar, nor are parentheses around one operand.
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => item_name(expr),
        Expr::Nested(inner) => match inner.as_ref() {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) | Expr::Nested(_) => item_name(inner),
            _ => None,
        },
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("name_const") => {
            let FunctionArguments::List(list) = &function.args else { return None };
            match list.args.first() {
                Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(name))) => item_name(name),
                _ => None,
            }
        }
        _ => None,
    }
}

/// DISTINCT, and whether it forbids ORDER BY what it does not select (ONLY_FULL_GROUP_BY).
#[derive(Clone, Copy)]
struct Distinctness {
    distinct: bool,
    strict: bool,
}

/// True if all that the expression reads is in one of the items, which may be a part of it.
fn is_selected(expression: &Expression, items: &[Expression]) -> bool {
    if items.iter().any(|item| item.is_same(expression)) {
        return true;
    }
    if matches!(expression, Expression::Column { .. } | Expression::Subquery { .. }) {
        let is_item =
            |read: &usize| items.iter().any(|item| matches!(item, Expression::Column { index, .. } if index == read));
        return expression.columns().iter().all(is_item);
    }
    let mut all = true;
    walk::each_child(expression, &mut |child| all = all && is_selected(child, items));
    all
}

/// The select list, DISTINCT, ORDER BY and LIMIT over a node.
fn project(
    node: Node,
    items: Vec<Item>,
    keys: Vec<(Key, bool)>,
    Distinctness { distinct, strict }: Distinctness,
    limit: &Limit,
) -> Result<(Node, Vec<Field>), SqlError> {
    let width = items.len();
    let mut fields = Vec::with_capacity(width);
    let mut expressions = Vec::with_capacity(width);
    for Item { expression, mut field, .. } in items {
        // Grouping may have changed what is nullable.
        field.ty = expression.ty();
        fields.push(field);
        expressions.push(expression);
    }
    let mut sort_keys = Vec::new();
    for (key, descending) in keys {
        let at = match key {
            Key::Output(at) => at,
            Key::Hidden(expression) => {
                // What it reads is all selected: it has one value for each row of the result.
                if distinct && strict && !is_selected(&expression, &expressions[..width]) {
                    return Err(SqlError::new(
                        ErrorCode(3065),
                        "Expression #1 of ORDER BY clause is not in SELECT list, references column which is not in \
                         SELECT list; this is incompatible with DISTINCT",
                    ));
                }
                expressions.push(expression);
                expressions.len() - 1
            }
        };
        sort_keys.push(SortKey { expression: Expression::column(at, expressions[at].ty()), descending });
    }
    let hidden = expressions.len() > width;
    let types: Vec<expr::MysqlType> = expressions.iter().map(Expression::ty).collect();
    let mut root = Node::Project { input: Box::new(node), expressions };
    if distinct && hidden {
        // One row for each of the visible values, ordered by what any of its rows has.
        let columns: Vec<Expression> =
            types.iter().enumerate().map(|(at, ty)| Expression::column(at, ty.clone())).collect();
        let aggregates = columns[width..].iter().map(|column| AggregateCall {
            function: AggregateFunction::AnyValue,
            arguments: vec![column.clone()],
            distinct: false,
            order_by: Vec::new(),
            separator: None,
            ty: column.ty(),
        });
        root = Node::Aggregate {
            input: Box::new(root),
            group_by: columns[..width].to_vec(),
            rollup: false,
            aggregates: aggregates.collect(),
        };
    } else if distinct {
        root = Node::Distinct { input: Box::new(root) };
    }
    if !sort_keys.is_empty() {
        root = Node::Sort { input: Box::new(root), keys: sort_keys };
    }
    root = limited(root, limit.clone());
    if hidden {
        let expressions =
            fields.iter().enumerate().map(|(at, field)| Expression::column(at, field.ty.clone())).collect();
        root = Node::Project { input: Box::new(root), expressions };
    }
    Ok((root, fields))
}
