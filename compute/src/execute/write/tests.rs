use super::ends_transaction;
use crate::catalog::schema::{CheckDef, ColumnDefault, GeneratedDef, ReferentialAction};
use crate::row;
use crate::sql::plan::*;
use crate::testing::plans::*;
use crate::testing::server::TestServer;
use crate::txn::roll_back;
use expr::ErrorCode;
use expr::eval::SqlMode;

/// `t (id INT AUTO_INCREMENT PRIMARY KEY, a VARCHAR(20) UNIQUE, b INT, KEY (b))`.
async fn server() -> TestServer {
    let server = TestServer::new().await;
    server.ddl(create_database()).await.unwrap();
    let columns = vec![auto_increment("id"), column("a", varchar(20)), column("b", int())];
    let indexes = vec![primary(&["id"]), unique(&["a"]), key(&["b"])];
    server.ddl(create_table("t", columns, indexes)).await.unwrap();
    server
}

async fn fill(server: &TestServer) {
    let t = server.table("t");
    let rows = vec![row!["x", 1], row!["y", 2], row![None, 2]];
    let done = server.run(insert(&t, &["a", "b"], rows).into()).await.unwrap();
    assert_eq!((done.affected_rows, done.last_insert_id), (3, 1));
    assert_eq!(done.info, "Records: 3  Duplicates: 0  Warnings: 0");
}

#[tokio::test]
async fn rows_come_back_by_every_index() {
    let server = server().await;
    fill(&server).await;
    let t = server.table("t");
    assert_eq!(server.rows("t").await, ["1|x|1", "2|y|2", "3|NULL|2"]);
    let by_unique = point(&t, t.indexes.iter().position(|index| index.name == "a").unwrap(), "Y");
    assert_eq!(server.query_in(by_unique, &mut server.begin()).await.unwrap(), ["2|y|2"]);
    let by_key = range(&t, t.indexes.iter().position(|index| index.name == "b").unwrap(), 2);
    assert_eq!(server.query_in(by_key, &mut server.begin()).await.unwrap(), ["2|y|2", "3|NULL|2"]);
    server.check_indexes("t").await;
}

#[tokio::test]
async fn duplicates_are_errors_at_the_statement() {
    let server = server().await;
    fill(&server).await;
    let t = server.table("t");
    assert_eq!(
        server.fails(insert(&t, &["id"], vec![row![2]]).into()).await,
        "1062 Duplicate entry '2' for key 't.PRIMARY'"
    );
    assert_eq!(
        server.fails(insert(&t, &["a"], vec![row!["X"]]).into()).await,
        "1062 Duplicate entry 'X' for key 't.a'"
    );
    let twice = insert(&t, &["a"], vec![row!["new"], row!["NEW"]]);
    assert_eq!(server.fails(twice.into()).await, "1062 Duplicate entry 'NEW' for key 't.a'");
    assert_eq!(server.rows("t").await.len(), 3, "a failed statement leaves nothing");
}

#[tokio::test]
async fn ignore_replace_and_on_duplicate() {
    let server = server().await;
    fill(&server).await;
    let t = server.table("t");
    let ignore = Insert { ignore: true, ..insert(&t, &["a", "b"], vec![row!["x", 9], row!["z", 9]]) };
    let (done, warnings) = server.run_with_warnings(ignore.into()).await;
    assert_eq!(done.unwrap().affected_rows, 1);
    assert_eq!(warnings, ["1062 Duplicate entry 'x' for key 't.a'"]);
    let replace = Insert { replace: true, ..insert(&t, &["id", "a", "b"], vec![row![1, "y", 7]]) };
    assert_eq!(server.run(replace.into()).await.unwrap().affected_rows, 3, "two rows gone, one new");
    let value_of_new = expr::Expression::column(3 + 2, int());
    let upsert = |a: &str, b: i64| Insert {
        on_duplicate: vec![(2, value_of_new.clone())],
        ..insert(&t, &["a", "b"], vec![row![a, b]])
    };
    assert_eq!(server.run(upsert("y", 8).into()).await.unwrap().affected_rows, 2);
    assert_eq!(server.run(upsert("y", 8).into()).await.unwrap().affected_rows, 0);
    assert_eq!(server.run(upsert("w", 1).into()).await.unwrap().affected_rows, 1);
    let mut rows = server.rows("t").await;
    rows.retain(|row| row.contains('y') || row.contains('w'));
    assert_eq!(rows[0], "1|y|8");
    server.check_indexes("t").await;
}

