//! Our plan as DataFusion's logical plan.
//!
//! Every node's columns are found by position in the schema of what it became; their names are made up, each once per
//! query. What has no translation runs on the row path and comes in as a table.

use crate::execute::analytic::aggregate::{self, Finish};
use crate::execute::analytic::dependent;
use crate::execute::analytic::error::{unwrapped, wrapped};
use crate::execute::analytic::expression::{Form, Translator};
use crate::execute::analytic::lateral;
use crate::execute::analytic::scan::{Provider, QueryTable, Source, StoredSource};
use crate::execute::analytic::types::arrow_type;
use crate::execute::bounds;
use crate::execute::row::{self, QueryContext, shape};
use crate::sql::plan::{Access, AggregateCall, Field, Join, JoinKind, Node, Query, Scan, SetKind, SortKey, Subquery};
use common::key::KeyRange;
use datafusion::catalog::default_table_source::provider_as_source;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinType};
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::first_value;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, cast, lit};
use expr::eval::EvalContext;
use expr::mysql_type::{MysqlType, TypeKind};
use expr::{Expression, SqlError};
use std::collections::HashMap;
use std::sync::Arc;

/// What the translation of one query needs that had to be awaited.
pub struct Prepared {
    /// For each query block, by its address: the context with the results of its subqueries.
    pub blocks: HashMap<usize, Arc<EvalContext>>,
    /// Estimated rows, by address of the scan.
    pub rows: HashMap<usize, u64>,
    /// Keys of tables that are scanned in parts, by address of the scan.
    pub parts: HashMap<usize, Vec<KeyRange>>,
}

/// Translates one query.
pub struct Planner<'a> {
    pub context: &'a QueryContext,
    pub prepared: &'a Prepared,
    next_name: usize,
}

/// A query block while it is translated.
#[derive(Clone, Copy)]
struct Block<'a> {
    eval: &'a Arc<EvalContext>,
    subqueries: &'a [Subquery],
}

/// A translated node.
struct Input {
    plan: LogicalPlan,
    columns: Vec<Column>,
    types: Vec<MysqlType>,
}

impl Input {
    fn new(plan: LogicalPlan, types: Vec<MysqlType>) -> Input {
        let columns = plan.schema().columns();
        Input { plan, columns, types }
    }

    fn translator<'a>(&'a self, block: Block<'a>) -> Translator<'a> {
        Translator { columns: &self.columns, types: &self.types, eval: block.eval }
    }

    fn column(&self, index: usize) -> Expr {
        Expr::Column(self.columns[index].clone())
    }
}

