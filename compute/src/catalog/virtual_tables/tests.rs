use super::*;
use crate::catalog::schema::{ColumnDefault, IndexDef, IndexKind, IndexPart};
use crate::catalog::{ColumnDef, Database, DatabaseDef};
use common::id::{ColumnId, IndexId, Lsn, TableId};
use expr::collation::CollationId;

struct Server;

impl ServerState for Server {
    fn variables(&self, _global: bool) -> Vec<(String, String)> {
        vec![("autocommit".to_owned(), "ON".to_owned())]
    }

    fn status(&self, _global: bool) -> Vec<(String, String)> {
        Vec::new()
    }

    fn processes(&self) -> Vec<Process> {
        vec![Process { id: 3, user: "root".to_owned(), command: "Query".to_owned(), ..Process::default() }]
    }
}

fn catalog() -> Catalog {
    let column = ColumnDef {
        id: ColumnId(1),
        name: "id".to_owned(),
        ty: MysqlType::bigint_unsigned().with_nullable(false),
        default: ColumnDefault::None,
        on_update_now: false,
        auto_increment: true,
        generated: None,
        comment: String::new(),
        invisible: false,
        added_default: None,
    };
    let primary = IndexDef {
        id: IndexId(0),
        name: "PRIMARY".to_owned(),
        unique: true,
        parts: vec![IndexPart { column: ColumnId(1), prefix: None, descending: false }],
        kind: IndexKind::Btree,
        comment: String::new(),
        invisible: false,
        building: false,
    };
    let table = TableDef {
        id: TableId(100),
        database: "shop".to_owned(),
        name: "item".to_owned(),
        columns: vec![column],
        indexes: vec![primary],
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        collation: CollationId::UTF8MB4_0900_AI_CI,
        comment: "things".to_owned(),
        engine: "InnoDB".to_owned(),
        options: Vec::new(),
        partitioning: None,
        counter: CounterId(1),
        next_column: 2,
        next_index: 1,
        create_time: 0,
        version: Lsn::ZERO,
    };
    let mut catalog = Catalog::default();
    let definition = DatabaseDef { name: "shop".to_owned(), collation: CollationId::UTF8MB4_0900_AI_CI };
    let tables = [("item".to_owned(), Arc::new(table))].into();
    let database = Database { tables, ..Database::new(Arc::new(definition)) };
    catalog.databases.insert("shop".to_owned(), database);
    catalog
}

fn context() -> VirtualContext {
    VirtualContext {
        server: Arc::new(Server),
        pages: None,
        wal: None,
        time_zone: TimeZone::Offset(0),
        viewer: crate::account::Rights::of_server(),
        view_columns: |_, _| Ok(Vec::new()),
        partitions: |_| Ok(Vec::new()),
    }
}

#[tokio::test]
async fn every_table_gives_rows_of_its_own_width() {
    for table in definitions::all() {
        let all: Vec<usize> = (0..table.columns.len()).collect();
        let rows = context().rows(table.database, table.name, &all, &catalog()).await.unwrap();
        for row in &rows {
            assert_eq!(row.len(), table.columns.len(), "{}.{}", table.database, table.name);
            for (value, column) in row.iter().zip(&table.columns) {
                let name = format!("{}.{}", table.name, column.name);
                assert!(column.ty.nullable || !value.is_null(), "{name} is NULL");
                assert!(
                    !column.ty.is_text() || value.is_null() || matches!(value, Value::Text(_)),
                    "{name}: {value:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn columns_describe_the_catalog() {
    let rows = context().rows("INFORMATION_SCHEMA", "columns", &[], &catalog()).await.unwrap();
    let row = rows.iter().find(|row| row[1].to_text() == "shop").unwrap();
    let shown: Vec<String> = row.iter().map(|value| value.to_text().into_owned()).collect();
    assert_eq!(shown[2..4], ["item", "id"]);
    assert_eq!(shown[6..8], ["NO", "bigint"]);
    assert_eq!(shown[15..18], ["bigint unsigned", "PRI", "auto_increment"]);
}

#[test]
fn names_are_found_in_any_case() {
    assert_eq!(lookup("information_schema", "tables").map(|table| table.name), Some("TABLES"));
    assert_eq!(lookup("MYSQL", "USER").map(|table| table.columns.len()), Some(51));
    assert!(lookup("information_schema", "nothing").is_none());
}