#[tokio::test]
async fn numbers_are_given_and_moved_past() {
    let server = server().await;
    let t = server.table("t");
    let done = server.run(insert(&t, &["id", "b"], vec![row![10, 1], row![None, 2], row![0, 3]]).into()).await.unwrap();
    assert_eq!(done.last_insert_id, 11);
    assert_eq!(server.rows("t").await, ["10|NULL|1", "11|NULL|2", "12|NULL|3"]);
    assert_eq!(server.run(insert(&t, &["b"], vec![row![4]]).into()).await.unwrap().last_insert_id, 13);
    server.run(insert(&t, &["id"], vec![row![5]]).into()).await.unwrap();
    assert_eq!(server.run(insert(&t, &["b"], vec![row![4]]).into()).await.unwrap().last_insert_id, 14);
    server.run(insert(&t, &["id"], vec![row![100]]).into()).await.unwrap();
    assert_eq!(server.run(insert(&t, &["b"], vec![row![4]]).into()).await.unwrap().last_insert_id, 101);
}

#[tokio::test]
async fn zero_is_a_value_under_its_mode_and_increments_are_kept() {
    let mut server = server().await;
    server.sql_mode = SqlMode(server.sql_mode.0 | SqlMode::NO_AUTO_VALUE_ON_ZERO.0);
    server.settings.auto_increment_increment = 10;
    server.settings.auto_increment_offset = 3;
    let t = server.table("t");
    server.run(insert(&t, &["id"], vec![row![0]]).into()).await.unwrap();
    assert_eq!(server.run(insert(&t, &["b"], vec![row![1], row![2]]).into()).await.unwrap().last_insert_id, 3);
    assert_eq!(server.rows("t").await, ["0|NULL|NULL", "3|NULL|1", "13|NULL|2"]);
}

#[tokio::test]
async fn nulls_and_missing_values() {
    let mut server = TestServer::new().await;
    server.ddl(create_database()).await.unwrap();
    let columns = vec![
        not_null("id", int()),
        not_null("n", int()),
        ColumnSpec { default: ColumnDefault::Literal("7".into()), ..not_null("d", int()) },
    ];
    server.ddl(create_table("s", columns, vec![primary(&["id"])])).await.unwrap();
    let s = server.table("s");
    assert_eq!(
        server.fails(insert(&s, &["id"], vec![row![1]]).into()).await,
        "1364 Field 'n' doesn't have a default value"
    );
    assert_eq!(
        server.fails(insert(&s, &["id", "n"], vec![row![1, None]]).into()).await,
        "1048 Column 'n' cannot be null"
    );
    server
        .run(insert(&s, &["id", "n", "d"], vec![vec![Some(literal(1)), Some(literal(2)), None]]).into())
        .await
        .unwrap();
    server.sql_mode = SqlMode(0);
    let (_, warnings) = server.run_with_warnings(insert(&s, &["id"], vec![row![2]]).into()).await;
    assert_eq!(warnings, ["1364 Field 'n' doesn't have a default value"]);
    assert_eq!(server.rows("s").await, ["1|2|7", "2|0|7"]);
}

#[tokio::test]
async fn updates_move_rows_and_entries() {
    let server = server().await;
    fill(&server).await;
    let t = server.table("t");
    let done = server.run(update(&t, scan(&t), vec![("b", literal(2)), ("a", literal(None))]).into()).await.unwrap();
    assert_eq!((done.affected_rows, done.info.as_str()), (2, "Rows matched: 3  Changed: 2  Warnings: 0"));
    server.check_indexes("t").await;
    server.run(update(&t, point(&t, 0, 2), vec![("id", literal(20))]).into()).await.unwrap();
    assert_eq!(server.rows("t").await, ["1|NULL|2", "3|NULL|2", "20|NULL|2"]);
    assert_eq!(
        server.fails(update(&t, point(&t, 0, 1), vec![("id", literal(3))]).into()).await,
        "1062 Duplicate entry '3' for key 't.PRIMARY'"
    );
    assert_eq!(
        server.fails(update(&t, point(&t, 0, 1), vec![("id", literal(None))]).into()).await,
        "1048 Column 'id' cannot be null"
    );
    server.check_indexes("t").await;
}

