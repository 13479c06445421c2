//! Statements that are too deep, too long, too wide or endless: each ends with an answer, MySQL's error, or KILL QUERY,
//! and the server goes on. A hang shows as [`Outcome::Lost`], which no case accepts.

use crate::client::{Client, Outcome};
use crate::target::Target;

/// What a case must end with.
enum End {
    /// This one value.
    Value(String),
    /// An answer, or one of these errors.
    AnswerOr(&'static [u16]),
    Error(u16),
    /// This error; the connection closes, which may reach the client before the error does.
    Refused(u16),
}

/// Memory for the syntax, too deep, or the general refusals of a statement that is too complex.
const TOO_DEEP: &[u16] = &[1064, 1235, 1436, 3669];

fn cases() -> Vec<(&'static str, String, End)> {
    let nested = |depth: usize, open: &str, inner: &str, close: &str| {
        format!("SELECT {}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    let list = |count: usize, item: &dyn Fn(usize) -> String, between: &str| {
        (0..count).map(item).collect::<Vec<_>>().join(between)
    };
    let numbers = list(100_000, &|at| at.to_string(), ",");
    let text = "x".repeat(60 << 20);
    let columns = |count: usize| list(count, &|at| format!("c{at} INT"), ", ");
    let joins = |count: usize| {
        let on = list(count, &|at| format!("JOIN one AS t{} ON t{}.a = t{at}.a", at + 1, at + 1), " ");
        format!("SELECT COUNT(*) FROM one AS t0 {on}")
    };
    let endless = "WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n) SELECT COUNT(*) FROM n";
    vec![
        ("parentheses", nested(10_000, "(", "1", ")"), End::AnswerOr(TOO_DEEP)),
        ("calls", nested(10_000, "ABS(", "1", ")"), End::AnswerOr(TOO_DEEP)),
        ("subqueries", nested(10_000, "(SELECT ", "1", ")"), End::AnswerOr(TOO_DEEP)),
        ("derived tables", nested(5_000, "* FROM (SELECT ", "1", ") AS t"), End::AnswerOr(TOO_DEEP)),
        ("unclosed parentheses", nested(50_000, "(", "1", ""), End::AnswerOr(TOO_DEEP)),
        ("case", nested(10_000, "CASE WHEN 1 THEN ", "1", " END"), End::AnswerOr(TOO_DEEP)),
        ("minus signs", nested(50_000, "- ", "1", ""), End::AnswerOr(TOO_DEEP)),
        ("tildes", nested(50_000, "~", "1", ""), End::AnswerOr(TOO_DEEP)),
        ("not", nested(50_000, "NOT ", "1", ""), End::AnswerOr(TOO_DEEP)),
        ("binary", nested(50_000, "BINARY ", "1", ""), End::AnswerOr(TOO_DEEP)),
        ("sum", format!("SELECT {}", list(50_000, &|_| "1".to_owned(), " + ")), End::AnswerOr(TOO_DEEP)),
        ("and", format!("SELECT {}", list(50_000, &|_| "1".to_owned(), " AND ")), End::AnswerOr(TOO_DEEP)),
        ("or of columns", or_chain(20_000), End::AnswerOr(TOO_DEEP)),
        ("equalities", format!("SELECT {}", list(50_000, &|_| "1".to_owned(), " = ")), End::AnswerOr(TOO_DEEP)),
        ("unions", list(5_000, &|_| "SELECT 1".to_owned(), " UNION ALL "), End::AnswerOr(TOO_DEEP)),
        ("document", format!("SELECT JSON_DEPTH('{}1{}')", "[".repeat(50_000), "]".repeat(50_000)), End::Error(3157)),
        (
            "blocks",
            format!("CREATE PROCEDURE deep() {}{}", "BEGIN ".repeat(20_000), "END; ".repeat(20_000)),
            End::AnswerOr(TOO_DEEP),
        ),
        ("unclosed blocks", format!("CREATE PROCEDURE deep() {}", "BEGIN ".repeat(50_000)), End::AnswerOr(TOO_DEEP)),
        ("branches", format!("CREATE PROCEDURE deep() {}", "IF 1 THEN ".repeat(20_000)), End::AnswerOr(TOO_DEEP)),
        (
            "handlers",
            format!("CREATE PROCEDURE deep() {}", "BEGIN DECLARE EXIT HANDLER FOR 1062 ".repeat(5_000)),
            End::AnswerOr(TOO_DEEP),
        ),
        (
            "condition in a body",
            format!("CREATE PROCEDURE deep() IF {}1{} THEN SELECT 1; END IF", "(".repeat(10_000), ")".repeat(10_000)),
            End::AnswerOr(TOO_DEEP),
        ),
        ("calls of a function", nested(5_000, "d.f(", "1", ")"), End::AnswerOr(&[1064, 1235, 1305, 1436])),
        ("in list", format!("SELECT 99999 IN ({numbers})"), End::Value("1".to_owned())),
        ("in list of a column", format!("SELECT COUNT(*) FROM one WHERE a IN ({numbers})"), End::Value("1".to_owned())),
        ("long text", format!("SELECT LENGTH('{text}')"), End::Value((60 << 20).to_string())),
        ("text over the packet limit", format!("SELECT LENGTH('{text}{text}')"), End::Refused(1153)),
        ("table of 4,000 columns", format!("CREATE TABLE wide ({})", columns(4_000)), End::AnswerOr(&[1117, 1118])),
        ("table of 5,000 columns", format!("CREATE TABLE wider ({})", columns(5_000)), End::Error(1117)),
        ("4,000 items", format!("SELECT {}", list(4_000, &|at| at.to_string(), ",")), End::AnswerOr(&[])),
        ("60 joins", joins(60), End::Value("1".to_owned())),
        ("200 joins", joins(200), End::AnswerOr(&[1116])),
        ("endless recursion", endless.to_owned(), End::Error(3636)),
        (
            "long pattern",
            format!("SELECT '{}' LIKE '{}b'", "a".repeat(5_000), "%a".repeat(2_000)),
            End::Value("0".to_owned()),
        ),
        (
            "costly expression",
            format!("SELECT REGEXP_LIKE('{}', '(a*)*b')", "a".repeat(30_000)),
            End::AnswerOr(&[3699]),
        ),
        ("huge repeat", "SELECT LENGTH(REPEAT('x', 4000000000))".to_owned(), End::Value("NULL".to_owned())),
    ]
}

fn or_chain(count: usize) -> String {
    let terms: Vec<String> = (0..count).map(|at| format!("a = {at}")).collect();
    format!("SELECT COUNT(*) FROM one WHERE {}", terms.join(" OR "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_statements_end_with_an_answer_or_an_error() {
    let target = Target::start().await;
    let mut client = Client::connect(&target, "root", "", "").await.expect("the server answers");
    client.must(&["DROP DATABASE IF EXISTS hostile", "CREATE DATABASE hostile"]).await;
    client.must(&["USE hostile", "CREATE TABLE one (a INT PRIMARY KEY)", "INSERT INTO one VALUES (1)"]).await;
    let mut wrong = Vec::new();
    for (name, sql, end) in cases() {
        let outcome = client.run(&sql).await;
        let right = match (&end, &outcome) {
            (End::Value(value), Outcome::Done { .. }) => outcome.text().lines().nth(1) == Some(value),
            (End::AnswerOr(_), Outcome::Done { .. }) => true,
            (End::AnswerOr(codes), Outcome::Error { code, .. }) => codes.contains(code),
            (End::Error(wanted) | End::Refused(wanted), Outcome::Error { code, .. }) => wanted == code,
            (End::Refused(_), Outcome::Lost(reason)) => !reason.contains("no answer"),
            _ => false,
        };
        if !right {
            let text = outcome.text();
            let shown: String = text.chars().rev().take(300).collect::<Vec<_>>().into_iter().rev().collect();
            wrong.push(format!("{name}: ...{shown}"));
        }
        if matches!(end, End::Refused(_)) {
            client.lose();
        }
        if client.reconnect().await {
            client.must(&["USE hostile"]).await;
        }
    }
    client.must(&["DROP DATABASE hostile"]).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    drop(client);
    target.stop();
}

/// A million by a million rows: nothing but KILL QUERY ends it, on either executor, at once and in the middle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_without_end_is_killed() {
    let target = Target::start().await;
    let mut admin = Client::connect(&target, "root", "", "").await.expect("the server answers");
    admin.must(&["DROP DATABASE IF EXISTS endless", "CREATE DATABASE endless", "USE endless"]).await;
    admin.must(&["CREATE TABLE d (a INT PRIMARY KEY)"]).await;
    let rows: Vec<String> = (0..1_000).map(|at| format!("({at})")).collect();
    admin.must(&[&format!("INSERT INTO d VALUES {}", rows.join(","))]).await;
    let executors: &[&str] = if target.is_drumlin { &["row", "analytic", "auto"] } else { &["auto"] };
    let joins = [
        "SELECT SUM(p.a * q.a + r.a * s.a) FROM d AS p, d AS q, d AS r, d AS s",
        // No pair fits, so that nothing ever comes out of the join.
        "SELECT SUM(p.a) FROM (SELECT x.a, y.a AS b FROM d AS x, d AS y) AS p JOIN d AS q ON p.a + p.b < -q.a - 1
         JOIN d AS r ON p.a + q.a < -r.a - 1",
        "SELECT SUM(p.a) FROM d AS p JOIN (SELECT x.a, x.a - x.a AS b FROM d AS x, d AS y) AS q ON p.a - p.a = q.b
         JOIN (SELECT x.a, x.a - x.a AS b FROM d AS x, d AS y) AS r ON q.b = r.b AND p.a + q.a < -r.a - 1",
    ];
    for executor in executors {
        for (seconds, sql) in joins.into_iter().flat_map(|sql| [(0, sql), (1, sql)]) {
            let mut client = Client::connect(&target, "root", "", "endless").await.expect("the server answers");
            let id = client.run("SELECT CONNECTION_ID()").await.text().lines().nth(1).unwrap().to_owned();
            if target.is_drumlin {
                client.must(&[&format!("SET drumlin_executor = {executor}")]).await;
            }
            let running = tokio::spawn(async move { client.run(sql).await });
            let shown = format!(
                "SELECT COUNT(*) FROM information_schema.processlist \
                 WHERE id = {id} AND info LIKE 'SELECT SUM%' AND time >= {seconds}"
            );
            while admin.run(&shown).await.text() != "COUNT(*)\n1\n" {
                assert!(!running.is_finished(), "{executor}, {sql}: it ended by itself: {:?}", running.await);
            }
            // Others have their turn beside it.
            if seconds > 0 && target.is_drumlin {
                admin.must(&["SET drumlin_executor = analytic"]).await;
                assert_eq!(admin.run("SELECT MAX(a) FROM d").await.text(), "MAX(a)\n999\n");
                admin.must(&["SET drumlin_executor = auto"]).await;
            }
            admin.must(&[&format!("KILL QUERY {id}")]).await;
            let outcome = running.await.unwrap();
            assert!(matches!(outcome, Outcome::Error { code: 1317, .. }), "{executor}, {sql}: {outcome:?}");
        }
    }
    admin.must(&["DROP DATABASE endless"]).await;
    drop(admin);
    target.stop();
}
