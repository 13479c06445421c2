//! A compute over the fake cluster, without protocol and binder: runs plans, each in a transaction of its own or in one
//! that a test holds.

use super::FakeCluster;
use crate::account::Rights;
use crate::catalog::TableDef;
use crate::catalog::virtual_tables::{Process, ServerState, VirtualContext};
use crate::execute::account::{Actor, Policies};
use crate::execute::query_memory::QueryMemory;
use crate::execute::{BindExpressions, QuerySettings, Services, Settings, StatementContext, ddl, row, write};
use crate::session::NamedLocks;
use crate::session::result::Done;
use crate::sql::plan::{Ddl, Isolation, Query, Statement};
use crate::txn::{Transaction, commit, roll_back};
use common::id::TxnId;
use expr::eval::{EvalContext, SqlMode, TimeZone};
use expr::{Expression, SqlError};
use futures::StreamExt;
use std::sync::Arc;

pub struct TestServer {
    pub cluster: Arc<FakeCluster>,
    pub services: Services,
    pub settings: Settings,
    pub sql_mode: SqlMode,
}

struct NoServer;

impl ServerState for NoServer {
    fn variables(&self, _global: bool) -> Vec<(String, String)> {
        Vec::new()
    }

    fn status(&self, _global: bool) -> Vec<(String, String)> {
        Vec::new()
    }

    fn processes(&self) -> Vec<Process> {
        Vec::new()
    }
}

/// Texts of definitions are names of columns, with `!` in front for their negation by comparison with zero.
struct NamesOnly;

impl BindExpressions for NamesOnly {
    fn bind(&self, table: &TableDef, text: &str) -> Result<Expression, SqlError> {
        // `a <> 0` is the truth of a.
        let name = text.strip_suffix(" <> 0").unwrap_or(text);
        let position = table.column_index(name).ok_or_else(|| SqlError::internal(format!("no column {text}")))?;
        Ok(Expression::column(position, table.columns[position].ty.clone()))
    }
}

impl TestServer {
    pub async fn new() -> TestServer {
        let cluster = FakeCluster::new();
        let services = cluster.services().await;
        let sql_mode = SqlMode(SqlMode::STRICT_TRANS_TABLES.0);
        let settings = Settings { lock_wait_timeout: std::time::Duration::from_millis(200), ..Settings::default() };
        TestServer { cluster, services, settings, sql_mode }
    }

    /// Another compute over the same cluster, with a catalog of its own.
    pub async fn beside(other: &TestServer) -> TestServer {
        let mut services = other.cluster.services().await;
        services.remote.new_id = other.services.remote.new_id.clone();
        TestServer {
            cluster: other.cluster.clone(),
            services,
            settings: other.settings.clone(),
            sql_mode: other.sql_mode,
        }
    }

    pub fn begin(&self) -> Transaction {
        self.begin_at(Isolation::RepeatableRead)
    }

    pub fn begin_at(&self, isolation: Isolation) -> Transaction {
        Transaction::new(TxnId((self.services.remote.new_id)()), isolation, false, true)
    }

    pub fn table(&self, name: &str) -> Arc<TableDef> {
        self.services.catalog.newest().table("d", name).expect("the test made it").clone()
    }

    pub fn context<'a>(&'a self, transaction: &'a mut Transaction) -> StatementContext<'a> {
        StatementContext {
            input: None,
            routines: None,
            services: &self.services,
            transaction,
            catalog: self.services.catalog.newest(),
            eval: EvalContext {
                sql_mode: self.sql_mode,
                now_us: 1_700_000_000_000_000,
                effects: Arc::default(),
                ..EvalContext::constant()
            },
            settings: self.settings.clone(),
            queries: QuerySettings {
                virtual_tables: VirtualContext {
                    server: Arc::new(NoServer),
                    pages: None,
                    wal: None,
                    time_zone: TimeZone::Offset(0),
                    viewer: Rights::of_server(),
                    view_columns: |_, _| Ok(Vec::new()),
                    partitions: |_| Ok(Vec::new()),
                },
                memory: Arc::new(QueryMemory::new(1 << 30, 1 << 32)),
                cancel: Arc::default(),
                recursion_depth_max: 1000,
                found_rows: Arc::default(),
                progress: Arc::default(),
                waiting: Arc::new(NamedLocks::new(self.services.remote.clone(), 1)),
            },
            binder: Arc::new(NamesOnly),
            actor: Actor { rights: Rights::of_server(), policies: Policies::default() },
            temporary: Arc::default(),
            own_tables: Arc::default(),
        }
    }