#[tokio::test]
async fn assignments_see_those_to_their_left() {
    let server = server().await;
    fill(&server).await;
    let t = server.table("t");
    server.run(update(&t, point(&t, 0, 1), vec![("b", literal(5)), ("a", of(&t, "b"))]).into()).await.unwrap();
    assert_eq!(server.rows("t").await[0], "1|5|5");
}

#[tokio::test]
async fn deletes_leave_no_entries() {
    let server = server().await;
    fill(&server).await;
    let t = server.table("t");
    assert_eq!(server.run(delete(&t, point(&t, 0, 2)).into()).await.unwrap().affected_rows, 1);
    server.check_indexes("t").await;
    assert_eq!(server.run(delete(&t, scan(&t)).into()).await.unwrap().affected_rows, 2);
    let range = common::key::KeyRange::prefix(&t.id.0.to_be_bytes());
    assert!(!server.cluster.rows().keys().any(|key| range.contains(key)));
}

#[tokio::test]
async fn tables_without_keys_keep_equal_rows_apart() {
    let server = TestServer::new().await;
    server.ddl(create_database()).await.unwrap();
    server.ddl(create_table("h", vec![column("a", int())], vec![key(&["a"])])).await.unwrap();
    let h = server.table("h");
    server.run(insert(&h, &["a"], vec![row![1], row![1], row![2]]).into()).await.unwrap();
    assert_eq!(server.rows("h").await, ["1", "1", "2"]);
    let first = Node::Limit { input: Box::new(scan(&h)), offset: None, count: Some(literal(1)) };
    assert_eq!(server.run(delete(&h, first).into()).await.unwrap().affected_rows, 1);
    server.run(update(&h, range(&h, 1, 2), vec![("a", literal(3))]).into()).await.unwrap();
    assert_eq!(server.rows("h").await, ["1", "3"]);
    server.check_indexes("h").await;
}

#[tokio::test]
async fn transactions_see_their_own_writes_and_others_do_not() {
    let server = server().await;
    fill(&server).await;
    let t = server.table("t");
    let mut own = server.begin();
    let mut other = server.begin();
    assert_eq!(server.rows_in("t", &mut other).await.len(), 3);
    server.run_in(delete(&t, point(&t, 0, 1)).into(), &mut own).await.unwrap();
    server.run_in(insert(&t, &["a"], vec![row!["x"]]).into(), &mut own).await.unwrap();
    assert_eq!(server.rows_in("t", &mut own).await, ["2|y|2", "3|NULL|2", "4|x|NULL"]);
    assert_eq!(server.rows("t").await, ["1|x|1", "2|y|2", "3|NULL|2"]);
    server.commit(own).await.unwrap();
    assert_eq!(server.rows("t").await, ["2|y|2", "3|NULL|2", "4|x|NULL"]);
    assert_eq!(server.rows_in("t", &mut other).await, ["1|x|1", "2|y|2", "3|NULL|2"], "repeatable read");
}

#[tokio::test]
async fn writers_wait_and_then_build_on_the_newest_row() {
    let server = server().await;
    fill(&server).await;
    let t = server.table("t");
    let mut first = server.begin();
    server.run_in(update(&t, point(&t, 0, 1), vec![("b", literal(50))]).into(), &mut first).await.unwrap();
    let blocked = server.fails(update(&t, point(&t, 0, 1), vec![("a", of(&t, "b"))]).into()).await;
    assert_eq!(blocked, "1205 Lock wait timeout exceeded; try restarting transaction");
    let second = server.run(update(&t, point(&t, 0, 1), vec![("a", of(&t, "b"))]).into());
    let (second, first) = tokio::join!(second, server.commit(first));
    first.unwrap();
    assert_eq!(second.unwrap().affected_rows, 1);
    assert_eq!(server.rows("t").await[0], "1|50|50");
}