impl<'a> Planner<'a> {
    pub fn new(context: &'a QueryContext, prepared: &'a Prepared) -> Planner<'a> {
        Planner { context, prepared, next_name: 0 }
    }

    pub fn query(&mut self, query: &'a Query) -> Result<LogicalPlan> {
        let eval = &self.prepared.blocks[&address(query)];
        Ok(self.node(&query.root, Block { eval, subqueries: &query.subqueries })?.plan)
    }

    fn name(&mut self) -> String {
        self.next_name += 1;
        format!("c{}", self.next_name)
    }

    fn node(&mut self, node: &'a Node, block: Block<'a>) -> Result<Input> {
        match self.translated(node, block)? {
            Some(input) => Ok(input),
            None => self.by_rows(node, block),
        }
    }

    /// `None` if the node has to run on the row path.
    fn translated(&mut self, node: &'a Node, block: Block<'a>) -> Result<Option<Input>> {
        let types = shape::types(node);
        Ok(match node {
            Node::Dual => Some(Input::new(LogicalPlanBuilder::empty(true).build()?, types)),
            Node::Scan(scan) => self.scan(scan, block)?,
            Node::Filter { input, predicate } => {
                let input = self.node(input, block)?;
                let predicate = input.translator(block).truth(predicate)?;
                Some(Input::new(LogicalPlanBuilder::from(input.plan).filter(predicate)?.build()?, types))
            }
            Node::Project { input, expressions } => {
                let input = self.node(input, block)?;
                Some(self.project(input, expressions, block)?)
            }
            Node::Join(join) => self.join(join, block)?,
            Node::Aggregate { input, group_by, rollup: false, aggregates } => {
                self.aggregate(input, group_by, aggregates, block, types)?
            }
            Node::Sort { input, keys } => {
                let input = self.node(input, block)?;
                Some(self.sort(input, keys, block)?)
            }
            Node::Limit { input, offset, count } => {
                let (skip, fetch) = self.limit(offset.as_ref(), count.as_ref(), block)?;
                let input = self.node(input, block)?;
                Some(Input::new(LogicalPlanBuilder::from(input.plan).limit(skip, fetch)?.build()?, types))
            }
            Node::Distinct { input } => {
                let input = self.node(input, block)?;
                Some(self.distinct(input, block)?)
            }
            Node::SetOperation { kind: SetKind::Union, all, left, right } => {
                let left = self.node(left, block)?;
                let right = self.node(right, block)?;
                let both = self.union(left, right)?;
                Some(if *all { both } else { self.distinct(both, block)? })
            }
            Node::Derived(query) => {
                let eval = &self.prepared.blocks[&address(&**query)];
                let inner = self.node(&query.root, Block { eval, subqueries: &query.subqueries })?;
                Some(Input { types, ..inner })
            }
            _ => None,
        })
    }

    /// A node that the row path runs, as a table.
    fn by_rows(&mut self, node: &'a Node, block: Block<'a>) -> Result<Input> {
        let types = shape::types(node);
        let fields = types.iter().map(|ty| Field { name: String::new(), ty: ty.clone(), origin: None }).collect();
        let query = Arc::new(Query {
            root: node.clone(),
            fields,
            subqueries: block.subqueries.to_vec(),
            into_variables: Vec::new(),
            calc_found_rows: false,
        });
        let context = self.context.clone();
        let rows = move || row::run(query.clone(), context.clone());
        self.table(Source::Rows(Arc::new(rows)), types, None, block)
    }

    fn table(&mut self, source: Source, types: Vec<MysqlType>, rows: Option<u64>, block: Block<'a>) -> Result<Input> {
        let names: Vec<String> = types.iter().map(|_| self.name()).collect();
        let rows = rows.map(|rows| usize::try_from(rows).unwrap_or(usize::MAX));
        let table = QueryTable::new(source, types.clone(), names.into_iter(), rows, block.eval.clone());
        let source = provider_as_source(Arc::new(Provider(Arc::new(table))));
        let plan = LogicalPlanBuilder::scan(self.name(), source, None)?.build()?;
        Ok(Input::new(plan, types))
    }

    /// Scans of a part of a secondary index and exact keys are few rows: the row path reads them.
    fn scan(&mut self, scan: &'a Scan, block: Block<'a>) -> Result<Option<Input>> {
        if scan.lock.is_some() {
            return Ok(None);
        }
        let parts = match &scan.access {
            Access::Full => self.all_of(scan, address(scan)),
            Access::Range { index: 0, .. } => match bounds::clustered_range(scan, block.eval).map_err(wrapped)? {
                Some(range) => vec![range],
                None => return Ok(None),
            },
            Access::Range { .. } | Access::Point { .. } => return Ok(None),
        };
        let source = StoredSource {
            view: self.context.view.clone(),
            table: scan.table.clone(),
            parts,
            columns: scan.columns.clone(),
            bounds: bounds::of_scan(scan, block.eval).map_err(wrapped)?,
        };
        let types = shape::scan_types(scan);
        let rows = self.prepared.rows.get(&address(scan)).copied();
        let input = self.table(Source::Stored(source), types, rows, block)?;
        let Some(filter) = &scan.filter else { return Ok(Some(input)) };
        let predicate = input.translator(block).truth(filter)?;
        Ok(Some(Input::new(LogicalPlanBuilder::from(input.plan).filter(predicate)?.build()?, input.types)))
    }

    fn project(&mut self, input: Input, expressions: &[Expression], block: Block<'a>) -> Result<Input> {
        let mut projected = Vec::with_capacity(expressions.len());
        for expression in expressions {
            let value = input.translator(block).value(expression)?;
            projected.push(value.alias(self.name()));
        }
        let types = expressions.iter().map(Expression::ty).collect();
        Ok(Input::new(LogicalPlanBuilder::from(input.plan).project(projected)?.build()?, types))
    }

    fn join(&mut self, join: &'a Join, block: Block<'a>) -> Result<Option<Input>> {
        let left = self.node(&join.left, block)?;
        let (right, pairs, condition) = if join.lateral {
            let Some(plain) = lateral::unlateral(join) else { return Ok(None) };
            let Some(right) = self.lateral_scan(&plain.right, address_of_scan(&join.right), block)? else {
                return Ok(None);
            };
            (right, plain.equal, plain.condition)
        } else {
            (self.node(&join.right, block)?, join.equal.clone(), join.condition.clone())
        };
        let (left_width, right_width) = (left.types.len(), shape::width(&join.right));
        let (mut left_keys, mut right_keys) = (Vec::new(), Vec::new());
        for (on_left, on_right) in &pairs {
            let (left_type, right_type) = (on_left.ty(), on_right.ty());
            let (form, right_form) = (Form::of(&left_type), Form::of(&right_type));
            if form == right_form && form != Form::Bytes && arrow_type(&left_type) == arrow_type(&right_type) {
                left_keys.push(form.apply(left.translator(block).value(on_left)?));
                right_keys.push(form.apply(right.translator(block).value(on_right)?));
                continue;
            }
            for (side, expression, keys) in [(&left, on_left, &mut left_keys), (&right, on_right, &mut right_keys)] {
                let translator = side.translator(block);
                let value = translator.value(expression)?;
                keys.push(translator.key_of(value, &expression.ty(), false));
            }
        }
        let kind = match join.kind {
            JoinKind::Inner => JoinType::Inner,
            JoinKind::Left => JoinType::Left,
            JoinKind::Semi => JoinType::LeftSemi,
            JoinKind::Anti => JoinType::LeftAnti,
        };
        let both = Input {
            plan: left.plan.clone(),
            columns: left.columns.iter().chain(&right.columns).cloned().collect(),
            types: left.types.iter().chain(&right.types).cloned().collect(),
        };
        let condition = condition.as_ref().map(|condition| both.translator(block).truth(condition)).transpose()?;
        let condition = condition.map(columns_first).transpose()?;
        if kind == JoinType::Inner && !left_keys.is_empty() {
            // DataFusion holds the left side in memory, where it knows of no reason to turn them; ours is the right one.
            let columns = left.columns.into_iter().chain(right.columns.into_iter().take(right_width));
            let plan = LogicalPlanBuilder::from(right.plan)
                .join_with_expr_keys(left.plan, kind, (right_keys, left_keys), condition)?
                .project(columns.map(Expr::Column).collect::<Vec<_>>())?
                .build()?;
            let types = shape::types_of_join(join.kind, &both.types[..left_width + right_width], left_width);
            return Ok(Some(Input::new(plan, types)));
        }
        let builder = LogicalPlanBuilder::from(left.plan);
        let plan = match (left_keys.is_empty(), condition) {
            (false, condition) => {
                builder.join_with_expr_keys(right.plan, kind, (left_keys, right_keys), condition)?.build()?
            }
            (true, None) if kind == JoinType::Inner => builder.cross_join(right.plan)?.build()?,
            (true, condition) => {
                builder.join_on(right.plan, kind, [condition.unwrap_or_else(|| lit(true))])?.build()?
            }
        };
        let types = shape::types_of_join(join.kind, &both.types[..left_width + right_width], left_width);
        let joined = Input::new(plan, types);
        if joined.columns.len() == joined.types.len() {
            return Ok(Some(joined));
        }
        // Key columns that were read for the join alone come last.
        let kept: Vec<Expr> = (0..joined.types.len()).map(|index| joined.column(index)).collect();
        Ok(Some(Input::new(LogicalPlanBuilder::from(joined.plan).project(kept)?.build()?, joined.types)))
    }

    /// All keys of a scan's table, in as many parts as it is read in.
    fn all_of(&self, scan: &Scan, address: usize) -> Vec<KeyRange> {
        let whole = || vec![KeyRange::index(scan.table.id, scan.table.clustered().id)];
        self.prepared.parts.get(&address).cloned().unwrap_or_else(whole)
    }

    /// The right side of a join that was one of index lookups, by the scan at `original`.
    fn lateral_scan(&mut self, scan: &Scan, original: usize, block: Block<'a>) -> Result<Option<Input>> {
        let source = StoredSource {
            view: self.context.view.clone(),
            table: scan.table.clone(),
            parts: self.all_of(scan, original),
            columns: scan.columns.clone(),
            bounds: bounds::of_scan(scan, block.eval).map_err(wrapped)?,
        };
        let types = shape::scan_types(scan);
        let rows = self.prepared.rows.get(&original).copied();
        let input = self.table(Source::Stored(source), types, rows, block)?;
        let Some(filter) = &scan.filter else { return Ok(Some(input)) };
        let predicate = input.translator(block).truth(filter)?;
        Ok(Some(Input::new(LogicalPlanBuilder::from(input.plan).filter(predicate)?.build()?, input.types)))
    }

    fn aggregate(
        &mut self,
        input: &'a Node,
        group_by: &[Expression],
        calls: &[AggregateCall],
        block: Block<'a>,
        types: Vec<MysqlType>,
    ) -> Result<Option<Input>> {
        let depends = dependent::on_others(input, group_by);
        let never_null = dependent::never_null(input, &shape::types(input));
        let input = self.node(input, block)?;
        let translator = input.translator(block);
        let (mut groups, mut output) = (Vec::new(), Vec::new());
        let mut computed: Vec<(Expr, String)> = Vec::new();
        for (expression, depends) in group_by.iter().zip(depends) {
            let (key, shown) = (self.name(), self.name());
            let (value, ty) = (translator.value(expression)?, expression.ty());
            if depends {
                computed.push((first_value(value, Vec::new()), shown.clone()));
                output.push(Shown::Column(shown));
                continue;
            }
            match Form::of(&ty) {
                Form::Plain => {
                    groups.push(value.alias(&key));
                    output.push(Shown::Column(key));
                    continue;
                }
                Form::Unpadded => groups.push(Form::Unpadded.apply(value.clone()).alias(&key)),
                Form::Bytes => groups.push(translator.key_of(value.clone(), &ty, true).alias(&key)),
            }
            // CHAR has no spaces at its end.
            if Form::of(&ty) == Form::Unpadded && matches!(ty.kind, TypeKind::Char { .. }) {
                output.push(Shown::Column(key));
            } else {
                computed.push((first_value(value, Vec::new()), shown.clone()));
                output.push(Shown::Column(shown));
            }
        }
        for call in calls {
            let Some(aggregated) = aggregate::aggregate(call, &translator, &never_null)? else { return Ok(None) };
            let mut names = Vec::with_capacity(aggregated.parts.len());
            for part in aggregated.parts {
                // SUM(x) and AVG(x) add up once.
                let known = computed.iter().find(|(other, _)| *other == part).map(|(_, name)| name.clone());
                names.push(known.clone().unwrap_or_else(|| self.name()));
                if known.is_none() {
                    computed.push((part, names[names.len() - 1].clone()));
                }
            }
            output.push(match (aggregated.finish, &names[..]) {
                (Finish::Average(sum_type), [sum, count]) => {
                    Shown::Average(sum.clone(), count.clone(), sum_type, call.ty.clone())
                }
                (_, names) => Shown::Cast(names[0].clone(), call.ty.clone()),
            });
        }
        let mut projected = Vec::with_capacity(output.len());
        for shown in output {
            let column = |name: &String| Expr::Column(Column::from_name(name));
            let value = match shown {
                Shown::Column(name) => column(&name),
                Shown::Cast(name, ty) => cast(column(&name), arrow_type(&ty)),
                Shown::Average(sum, count, sum_type, ty) => {
                    aggregate::average(column(&sum), column(&count), sum_type, &ty, &translator)
                }
            };
            projected.push(value.alias(self.name()));
        }
        let builder = LogicalPlanBuilder::from(input.plan.clone());
        if groups.is_empty() && computed.is_empty() {
            return Ok(None);
        }
        let is_one_row = groups.is_empty();
        let computed: Vec<Expr> = computed.into_iter().map(|(part, name)| part.alias(name)).collect();
        let aggregated = builder.aggregate(groups, computed)?;
        // A condition without columns is one on the keys of a group to DataFusion, and goes below. What has no groups gives
        // its row whatever the condition left.
        let aggregated = if is_one_row { aggregated.limit(0, Some(i64::MAX as usize))? } else { aggregated };
        Ok(Some(Input::new(aggregated.project(projected)?.build()?, types)))
    }

    fn sort(&mut self, input: Input, keys: &[SortKey], block: Block<'a>) -> Result<Input> {
        let mut sorts = Vec::with_capacity(keys.len());
        for key in keys {
            // NULL comes first in ascending order.
            sorts.push(input.translator(block).key(&key.expression, true)?.sort(!key.descending, !key.descending));
        }
        Ok(Input::new(LogicalPlanBuilder::from(input.plan).sort(sorts)?.build()?, input.types))
    }

    fn limit(
        &self,
        offset: Option<&Expression>,
        count: Option<&Expression>,
        block: Block<'a>,
    ) -> Result<(usize, Option<usize>)> {
        let value = |expression: &Expression| -> Result<usize> {
            let value = expr::eval::eval(expression, &[], block.eval).map_err(wrapped)?;
            let count = row::to_count(&value).map_err(wrapped)?;
            Ok(usize::try_from(count).unwrap_or(usize::MAX))
        };
        Ok((offset.map_or(Ok(0), value)?, count.map(value).transpose()?))
    }

    /// The first of rows that are equal.
    fn distinct(&mut self, input: Input, block: Block<'a>) -> Result<Input> {
        if input.types.iter().all(|ty| Form::of(ty) == Form::Plain) {
            return Ok(Input::new(LogicalPlanBuilder::from(input.plan).distinct()?.build()?, input.types));
        }
        let translator = input.translator(block);
        let (mut groups, mut carried, mut output) = (Vec::new(), Vec::new(), Vec::new());
        for (index, ty) in input.types.iter().enumerate() {
            let name = self.name();
            let form = Form::of(ty);
            if form == Form::Plain {
                groups.push(input.column(index).alias(&name));
            } else {
                groups.push(match form {
                    Form::Bytes => translator.key_of(input.column(index), ty, true).alias(self.name()),
                    form => form.apply(input.column(index)).alias(self.name()),
                });
                carried.push(first_value(input.column(index), Vec::new()).alias(&name));
            }
            output.push(Expr::Column(Column::from_name(name)));
        }
        let builder = LogicalPlanBuilder::from(input.plan.clone());
        Ok(Input::new(builder.aggregate(groups, carried)?.project(output)?.build()?, input.types))
    }

    fn union(&mut self, left: Input, right: Input) -> Result<Input> {
        let mut sides = Vec::with_capacity(2);
        for side in [&left, &right] {
            let mut columns = Vec::with_capacity(left.types.len());
            for (index, ty) in left.types.iter().enumerate() {
                columns.push(cast(side.column(index), arrow_type(ty)).alias(self.name()));
            }
            sides.push(LogicalPlanBuilder::from(side.plan.clone()).project(columns)?.build()?);
        }
        let (Some(second), Some(first)) = (sides.pop(), sides.pop()) else {
            return Err(wrapped(SqlError::internal("a union of nothing; report this query")));
        };
        Ok(Input::new(LogicalPlanBuilder::from(first).union(second)?.build()?, left.types))
    }
}

/// A column of an aggregation's result, by the names of what was computed.
enum Shown {
    Column(String),
    Cast(String, MysqlType),
    /// Sum, count, type of the sum, type of the average.
    Average(String, String, MysqlType, MysqlType),
}

/// Where something of the plan is: its name while a query is translated.
pub fn address<T>(part: &T) -> usize {
    std::ptr::from_ref(part) as usize
}

/// Of the table that a node scans.
fn address_of_scan(node: &Node) -> usize {
    match node {
        Node::Scan(scan) => address(&**scan),
        other => address(other),
    }
}

/// The whole query.
pub fn translate(query: &Query, context: &QueryContext, prepared: &Prepared) -> Result<LogicalPlan, SqlError> {
    Planner::new(context, prepared).query(query).map_err(unwrapped)
}

/// `0 = k` as `k = 0`. In the condition of an outer join DataFusion makes a join key of the first form, and finds no row by it.
fn columns_first(condition: Expr) -> Result<Expr> {
    let turned = condition.transform(|part| {
        Ok(match part {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right })
                if !left.any_column_refs() && right.any_column_refs() =>
            {
                Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(right, Operator::Eq, left)))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(turned.data)
}
