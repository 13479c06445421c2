use crate::catalog::schema::{ColumnDefault, ReferentialAction};
use crate::execute::show::table_text;
use crate::row;
use crate::sql::plan::*;
use crate::testing::plans::*;
use crate::testing::server::TestServer;
use expr::collation::CollationId;
use expr::mysql_type::{BlobSize, MysqlType, TypeKind};

async fn server() -> TestServer {
    let server = TestServer::new().await;
    server.ddl(create_database()).await.unwrap();
    server
}

/// `t (id INT PRIMARY KEY, a VARCHAR(20), b INT)` with three rows.
async fn filled() -> TestServer {
    let server = server().await;
    let columns = vec![not_null("id", int()), column("a", varchar(20)), column("b", int())];
    server.ddl(create_table("t", columns, vec![primary(&["id"])])).await.unwrap();
    let t = server.table("t");
    let rows = vec![row![1, "x", 10], row![2, "y", 20], row![3, "z", None]];
    server.run(insert(&t, &["id", "a", "b"], rows).into()).await.unwrap();
    server
}

fn alter(table: &str, actions: Vec<AlterAction>) -> Ddl {
    Ddl::AlterTable { name: name(table), actions, is_index_statement: false }
}

fn add(column: ColumnSpec) -> AlterAction {
    AlterAction::AddColumn { column, position: ColumnPosition::Unchanged, if_not_exists: false }
}

fn change(old: &str, column: ColumnSpec) -> AlterAction {
    AlterAction::ChangeColumn { old_name: old.into(), column, position: ColumnPosition::Unchanged }
}

fn add_index(index: IndexSpec) -> AlterAction {
    AlterAction::AddIndex { index, if_not_exists: false }
}

fn text() -> MysqlType {
    MysqlType::text(TypeKind::Text { size: BlobSize::Normal }, CollationId::UTF8MB4_0900_AI_CI)
}

#[tokio::test]
async fn indexes_of_large_tables_are_made_in_chunks() {
    let mut server = filled().await;
    server.settings.online_rows_min = 0;
    server.ddl(alter("t", vec![add_index(key(&["b"]))])).await.unwrap();
    assert!(!server.table("t").index_by_name("b").expect("it is there").building);
    server.check_indexes("t").await;
    server.ddl(alter("t", vec![add_index(unique(&["a"]))])).await.unwrap();
    let t = server.table("t");
    server.run(insert(&t, &["id", "a", "b"], vec![row![4, "w", 10]]).into()).await.unwrap();
    let refused = server.ddl_fails(alter("t", vec![add_index(unique(&["b"]))])).await;
    assert_eq!(refused, "1062 Duplicate entry '10' for key 't.b_2'");
    assert_eq!(server.table("t").indexes.len(), 3, "nothing is left of it");
    server.check_indexes("t").await;
}