#[tokio::test]
async fn a_circle_of_waits_ends_one_transaction() {
    let server = server().await;
    fill(&server).await;
    let t = server.table("t");
    let (mut left, mut right) = (server.begin(), server.begin());
    let touch = |id: i64| Statement::from(update(&t, point(&t, 0, id), vec![("b", literal(9))]));
    server.run_in(touch(1), &mut left).await.unwrap();
    server.run_in(touch(2), &mut right).await.unwrap();
    let (one, two) = tokio::join!(server.run_in(touch(2), &mut left), async {
        let result = server.run_in(touch(1), &mut right).await;
        if result.is_err() {
            roll_back(right, &server.services.remote).await;
        }
        result
    });
    let failed = [one, two].into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert_eq!(failed.len(), 1);
    assert!(ends_transaction(&failed[0]));
}

#[tokio::test]
async fn generated_columns_and_checks() {
    let server = TestServer::new().await;
    server.ddl(create_database()).await.unwrap();
    let generated = GeneratedDef { expression: "a".into(), stored: false };
    let columns = vec![
        not_null("id", int()),
        column("a", int()),
        ColumnSpec { generated: Some(generated), ..column("g", int()) },
    ];
    let check = CheckDef { name: String::new(), expression: "a <> 0".into(), enforced: true };
    let table = CreateTable { checks: vec![check], ..create("c", columns, vec![primary(&["id"]), key(&["g"])]) };
    server.ddl(Ddl::CreateTable(Box::new(table))).await.unwrap();
    let c = server.table("c");
    server.run(insert(&c, &["id", "a"], vec![row![1, 5], row![2, None]]).into()).await.unwrap();
    assert_eq!(
        server.fails(insert(&c, &["id", "a"], vec![row![3, 0]]).into()).await,
        "3819 Check constraint 'c_chk_1' is violated."
    );
    server.run(update(&c, point(&c, 0, 1), vec![("a", literal(6))]).into()).await.unwrap();
    assert_eq!(server.rows("c").await, ["1|6|6", "2|NULL|NULL"]);
    server.check_indexes("c").await;
}

async fn family(action: ReferentialAction) -> TestServer {
    let server = TestServer::new().await;
    server.ddl(create_database()).await.unwrap();
    let parent = create_table("p", vec![not_null("id", int())], vec![primary(&["id"])]);
    server.ddl(parent).await.unwrap();
    let child = CreateTable {
        foreign_keys: vec![references("p", "p", "id", action)],
        ..create("c", vec![auto_increment("id"), column("p", int())], vec![primary(&["id"])])
    };
    server.ddl(Ddl::CreateTable(Box::new(child))).await.unwrap();
    let (p, c) = (server.table("p"), server.table("c"));
    server.run(insert(&p, &["id"], vec![row![1], row![2], row![3]]).into()).await.unwrap();
    server.run(insert(&c, &["p"], vec![row![1], row![1], row![2], row![None]]).into()).await.unwrap();
    server
}

#[tokio::test]
async fn children_need_parents() {
    let server = family(ReferentialAction::Default).await;
    let (p, c) = (server.table("p"), server.table("c"));
    let text = "(`d`.`c`, CONSTRAINT `c_ibfk_1` FOREIGN KEY (`p`) REFERENCES `p` (`id`))";
    let no_parent = format!("1452 Cannot add or update a child row: a foreign key constraint fails {text}");
    assert_eq!(server.fails(insert(&c, &["p"], vec![row![1], row![9]]).into()).await, no_parent);
    assert_eq!(server.fails(update(&c, point(&c, 0, 1), vec![("p", literal(9))]).into()).await, no_parent);
    let has_children = format!("1451 Cannot delete or update a parent row: a foreign key constraint fails {text}");
    assert_eq!(server.fails(delete(&p, point(&p, 0, 1)).into()).await, has_children);
    assert_eq!(server.fails(update(&p, point(&p, 0, 1), vec![("id", literal(7))]).into()).await, has_children);
    server.run(delete(&p, point(&p, 0, 3)).into()).await.unwrap();
    assert_eq!(
        server.ddl_fails(Ddl::DropTables { names: vec![name("p")], if_exists: false, temporary: false }).await,
        "3730 Cannot drop table 'p' referenced by a foreign key constraint 'c_ibfk_1' on table 'c'."
    );
}

