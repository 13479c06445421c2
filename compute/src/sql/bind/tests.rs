use crate::catalog::schema::{ColumnDef, ColumnDefault, IndexDef, IndexKind, IndexPart};
use crate::catalog::{Catalog, Database, DatabaseDef, TableDef, ViewDef};
use crate::sql::bind::{BindContext, VirtualColumns, bind_prepared};
use crate::sql::parse::parse;
use crate::sql::plan::rules::Statistics;
use crate::sql::plan::{AlterAction, CreateTable, Ddl, IndexSpec, Prepared, Statement, VariableScope};
use common::id::{ColumnId, CounterId, IndexId, Lsn, TableId};
use expr::collation::{Charset, CollationId};
use expr::eval::SqlMode;
use expr::mysql_type::MysqlType;
use expr::value::Value;
use expr::{ErrorCode, SqlError};
use std::sync::Arc;

/// A catalog that definitions are applied to, as far as binding needs it.
pub struct World {
    pub catalog: Catalog,
    pub database: Option<String>,
    pub sql_mode: SqlMode,
}

/// MySQL 8.4's default sql_mode, as far as binding asks.
pub const DEFAULT_MODE: SqlMode = SqlMode(SqlMode::ONLY_FULL_GROUP_BY.0 | SqlMode::STRICT_TRANS_TABLES.0);

fn variable(_scope: Option<VariableScope>, name: &str) -> Result<(Value, MysqlType), SqlError> {
    match name {
        "unknown" => {
            Err(SqlError::new(ErrorCode::UNKNOWN_SYSTEM_VARIABLE, format!("Unknown system variable '{name}'")))
        }
        _ => Ok((Value::Int(1), MysqlType::bigint())),
    }
}

fn virtual_table(database: &str, table: &str) -> Option<VirtualColumns> {
    let columns: &[&str] = match (database, table) {
        ("information_schema", "TABLES") => &["TABLE_SCHEMA", "TABLE_NAME", "TABLE_TYPE"],
        ("information_schema", "SCHEMATA") => &["SCHEMA_NAME"],
        _ => return None,
    };
    let text = MysqlType::varchar(64, CollationId::UTF8MB4_GENERAL_CI);
    Some(columns.iter().map(|column| ((*column).to_owned(), text.clone())).collect())
}

impl World {
    pub fn new() -> World {
        let mut world = World { catalog: Catalog::default(), database: None, sql_mode: DEFAULT_MODE };
        world.create_database("test");
        world.database = Some("test".to_owned());
        world
    }

    fn create_database(&mut self, name: &str) {
        let definition = Arc::new(DatabaseDef { name: name.to_owned(), collation: CollationId::UTF8MB4_0900_AI_CI });
        let database = Database::new(definition);
        self.catalog.databases.insert(name.to_owned(), database);
    }

    pub fn bind(&self, text: &str) -> Result<Prepared, SqlError> {
        self.bind_with(text, &NoStatistics)
    }

    pub fn bind_with(&self, text: &str, statistics: &dyn Statistics) -> Result<Prepared, SqlError> {
        let statement = parse(text, self.sql_mode)?;
        let rights = crate::account::Rights::of_server();
        let context = BindContext {
            catalog: &self.catalog,
            database: self.database.as_deref(),
            sql_mode: self.sql_mode,
            character_set_client: Charset::Utf8mb4,
            collation_connection: CollationId::UTF8MB4_0900_AI_CI,
            select_limit: u64::MAX,
            locals: None,
            definer: "root@localhost",
            rights: &rights,
            variable: &variable,
            user_variable: &|_| None,
            virtual_table: &virtual_table,
            statistics,
        };
        bind_prepared(&statement, &context, &|_| MysqlType::varchar(16_383, CollationId::UTF8MB4_0900_AI_CI))
    }

    /// Binds, and applies what changes the catalog.
    pub fn run(&mut self, text: &str) -> Result<Prepared, SqlError> {
        let bound = self.bind(text)?;
        match &bound.statement {
            Statement::Use(name) => self.database = Some(name.clone()),
            Statement::Ddl(ddl) => self.apply(ddl),
            _ => {}
        }
        Ok(bound)
    }