#[tokio::test]
async fn an_index_whose_builder_is_gone_is_taken_out() {
    let server = filled().await;
    server.ddl(alter("t", vec![add_index(key(&["b"]))])).await.unwrap();
    let mut half = (*server.table("t")).clone();
    half.indexes.last_mut().unwrap().building = true;
    half.version = common::id::Lsn::ZERO;
    let mut transaction = server.begin();
    super::put_table(&half, &mut server.context(&mut transaction)).unwrap();
    server.commit(transaction).await.unwrap();
    let remote = &server.services.remote;
    let builder = super::online::Builder::of(half.id, remote, 0).await.unwrap().expect("nobody else builds");
    super::drop_abandoned(&server.services).await;
    assert!(server.table("t").index_by_name("b").is_some(), "somebody is at it");
    drop(builder);
    while server.table("t").index_by_name("b").is_some() {
        super::drop_abandoned(&server.services).await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn definitions_that_make_no_sense_are_refused() {
    let server = server().await;
    let default = |text: &str, ty| ColumnSpec { default: ColumnDefault::Literal(text.into()), ..column("a", ty) };
    let a = || column("a", int());
    for (columns, indexes, expected) in [
        (vec![a(), column("A", int())], vec![], "1060 Duplicate column name 'A'"),
        (vec![], vec![], "1113 A table must have at least 1 column"),
        (vec![a()], vec![key(&["z"])], "1072 Key column 'z' doesn't exist in table"),
        (vec![a()], vec![key(&["a", "a"])], "1060 Duplicate column name 'a'"),
        (vec![a()], vec![primary(&["a"]), primary(&["a"])], "1068 Multiple primary key defined"),
        (
            vec![ColumnSpec { nullable: Some(true), ..a() }],
            vec![primary(&["a"])],
            "1171 All parts of a PRIMARY KEY must be NOT NULL; if you need NULL in a key, use UNIQUE instead",
        ),
        (
            vec![auto_increment("a")],
            vec![],
            "1075 Incorrect table definition; there can be only one auto column and it must be defined as a key",
        ),
        (vec![default("x", int())], vec![], "1067 Invalid default value for 'a'"),
        (vec![default("x", text())], vec![], "1101 BLOB, TEXT, GEOMETRY or JSON column 'a' can't have a default value"),
        (
            vec![column("a", text())],
            vec![key(&["a"])],
            "1170 BLOB/TEXT column 'a' used in key specification without a key length",
        ),
        (
            vec![column("a", varchar(800))],
            vec![key(&["a"])],
            "1071 Specified key was too long; max key length is 3072 bytes",
        ),
        (vec![ColumnSpec { on_update_now: true, ..a() }], vec![], "1294 Invalid ON UPDATE clause for 'a' column"),
        (
            vec![a()],
            vec![
                IndexSpec { name: Some("k".into()), ..key(&["a"]) },
                IndexSpec { name: Some("K".into()), ..key(&["a"]) },
            ],
            "1061 Duplicate key name 'k'",
        ),
    ] {
        assert_eq!(server.ddl_fails(create_table("t", columns, indexes)).await, expected);
    }
    assert_eq!(server.ddl_fails(create_database()).await, "1007 Can't create database 'd'; database exists");
    let missing = Ddl::DropTables { names: vec![name("a"), name("b")], if_exists: false, temporary: false };
    assert_eq!(server.ddl_fails(missing).await, "1051 Unknown table 'd.a,d.b'");
    let elsewhere = CreateTable {
        name: ObjectName { database: "nowhere".into(), name: "t".into() },
        ..create("t", vec![a()], vec![])
    };
    assert_eq!(server.ddl_fails(Ddl::CreateTable(Box::new(elsewhere))).await, "1049 Unknown database 'nowhere'");
}

#[tokio::test]
async fn names_are_made_and_indexes_ordered_as_mysql_does() {
    let server = server().await;
    let p = create_table("p", vec![auto_increment("id")], vec![primary(&["id"])]);
    server.ddl(p).await.unwrap();
    let columns = vec![column("a", int()), column("b", varchar(9)), not_null("id", int())];
    let table = CreateTable {
        foreign_keys: vec![references("a", "p", "id", ReferentialAction::Cascade)],
        ..create("t", columns, vec![key(&["b", "a"]), unique(&["b"]), primary(&["id"])])
    };
    server.ddl(Ddl::CreateTable(Box::new(table))).await.unwrap();
    assert_eq!(
        table_text(&server.table("t"), None),
        "CREATE TABLE `t` (
  `a` int DEFAULT NULL,
  `b` varchar(9) DEFAULT NULL,
  `id` int NOT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `b_2` (`b`),
  KEY `b` (`b`,`a`),
  KEY `a` (`a`),
  CONSTRAINT `t_ibfk_1` FOREIGN KEY (`a`) REFERENCES `p` (`id`) ON DELETE CASCADE ON UPDATE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci"
    );
}

#[tokio::test]
async fn foreign_keys_must_fit_their_parent() {
    let server = filled().await;
    let child = |key: ForeignKeySpec, ty: MysqlType| {
        let table = CreateTable { foreign_keys: vec![key], ..create("c", vec![column("x", ty)], vec![]) };
        Ddl::CreateTable(Box::new(table))
    };
    let to = |parent: &str, column: &str| references("x", parent, column, ReferentialAction::Default);
    assert_eq!(server.ddl_fails(child(to("q", "id"), int())).await, "1824 Failed to open the referenced table 'q'");
    assert_eq!(
        server.ddl_fails(child(to("t", "no"), int())).await,
        "3734 Failed to add the foreign key constraint. Missing column 'no' for constraint 'c_ibfk_1' in the referenced \
         table 't'"
    );
    assert_eq!(
        server.ddl_fails(child(to("t", "b"), int())).await,
        "1822 Failed to add the foreign key constraint. Missing index for constraint 'c_ibfk_1' in the referenced table \
         't'"
    );
    assert_eq!(
        server.ddl_fails(child(to("t", "id"), MysqlType::bigint())).await,
        "3780 Referencing column 'x' and referenced column 'id' in foreign key constraint 'c_ibfk_1' are incompatible."
    );
    server.ddl(child(to("t", "id"), int())).await.unwrap();
}

#[tokio::test]
async fn columns_come_and_go_without_touching_rows() {
    let server = filled().await;
    let rows_before = server.cluster.rows().len();
    let with_default = ColumnSpec { default: ColumnDefault::Literal("7".into()), ..not_null("d", int()) };
    let first = AlterAction::AddColumn {
        column: not_null("f", varchar(3)),
        position: ColumnPosition::First,
        if_not_exists: false,
    };
    server.ddl(alter("t", vec![add(with_default), first, add(column("n", int()))])).await.unwrap();
    assert_eq!(server.rows("t").await, ["|1|x|10|7|NULL", "|2|y|20|7|NULL", "|3|z|NULL|7|NULL"]);
    server.ddl(alter("t", vec![AlterAction::DropColumn { name: "a".into(), if_exists: false }])).await.unwrap();
    server.ddl(alter("t", vec![add(column("a", int()))])).await.unwrap();
    assert_eq!(server.rows("t").await[0], "|1|10|7|NULL|NULL", "a new column of an old name is empty");
    assert_eq!(server.cluster.rows().len(), rows_before);
    let t = server.table("t");
    server.run(insert(&t, &["id", "f"], vec![row![9, "new"]]).into()).await.unwrap();
    assert_eq!(server.rows("t").await[3], "new|9|NULL|7|NULL|NULL");
}

#[tokio::test]
async fn added_indexes_are_filled_and_kept() {
    let server = filled().await;
    let descending = IndexSpec { parts: vec![("b".into(), None, true)], ..key(&["b"]) };
    server.ddl(alter("t", vec![add_index(unique(&["a"])), add_index(descending)])).await.unwrap();
    server.check_indexes("t").await;
    let t = server.table("t");
    server.run(update(&t, point(&t, 0, 1), vec![("a", literal("q")), ("b", literal(5))]).into()).await.unwrap();
    server.check_indexes("t").await;
    assert_eq!(
        server.fails(update(&t, point(&t, 0, 1), vec![("a", literal("Y"))]).into()).await,
        "1062 Duplicate entry 'Y' for key 't.a'"
    );
    server.run(update(&t, scan(&t), vec![("b", literal(1))]).into()).await.unwrap();
    assert_eq!(
        server.ddl_fails(alter("t", vec![add_index(unique(&["b"]))])).await,
        "1062 Duplicate entry '1' for key 't.b_2'"
    );
    server.ddl(alter("t", vec![AlterAction::DropIndex { name: "b".into(), if_exists: false }])).await.unwrap();
    assert_eq!(
        server.ddl_fails(alter("t", vec![AlterAction::DropIndex { name: "b".into(), if_exists: false }])).await,
        "1091 Can't DROP 'b'; check that column/key exists"
    );
}

#[tokio::test]
async fn changed_types_convert_every_row() {
    let server = filled().await;
    server.ddl(alter("t", vec![add_index(key(&["b"]))])).await.unwrap();
    let done = server.ddl(alter("t", vec![change("b", column("b", varchar(5)))])).await.unwrap();
    assert_eq!(done.info, "Records: 3  Duplicates: 0  Warnings: 0");
    assert_eq!(server.rows("t").await, ["1|x|10", "2|y|20", "3|z|NULL"]);
    server.check_indexes("t").await;
    assert!(server.ddl_fails(alter("t", vec![change("a", column("a", int()))])).await.starts_with("1366"));
    assert_eq!(
        server.ddl_fails(alter("t", vec![change("b", not_null("b", varchar(5)))])).await,
        "1138 Invalid use of NULL value"
    );
    server.ddl(alter("t", vec![change("a", column("renamed", varchar(30)))])).await.unwrap();
    assert_eq!(server.rows("t").await, ["1|x|10", "2|y|20", "3|z|NULL"]);
    assert!(server.table("t").column_index("renamed").is_some());
}

#[tokio::test]
async fn the_clustered_key_may_change() {
    let server = filled().await;
    server.ddl(alter("t", vec![AlterAction::DropPrimaryKey, add_index(primary(&["a"]))])).await.unwrap();
    assert_eq!(server.rows("t").await, ["1|x|10", "2|y|20", "3|z|NULL"]);
    let t = server.table("t");
    assert_eq!(server.query_in(point(&t, 0, "Z"), &mut server.begin()).await.unwrap(), ["3|z|NULL"]);
    server.ddl(alter("t", vec![AlterAction::DropPrimaryKey])).await.unwrap();
    assert!(server.table("t").has_hidden_row_id());
    let t = server.table("t");
    server.run(insert(&t, &["id", "a"], vec![row![1, "x"]]).into()).await.unwrap();
    assert_eq!(server.rows("t").await.len(), 4);
    server.run(delete(&t, scan(&t)).into()).await.unwrap();
    assert!(server.rows("t").await.is_empty());
}

#[tokio::test]
async fn foreign_keys_added_later_hold_for_old_rows() {
    let server = filled().await;
    server.ddl(create_table("p", vec![not_null("id", int())], vec![primary(&["id"])])).await.unwrap();
    let p = server.table("p");
    server.run(insert(&p, &["id"], vec![row![10]]).into()).await.unwrap();
    let key = || AlterAction::AddForeignKey(references("b", "p", "id", ReferentialAction::Default));
    assert!(server.ddl_fails(alter("t", vec![key()])).await.starts_with("1452 Cannot add or update a child row"));
    let p = server.table("p");
    server.run(insert(&p, &["id"], vec![row![20]]).into()).await.unwrap();
    server.ddl(alter("t", vec![key()])).await.unwrap();
    server.check_indexes("t").await;
    let p = server.table("p");
    assert!(server.fails(delete(&p, point(&p, 0, 20)).into()).await.starts_with("1451"));
    assert_eq!(
        server.ddl_fails(alter("t", vec![AlterAction::DropIndex { name: "b".into(), if_exists: false }])).await,
        "1553 Cannot drop index 'b': needed in a foreign key constraint"
    );
    server.ddl(alter("t", vec![AlterAction::DropForeignKey("t_ibfk_1".into())])).await.unwrap();
    let p = server.table("p");
    server.run(delete(&p, point(&p, 0, 20)).into()).await.unwrap();
}

#[tokio::test]
async fn renames_take_rows_and_references_along() {
    let server = filled().await;
    let child = CreateTable {
        foreign_keys: vec![references("x", "t", "id", ReferentialAction::Default)],
        ..create("c", vec![column("x", int())], vec![])
    };
    server.ddl(Ddl::CreateTable(Box::new(child))).await.unwrap();
    server.ddl(Ddl::RenameTables(vec![(name("t"), name("u")), (name("c"), name("t"))])).await.unwrap();
    assert_eq!(server.rows("u").await.len(), 3);
    assert_eq!(server.table("t").foreign_keys[0].parent_table, "u");
    assert_eq!(server.table("t").foreign_keys[0].name, "t_ibfk_1");
    assert_eq!(
        server.ddl_fails(Ddl::RenameTables(vec![(name("u"), name("t"))])).await,
        "1050 Table 't' already exists"
    );
    server
        .ddl(alter("u", vec![AlterAction::RenameColumn { old_name: "id".into(), new_name: "key".into() }]))
        .await
        .unwrap();
    assert_eq!(server.table("t").foreign_keys[0].parent_columns, ["key"]);
}

#[tokio::test]
async fn truncate_starts_again() {
    let server = server().await;
    server.ddl(create_table("n", vec![auto_increment("id")], vec![primary(&["id"])])).await.unwrap();
    let n = server.table("n");
    server.run(insert(&n, &[], vec![row![], row![]]).into()).await.unwrap();
    server.ddl(Ddl::Truncate(name("n"))).await.unwrap();
    let n = server.table("n");
    assert_eq!(server.run(insert(&n, &[], vec![row![]]).into()).await.unwrap().last_insert_id, 1);
    let options = TableOptions { auto_increment: Some(50), ..TableOptions::default() };
    server.ddl(alter("n", vec![AlterAction::Options(options)])).await.unwrap();
    let n = server.table("n");
    assert_eq!(server.run(insert(&n, &[], vec![row![]]).into()).await.unwrap().last_insert_id, 50);
}

#[tokio::test]
async fn databases_go_with_all_that_is_in_them() {
    let server = filled().await;
    let done = server.ddl(Ddl::DropDatabase { name: "d".into(), if_exists: false }).await.unwrap();
    assert_eq!(done.affected_rows, 1);
    assert!(server.services.catalog.newest().tables_by_id.is_empty());
    server.ddl(create_database()).await.unwrap();
    assert!(server.services.catalog.newest().table("d", "t").is_none());
}

#[tokio::test]
async fn another_compute_and_a_restarted_one_see_the_same_catalog() {
    let server = filled().await;
    let other = TestServer::beside(&server).await;
    assert_eq!(other.rows("t").await.len(), 3);
    server.ddl(alter("t", vec![add(column("n", int()))])).await.unwrap();
    other.services.catalog.snapshot_at_least(server.cluster.newest()).await.unwrap();
    assert_eq!(other.table("t"), server.table("t"));
    assert_eq!(TestServer::beside(&server).await.table("t"), server.table("t"));
}