#[tokio::test]
async fn a_parent_that_goes_while_a_child_comes_is_noticed() {
    let server = family(ReferentialAction::Default).await;
    let (p, c) = (server.table("p"), server.table("c"));
    let mut child = server.begin();
    server.run_in(insert(&c, &["p"], vec![row![3]]).into(), &mut child).await.unwrap();
    let deletion = server.run(delete(&p, point(&p, 0, 3)).into());
    let (deletion, child) = tokio::join!(deletion, server.commit(child));
    child.unwrap();
    assert_eq!(deletion.unwrap_err().code, ErrorCode::ROW_IS_REFERENCED_2);
}

#[tokio::test]
async fn cascades_and_set_null() {
    for (action, after_delete, after_update) in [
        (ReferentialAction::Cascade, ["3|2", "4|NULL"].as_slice(), ["3|20", "4|NULL"].as_slice()),
        (
            ReferentialAction::SetNull,
            ["1|NULL", "2|NULL", "3|2", "4|NULL"].as_slice(),
            ["1|NULL", "2|NULL", "3|NULL", "4|NULL"].as_slice(),
        ),
    ] {
        let server = family(action).await;
        let p = server.table("p");
        assert_eq!(server.run(delete(&p, point(&p, 0, 1)).into()).await.unwrap().affected_rows, 1);
        assert_eq!(server.rows("c").await, after_delete);
        server.run(update(&p, point(&p, 0, 2), vec![("id", literal(20))]).into()).await.unwrap();
        assert_eq!(server.rows("c").await, after_update);
        server.check_indexes("c").await;
    }
}

#[tokio::test]
async fn a_table_may_refer_to_itself() {
    let server = TestServer::new().await;
    server.ddl(create_database()).await.unwrap();
    let tree = CreateTable {
        foreign_keys: vec![references("up", "tree", "id", ReferentialAction::Cascade)],
        ..create("tree", vec![not_null("id", int()), column("up", int())], vec![primary(&["id"])])
    };
    server.ddl(Ddl::CreateTable(Box::new(tree))).await.unwrap();
    let tree = server.table("tree");
    let rows = vec![row![1, None], row![2, 1], row![3, 2], row![4, 4]];
    server.run(insert(&tree, &["id", "up"], rows).into()).await.unwrap();
    assert!(server.fails(insert(&tree, &["id", "up"], vec![row![5, 6]]).into()).await.starts_with("1452"));
    server.run(delete(&tree, point(&tree, 0, 1)).into()).await.unwrap();
    assert_eq!(server.rows("tree").await, ["4|4"]);
    server.run(delete(&tree, point(&tree, 0, 4)).into()).await.unwrap();
    assert!(server.rows("tree").await.is_empty());
}

#[tokio::test]
async fn statements_bound_to_an_older_definition_are_told() {
    let server = server().await;
    let t = server.table("t");
    let other = TestServer::beside(&server).await;
    let mut transaction = server.begin();
    server.run_in(insert(&t, &["b"], vec![row![1]]).into(), &mut transaction).await.unwrap();
    let truncate = other.ddl(Ddl::Truncate(name("t")));
    let (truncated, committed) = tokio::join!(truncate, server.commit(transaction));
    committed.unwrap();
    truncated.unwrap();
    server.services.catalog.snapshot_at_least(server.cluster.newest()).await.unwrap();
    assert_eq!(
        server.fails(insert(&t, &["b"], vec![row![1]]).into()).await,
        "1412 Table definition has changed, please retry transaction"
    );
    assert!(server.rows("t").await.is_empty());
}