    /// One statement in a transaction of its own.
    pub async fn run(&self, statement: Statement) -> Result<Done, SqlError> {
        let mut transaction = self.begin();
        let done = self.run_in(statement, &mut transaction).await;
        match done {
            Ok(done) => self.commit(transaction).await.map(|()| done),
            Err(error) => {
                roll_back(transaction, &self.services.remote).await;
                Err(error)
            }
        }
    }

    pub async fn run_in(&self, statement: Statement, transaction: &mut Transaction) -> Result<Done, SqlError> {
        write::execute(&statement, &mut self.context(transaction)).await
    }

    /// With the warnings it left, as `code message`.
    pub async fn run_with_warnings(&self, statement: Statement) -> (Result<Done, SqlError>, Vec<String>) {
        let mut transaction = self.begin();
        let (done, warnings) = {
            let mut context = self.context(&mut transaction);
            let done = write::execute(&statement, &mut context).await;
            let warnings = context.eval.effects.warnings.lock().unwrap();
            (done, warnings.iter().map(|warning| format!("{} {}", warning.code.0, warning.message)).collect())
        };
        self.commit(transaction).await.unwrap();
        (done, warnings)
    }

    pub async fn ddl(&self, statement: Ddl) -> Result<Done, SqlError> {
        let mut transaction = self.begin();
        let done = ddl::execute(&statement, &mut self.context(&mut transaction)).await;
        match done {
            Ok(done) => self.commit(transaction).await.map(|()| done),
            Err(error) => {
                roll_back(transaction, &self.services.remote).await;
                Err(error)
            }
        }
    }

    pub async fn commit(&self, transaction: Transaction) -> Result<(), SqlError> {
        let lsn = commit(transaction, &self.services.remote).await.map_err(|failure| failure.into_sql_error())?;
        self.services.catalog.snapshot_at_least(lsn.unwrap_or_default()).await?;
        Ok(())
    }

    /// All rows of a table, `a|b`, by what a plain read of the transaction sees.
    pub async fn rows_in(&self, name: &str, transaction: &mut Transaction) -> Vec<String> {
        let table = self.table(name);
        let root = super::plans::scan(&table);
        self.query_in(root, transaction).await.unwrap()
    }

    pub async fn rows(&self, name: &str) -> Vec<String> {
        self.rows_in(name, &mut self.begin()).await
    }

    pub async fn query_in(
        &self,
        root: crate::sql::plan::Node,
        transaction: &mut Transaction,
    ) -> Result<Vec<String>, SqlError> {
        let query = Query {
            root,
            fields: Vec::new(),
            subqueries: Vec::new(),
            into_variables: Vec::new(),
            calc_found_rows: false,
        };
        let mut context = self.context(transaction);
        let view = context.plain().await?;
        let mut batches = row::run(Arc::new(query), context.query_context(view));
        let mut rows = Vec::new();
        while let Some(batch) = batches.next().await {
            rows.extend(batch?.iter().map(|row| {
                let texts = row.iter().map(|value| if value.is_null() { "NULL".into() } else { value.to_text() });
                texts.collect::<Vec<_>>().join("|")
            }));
        }
        Ok(rows)
    }

    /// Error as `code message`.
    pub async fn fails(&self, statement: Statement) -> String {
        let error = self.run(statement).await.expect_err("should fail");
        format!("{} {}", error.code.0, error.message)
    }

    pub async fn ddl_fails(&self, statement: Ddl) -> String {
        let error = self.ddl(statement).await.expect_err("should fail");
        format!("{} {}", error.code.0, error.message)
    }

    /// Every secondary index of a table says what its rows say, and nothing else.
    pub async fn check_indexes(&self, name: &str) {
        use crate::execute::codec;
        let table = self.table(name);
        let stored = self.cluster.rows();
        let of = |index: common::id::IndexId| {
            let range = common::key::KeyRange::index(table.id, index);
            let entries = stored.iter().filter(move |(key, _)| range.contains(key));
            entries.map(|(key, row)| (key.clone(), row.clone())).collect::<Vec<_>>()
        };
        let rows = of(table.clustered().id);
        for index in table.indexes.iter().skip(1).filter(|index| codec::is_stored(index)) {
            let mut expected: Vec<_> = rows
                .iter()
                .flat_map(|(key, row)| {
                    let (values, row_id) = codec::decode_all(&table, row, codec::UTC).unwrap();
                    let entries = codec::index_entries(&table, index, &values, row_id, key, codec::UTC).unwrap();
                    for entry in &entries {
                        assert_eq!(codec::clustered_key_of_entry(&table, &entry.row).unwrap(), *key);
                    }
                    entries.into_iter().map(|entry| (entry.key, entry.row))
                })
                .collect();
            expected.sort();
            assert_eq!(of(index.id), expected, "index {} of {name}", index.name);
        }
    }
}
