//! Our own cases, `tests/sql/*.slt`: the sqllogictest format, with `statement error NUMBER`.
//!
//! Each file has a database of its own and MySQL's default sql_mode. Each query runs on both executors, and the answers
//! must be equal also where the sort mode would forgive a difference in values.

use crate::client::{Client, Outcome};
use crate::report::{Record, Report};
use crate::slt::{Expected, Sort, Test, check, parse};
use crate::target::Target;
use futures::StreamExt;
use std::path::Path;

pub async fn run(target: &Target, folder: &Path, report: &mut Report) {
    let files = crate::files(folder, ".slt");
    let files: Vec<&String> = files.iter().filter(|name| !name.contains('/')).collect();
    let runs = files.iter().map(|name| async move { (*name, run_file(target, folder, name).await) });
    let mut runs = futures::stream::iter(runs).buffer_unordered(crate::SESSIONS);
    while let Some((name, records)) = runs.next().await {
        report.add(name, records);
    }
}

async fn run_file(target: &Target, folder: &Path, name: &str) -> Vec<Record> {
    let text = std::fs::read_to_string(folder.join(format!("{name}.slt"))).unwrap();
    let mut client = Client::connect(target, "root", "", "").await.expect("the server answers");
    client.must(&[&format!("DROP DATABASE IF EXISTS `{name}`"), &format!("CREATE DATABASE `{name}`")]).await;
    client.must(&[&format!("USE `{name}`")]).await;
    let mut records = Vec::new();
    for test in parse(&text) {
        let failure = match &test.expected {
            Expected::Rows { sort, .. } if target.is_drumlin => on_both(&mut client, &test, *sort).await,
            _ => check(&test, &client.run(&test.sql).await),
        };
        records.push(Record { line: test.line, failure });
        if client.reconnect().await {
            client.must(&[&format!("USE `{name}`")]).await;
        }
    }
    client.must(&[&format!("DROP DATABASE `{name}`")]).await;
    records
}

async fn on_both(client: &mut Client, test: &Test, sort: Sort) -> Option<String> {
    let mut answers = Vec::new();
    for executor in ["row", "analytic"] {
        client.must(&[&format!("SET drumlin_executor = {executor}")]).await;
        let outcome = client.run(&test.sql).await;
        if let Some(failure) = check(test, &outcome) {
            return Some(format!("executor {executor}: {failure}"));
        }
        answers.push(sorted(outcome, sort));
    }
    client.must(&["SET drumlin_executor = auto"]).await;
    let [row, analytic] = answers.as_slice() else { unreachable!("two executors") };
    (row != analytic).then(|| format!("{}\n--- row\n{}--- analytic\n{}", test.sql, row.text(), analytic.text()))
}

fn sorted(mut outcome: Outcome, sort: Sort) -> Outcome {
    if let Outcome::Done { sets, .. } = &mut outcome
        && sort != Sort::None
    {
        sets.iter_mut().for_each(|set| set.rows.sort());
    }
    outcome
}