    fn apply(&mut self, ddl: &Ddl) {
        match ddl {
            Ddl::CreateDatabase { name, .. } => self.create_database(name),
            Ddl::DropDatabase { name, .. } => {
                self.catalog.databases.remove(name);
            }
            Ddl::CreateTable(table) => {
                if self.catalog.table(&table.name.database, &table.name.name).is_none() {
                    self.put(table_def(table));
                }
            }
            Ddl::CreateTableLike { name, like, .. } => {
                if let Some(found) = self.catalog.table(&like.database, &like.name) {
                    let mut copy = (**found).clone();
                    copy.database = name.database.clone();
                    copy.name = name.name.clone();
                    self.put(copy);
                }
            }
            Ddl::DropTables { names, .. } => {
                for name in names {
                    if let Some(database) = self.catalog.databases.get_mut(&name.database) {
                        database.tables.remove(&name.name);
                    }
                }
            }
            Ddl::RenameTables(pairs) => {
                for (from, to) in pairs {
                    let database = self.catalog.databases.get_mut(&from.database);
                    if let Some(table) = database.and_then(|it| it.tables.remove(&from.name)) {
                        let mut table = (*table).clone();
                        table.database = to.database.clone();
                        table.name = to.name.clone();
                        self.put(table);
                    }
                }
            }
            Ddl::AlterTable { name, actions, .. } => {
                let Some(table) = self.catalog.table(&name.database, &name.name) else { return };
                let mut table = (**table).clone();
                actions.iter().for_each(|action| alter(&mut table, action));
                self.put(table);
            }
            Ddl::CreateView(view) => {
                let definition = ViewDef {
                    database: view.name.database.clone(),
                    name: view.name.name.clone(),
                    columns: view.query.fields.iter().map(|field| field.name.clone()).collect(),
                    select: view.select.clone(),
                    select_database: self.database.clone().unwrap_or_default(),
                    definer: "root@%".to_owned(),
                    invoker: false,
                    algorithm: String::new(),
                    check_option: None,
                    sql_mode: self.sql_mode.0,
                    version: Lsn::ZERO,
                };
                if let Some(database) = self.catalog.databases.get_mut(&view.name.database) {
                    database.views.insert(view.name.name.clone(), Arc::new(definition));
                }
            }
            Ddl::Account(_) => {}
            Ddl::DropViews { names, .. } => {
                for name in names {
                    if let Some(database) = self.catalog.databases.get_mut(&name.database) {
                        database.views.remove(&name.name);
                    }
                }
            }
            Ddl::AlterDatabase { .. } | Ddl::Truncate(_) => {}
        }
    }

    fn put(&mut self, table: TableDef) {
        if let Some(database) = self.catalog.databases.get_mut(&table.database) {
            database.tables.insert(table.name.clone(), Arc::new(table));
        }
    }
}

fn alter(table: &mut TableDef, action: &AlterAction) {
    match action {
        AlterAction::AddColumn { column, .. } => {
            let id = ColumnId(table.next_column);
            table.next_column += 1;
            table.columns.push(column_def(id, &column.name, column.ty.clone()));
        }
        AlterAction::DropColumn { name, .. } => table.columns.retain(|column| !column.name.eq_ignore_ascii_case(name)),
        AlterAction::ChangeColumn { old_name, column, .. } => {
            if let Some(at) = table.column_index(old_name) {
                table.columns[at].name = column.name.clone();
                table.columns[at].ty = column.ty.clone();
            }
        }
        AlterAction::RenameColumn { old_name, new_name } => {
            if let Some(at) = table.column_index(old_name) {
                table.columns[at].name = new_name.clone();
            }
        }
        AlterAction::AddIndex { index, .. } => add_index(table, index),
        _ => {}
    }
}

fn column_def(id: ColumnId, name: &str, ty: MysqlType) -> ColumnDef {
    ColumnDef {
        id,
        name: name.to_owned(),
        ty,
        default: ColumnDefault::None,
        on_update_now: false,
        auto_increment: false,
        generated: None,
        comment: String::new(),
        invisible: false,
        added_default: None,
    }
}

fn add_index(table: &mut TableDef, index: &IndexSpec) {
    let mut parts = Vec::new();
    for (name, prefix, descending) in &index.parts {
        let Some(at) = table.column_index(name) else { continue };
        table.columns[at].ty.nullable &= !index.primary;
        parts.push(IndexPart { column: table.columns[at].id, prefix: *prefix, descending: *descending });
    }
    let definition = IndexDef {
        id: IndexId(table.next_index),
        name: if index.primary { "PRIMARY".to_owned() } else { index.name.clone().unwrap_or_default() },
        unique: index.unique,
        parts,
        kind: index.kind,
        comment: String::new(),
        invisible: false,
        building: false,
    };
    table.next_index += 1;
    if index.primary {
        if table.indexes.first().is_some_and(|first| first.parts.is_empty()) {
            table.indexes.remove(0);
        }
        table.indexes.insert(0, definition);
    } else {
        table.indexes.push(definition);
    }
}

