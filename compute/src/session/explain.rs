//! EXPLAIN: tells what a statement would do, or does it and tells what it did (ANALYZE).

use super::Session;
use super::result::StatementResult;
use crate::catalog::Catalog;
use crate::execute::row::profile::Profile;
use crate::execute::{analytic, choose};
use crate::sql::plan::explain::{self, Block, Line, json, tree};
use crate::sql::plan::{ExplainFormat, Field, InsertSource, Query, Statement};
use expr::SqlError;
use expr::collation::CollationId;
use expr::eval::EvalContext;
use expr::mysql_type::{MysqlType, TypeKind};
use expr::value::{Row, Value};
use futures::TryStreamExt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

impl Session {
    pub(super) async fn explain(
        &mut self,
        statement: &Statement,
        format: ExplainFormat,
        analyze: bool,
        catalog: Arc<Catalog>,
        context: EvalContext,
    ) -> Result<StatementResult, SqlError> {
        let engine = self.engine.clone();
        if analyze {
            let Statement::Query(query) = statement else {
                return Err(SqlError::not_supported("EXPLAIN ANALYZE of a statement that is no SELECT"));
            };
            if format != ExplainFormat::Tree {
                return Err(SqlError::not_supported("EXPLAIN ANALYZE in another format than TREE"));
            }
            let text = self.analyze(Arc::new(query.clone()), catalog, context).await;
            if !self.in_transaction() {
                self.roll_back().await;
            }
            return Ok(super::show::result(fields(format), vec![vec![Value::text(text?)]]));
        }
        let columnar = match statement {
            Statement::Query(query) => self.runs_on_columns(query, catalog, context).await?,
            _ => false,
        };
        let rows = match format {
            ExplainFormat::Tree => {
                let mut text = tree_text(statement, &engine)?;
                if columnar {
                    text = text.lines().map(|line| format!("    {line}\n")).collect();
                    text.insert_str(0, "-> Run on columns by the analytic executor\n");
                }
                vec![vec![Value::text(text)]]
            }
            ExplainFormat::Json => vec![vec![Value::text(json::statement(&blocks(statement, &engine)?))]],
            ExplainFormat::Traditional => {
                let mut rows = Vec::new();
                let mut blocks = blocks(statement, &engine)?;
                if columnar && let Some(first) = blocks.first_mut().and_then(|block| block.lines.first_mut()) {
                    first.extra.push("Using columnar execution".to_owned());
                }
                blocks.iter().for_each(|block| block_rows(block, &mut rows));
                rows
            }
        };
        Ok(super::show::result(fields(format), rows))
    }

    /// Whether the analytic executor would run it.
    async fn runs_on_columns(
        &mut self,
        query: &Query,
        catalog: Arc<Catalog>,
        context: EvalContext,
    ) -> Result<bool, SqlError> {
        let executor = self.variables.effective().executor;
        let opened = self.in_transaction();
        let settings = self.query_settings(Arc::default(), None);
        let query_context = self.query_context(query, catalog, context, settings, None).await?;
        let chosen = choose::is_analytic(query, &query_context, executor).await;
        if !opened && !self.in_transaction() {
            self.roll_back().await;
        }
        Ok(chosen)
    }

    /// Runs the query, drops its rows, and tells what its operators did.
    async fn analyze(
        &mut self,
        query: Arc<Query>,
        catalog: Arc<Catalog>,
        context: EvalContext,
    ) -> Result<String, SqlError> {
        let executor = self.variables.effective().executor;
        let found_rows = Arc::new(AtomicU64::new(0));
        let runner = match super::routine::calls_functions(&query) {
            (true, used) => Some(self.runner(&catalog, used, true)),
            _ => None,
        };
        let settings = self.query_settings(found_rows, runner);
        let mut query_context = self.query_context(&query, catalog, context, settings, None).await?;
        // What DataFusion refuses to plan runs on rows here, as it does elsewhere.
        if choose::is_analytic(&query, &query_context, executor).await
            && let Some(text) = analytic::measure(query.clone(), query_context.clone()).await?
        {
            return Ok(text);
        }
        let profile = Arc::new(Profile::default());
        query_context.profile = Some(profile.clone());
        let rows: Vec<Vec<Row>> =
            crate::execute::row::run(query.clone(), query_context).map_ok(|_| Vec::new()).try_collect().await?;
        drop(rows);
        Ok(tree::query(&query, &*self.engine, Some(&|node| profile.of(node))))
    }
}

