//! Tables with more rows than a statement buffers: what goes to the store ahead of the commit is as if it had not.

use crate::row;
use crate::sql::plan::*;
use crate::testing::plans::*;
use crate::testing::server::TestServer;

/// More than two batches of a backfill, each of which goes to the store by itself.
const ROWS: i64 = 2300;

/// `t (id INT PRIMARY KEY, a INT, b VARCHAR(20))`: `a` falls while `id` rises.
async fn filled() -> TestServer {
    let server = TestServer::new().await;
    server.ddl(create_database()).await.unwrap();
    let columns = vec![not_null("id", int()), not_null("a", int()), column("b", varchar(20))];
    server.ddl(create_table("t", columns, vec![primary(&["id"])])).await.unwrap();
    let t = server.table("t");
    let rows = (0..ROWS).map(|id| row![id, 7 * (ROWS - id), "text"]).collect();
    server.run(insert(&t, &["id", "a", "b"], rows).into()).await.unwrap();
    server
}

fn alter(actions: Vec<AlterAction>) -> Ddl {
    Ddl::AlterTable { name: name("t"), actions, is_index_statement: false }
}

fn add_index(index: IndexSpec) -> AlterAction {
    AlterAction::AddIndex { index, if_not_exists: false }
}

#[tokio::test]
async fn a_new_index_has_every_row() {
    let server = filled().await;
    server.ddl(alter(vec![add_index(unique(&["a"])), add_index(key(&["b", "a"]))])).await.unwrap();
    server.check_indexes("t").await;
}

#[tokio::test]
async fn a_table_written_anew_has_every_row() {
    let server = filled().await;
    let mut before = server.rows("t").await;
    let actions = vec![add_index(key(&["b"])), AlterAction::DropPrimaryKey, add_index(primary(&["a"]))];
    server.ddl(alter(actions)).await.unwrap();
    server.check_indexes("t").await;
    let mut after = server.rows("t").await;
    assert_ne!(before, after, "another order");
    before.sort();
    after.sort();
    assert_eq!(before, after);
}

#[tokio::test]
async fn duplicates_in_different_batches_are_found_and_nothing_stays() {
    let server = filled().await;
    let t = server.table("t");
    // Like the row of id 1.
    server.run(insert(&t, &["id", "a", "b"], vec![row![ROWS, 7 * (ROWS - 1), "text"]]).into()).await.unwrap();
    let before = server.cluster.rows();
    let entry = 7 * (ROWS - 1);
    let error = server.ddl_fails(alter(vec![add_index(unique(&["a"]))])).await;
    assert_eq!(error, format!("1062 Duplicate entry '{entry}' for key 't.a'"));
    let error = server.ddl_fails(alter(vec![AlterAction::DropPrimaryKey, add_index(primary(&["a"]))])).await;
    assert_eq!(error, "1062 Duplicate entry '...' for key 't.PRIMARY'");
    assert!(server.cluster.rows() == before);
}