fn table_def(table: &CreateTable) -> TableDef {
    let mut definition = TableDef {
        id: TableId(1),
        database: table.name.database.clone(),
        name: table.name.name.clone(),
        columns: Vec::new(),
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        collation: CollationId::UTF8MB4_0900_AI_CI,
        comment: String::new(),
        engine: "InnoDB".to_owned(),
        options: Vec::new(),
        partitioning: None,
        counter: CounterId(1),
        next_column: 0,
        next_index: 0,
        create_time: 0,
        version: Lsn::ZERO,
    };
    let source = table.source.iter().flat_map(|query| &query.fields);
    let from_source = source.map(|field| (field.name.clone(), field.ty.clone()));
    let columns = table.columns.iter().map(|column| (column.name.clone(), column.ty.clone()));
    for (position, (name, ty)) in columns.chain(from_source).enumerate() {
        let mut column = column_def(ColumnId(position as u16), &name, ty);
        if let Some(spec) = table.columns.get(position) {
            column.default = spec.default.clone();
            column.auto_increment = spec.auto_increment;
            column.generated = spec.generated.clone();
            column.invisible = spec.invisible;
        }
        definition.columns.push(column);
    }
    definition.next_column = definition.columns.len() as u16;
    if !table.indexes.iter().any(|index| index.primary) {
        let hidden = IndexSpec {
            name: Some("GEN_CLUST_INDEX".to_owned()),
            primary: false,
            unique: true,
            kind: IndexKind::Btree,
            parts: Vec::new(),
            comment: String::new(),
            invisible: false,
        };
        add_index(&mut definition, &hidden);
    }
    for index in &table.indexes {
        add_index(&mut definition, index);
    }
    definition
}

/// `ok` or an error number, then a statement; they run one after the other.
const CASES: &str = "
ok    CREATE TABLE t (id INT PRIMARY KEY, a VARCHAR(10), n DECIMAL(5,2), d DATE)
ok    CREATE TABLE u (id INT PRIMARY KEY, t_id INT)
ok    SELECT t.*, u.id AS other FROM t LEFT JOIN u ON u.t_id = t.id WHERE d > '2024-01-01' ORDER BY 1
ok    SELECT a, COUNT(*) AS n FROM t GROUP BY a HAVING n > 1 ORDER BY n DESC
ok    SELECT id, a FROM t GROUP BY id
ok    SELECT (SELECT MAX(u.id) FROM u WHERE u.t_id = t.id) FROM t
ok    SELECT id FROM t WHERE id IN (SELECT t_id FROM u) AND EXISTS (SELECT 1 FROM u)
ok    WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r
ok    SELECT ROW_NUMBER() OVER (PARTITION BY a ORDER BY id) FROM t
ok    INSERT INTO t (id, a) VALUES (1, 'x') ON DUPLICATE KEY UPDATE a = VALUES(a)
ok    UPDATE t SET a = CONCAT(a, 'y'), n = n + 1 WHERE id = 1
ok    DELETE t FROM t JOIN u ON u.t_id = t.id
1054  SELECT nope FROM t
1054  SELECT id FROM t WHERE nope = 1
1052  SELECT id FROM t, u
1146  SELECT * FROM nope
1066  SELECT 1 FROM t, t
1055  SELECT a, d FROM t GROUP BY a
1111  SELECT id FROM t WHERE COUNT(*) > 1
1136  INSERT INTO t (id, a) VALUES (1)
1054  INSERT INTO t (nope) VALUES (1)
1222  SELECT 1 UNION SELECT 1, 2
1241  SELECT (SELECT 1, 2)
1248  SELECT * FROM (SELECT 1)
1582  SELECT ABS(1, 2)
1305  SELECT nope(1)
1193  SELECT @@unknown
";

#[test]
fn statements_bind_or_give_mysqls_error() {
    let mut world = World::new();
    for case in CASES.lines().filter(|line| !line.is_empty()) {
        let (expected, statement) = case.split_once(' ').expect("a verdict and a statement");
        let found = world.run(statement.trim()).map_or_else(|error| error.code.0.to_string(), |_| "ok".to_string());
        assert_eq!(found, expected, "{statement}");
    }
}

/// No table has rows.
struct NoStatistics;

impl Statistics for NoStatistics {
    fn rows(&self, _table: &crate::catalog::TableDef) -> u64 {
        0
    }
}