fn blocks(statement: &Statement, engine: &super::Engine) -> Result<Vec<Block>, SqlError> {
    explain::blocks(statement, engine).ok_or_else(|| SqlError::not_supported("EXPLAIN of this statement"))
}

fn tree_text(statement: &Statement, engine: &super::Engine) -> Result<String, SqlError> {
    Ok(match statement {
        Statement::Query(query) => tree::query(query, engine, None),
        Statement::Insert(insert) => {
            let verb = if insert.replace { "Replace" } else { "Insert" };
            let head = format!("-> {verb} into {}\n", insert.table.name);
            match &insert.source {
                InsertSource::Query(query) => {
                    let inner = tree::query(query, engine, None);
                    head + &inner.lines().map(|line| format!("    {line}\n")).collect::<String>()
                }
                _ => head,
            }
        }
        Statement::Update(update) => {
            let names: Vec<&str> = update.targets.iter().map(|target| target.table.name.as_str()).collect();
            tree::change(&format!("Update {}", names.join(", ")), &update.input, &update.subqueries, engine)
        }
        Statement::Delete(delete) => {
            let names: Vec<&str> = delete.targets.iter().map(|target| target.table.name.as_str()).collect();
            tree::change(&format!("Delete from {}", names.join(", ")), &delete.input, &delete.subqueries, engine)
        }
        _ => return Err(SqlError::not_supported("EXPLAIN of this statement")),
    })
}

/// Columns of the result.
pub(super) fn fields(format: ExplainFormat) -> Vec<Field> {
    let text = |name: &str, length: u32| Field {
        name: name.to_owned(),
        ty: MysqlType::varchar(length, CollationId::UTF8MB4_0900_AI_CI),
        origin: None,
    };
    let number = |name: &str, ty: MysqlType| Field { name: name.to_owned(), ty, origin: None };
    if format != ExplainFormat::Traditional {
        return vec![text("EXPLAIN", 16_383)];
    }
    vec![
        number("id", MysqlType::bigint_unsigned()),
        text("select_type", 19),
        text("table", 64),
        text("partitions", 4096),
        text("type", 10),
        text("possible_keys", 4096),
        text("key", 64),
        text("key_len", 4096),
        text("ref", 2048),
        number("rows", MysqlType::bigint_unsigned()),
        number("filtered", MysqlType::new(TypeKind::Double { unsigned: false, display: Some((5, 2)) })),
        text("Extra", 255),
    ]
}

fn block_rows(block: &Block, rows: &mut Vec<Row>) {
    let list = |names: &[String]| if names.is_empty() { Value::Null } else { Value::text(names.join(",")) };
    let id = if block.union_of.is_empty() { Value::UInt(block.id) } else { Value::Null };
    let mut put = |table: Value, line: &Line| {
        let is_plain = table.is_null();
        rows.push(vec![
            id.clone(),
            Value::text(block.select_type),
            table,
            Value::Null,
            if is_plain { Value::Null } else { Value::text(line.access_type) },
            list(&line.possible_keys),
            line.key.as_ref().map_or(Value::Null, Value::text),
            line.key.as_ref().map_or(Value::Null, |_| Value::text(line.key_length.to_string())),
            list(&line.references),
            if line.rows == 0 { Value::Null } else { Value::UInt(line.rows) },
            if line.rows == 0 { Value::Null } else { Value::Double(line.filtered) },
            if line.extra.is_empty() { Value::Null } else { Value::text(line.extra.join("; ")) },
        ]);
    };
    if !block.union_of.is_empty() {
        let line = Line { access_type: "ALL", extra: vec!["Using temporary".to_owned()], ..Line::default() };
        put(Value::text(json::union_name(block)), &line);
    } else if block.lines.is_empty() {
        put(Value::Null, &Line { extra: vec!["No tables used".to_owned()], ..Line::default() });
    }
    for line in &block.lines {
        put(Value::text(&line.table), line);
    }
    block.inner.iter().for_each(|inner| block_rows(inner, rows));
}
