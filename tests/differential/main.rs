//! Random tables, data and statements on Drumlin and on MariaDB, which is the oracle where it means the same as MySQL 8.4.
//!
//! A round is a database of a few small tables, made from the seed and the round's number alone, and statements on it.
//! Each SELECT runs on MariaDB and on both of Drumlin's executors; after each write the tables are compared; and a
//! condition must part a table in three (true, false, unknown), whatever MariaDB says. What differs is made smaller, and
//! shown as a script. `explained.rs` lists what MariaDB means otherwise.
//!
//! | variable | meaning |
//! |---|---|
//! | `DRUMLIN_DIFFERENTIAL_STATEMENTS` | how many; default 2000 |
//! | `DRUMLIN_DIFFERENTIAL_SEED` | default 1 |
//! | `DRUMLIN_DIFFERENTIAL_ROUND` | only this round |
//! | `DRUMLIN_DIFFERENTIAL_REPORT` | folder for what was found, a script for each difference; default below the target directory |
//! | `DRUMLIN_DIFFERENTIAL_SHOW` | set: every statement is printed |
//! | `DRUMLIN_DIFFERENTIAL_FOUND` | stop after so many differences; default 20 |

#[path = "../harness/mod.rs"]
mod harness;

mod case;
mod compare;
mod explained;
mod expression;
mod query;
mod schema;
mod servers;
mod templates;
mod tree;
mod write;

use case::{Case, Found, Statement, Verdict, check, contents};
use explained::Explained;
use expression::Generator;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use schema::Table;
use servers::Servers;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tree::Tree;

/// Statements of a round after its tables are filled.
const STATEMENTS_OF_A_ROUND: usize = 50;

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(format!("DRUMLIN_DIFFERENTIAL_{name}")).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("DRUMLIN_DIFFERENTIAL_{name}={value}: not a number")))
}

struct Report {
    folder: PathBuf,
    statements: usize,
    refused: usize,
    /// By name: why, and how often.
    explained: BTreeMap<&'static str, (&'static str, usize)>,
    found: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_statements_get_mariadbs_answers() {
    let statements = setting("STATEMENTS").unwrap_or(2000) as usize;
    let seed = setting("SEED").unwrap_or(1);
    let found_max = setting("FOUND").unwrap_or(20) as usize;
    let folder = std::env::var_os("DRUMLIN_DIFFERENTIAL_REPORT")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("differential"), PathBuf::from);
    std::fs::create_dir_all(&folder).unwrap();
    let mut report = Report { folder, statements: 0, refused: 0, explained: BTreeMap::new(), found: Vec::new() };
    let mut servers = Servers::start();
    let first = setting("ROUND").unwrap_or(0);
    for number in first.. {
        round(&mut servers, seed, number, &mut report).await;
        let enough = report.statements >= statements || report.found.len() >= found_max;
        if enough || setting("ROUND").is_some() {
            break;
        }
    }
    servers.stop();
    let Report { statements, refused, explained, found, .. } = &report;
    println!("seed {seed}: {statements} statements, {refused} of them refused by all, {} unexplained", found.len());
    explained.iter().for_each(|(name, (reason, count))| println!("{count:6} {name}: {reason}"));
    assert!(
        found.is_empty(),
        "{} differences, scripts in {}:\n{}",
        found.len(),
        report.folder.display(),
        found.join("\n")
    );
}

async fn round(servers: &mut Servers, seed: u64, number: u64, report: &mut Report) {
    let mut random = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number));
    let variants = random.random_bool(0.3);
    let database = format!("round_{number}");
    servers.fresh_database(&database).await;
    let collation = *schema::COLLATIONS.choose(&mut random).unwrap();
    servers.set_collation(collation).await;
    let tables: Vec<Table> =
        (0..random.random_range(2..4)).map(|at| Table::any(&format!("t{at}"), &mut random, collation)).collect();
    for table in &tables {
        let count = if random.random_bool(0.1) { random.random_range(0..2) } else { random.random_range(2..16) };
        let create = Tree::text(table.create.clone());
        let mut setup = vec![create];
        if count > 0 {
            setup.push(Tree::text(table.rows(&mut random, 1, count, variants)));
        }
        for statement in setup {
            report.statements += 1;
            let statement = Statement::Write(statement);
            if let Verdict::Different(found) = check(servers, &statement, &[]).await {
                report
                    .add(
                        servers,
                        seed,
                        number,
                        &database,
                        Case { tables: Vec::new(), contents: Vec::new(), statement },
                        found,
                    )
                    .await;
                return;
            }
        }
    }
    let mut generator = Generator::new(&mut random, &tables, variants);
    let mut before = contents(servers, &tables).await;
    for _ in 0..STATEMENTS_OF_A_ROUND {
        let statement = match generator.random.random_range(0..100) {
            0..=24 => Statement::Write(write::write(&mut generator)),
            25..=31 => {
                let (parts, whole) = query::partitioned(&mut generator);
                Statement::Partitioned { parts, whole }
            }
            _ => {
                let query = query::select(&mut generator);
                Statement::Select { tree: query.tree, ordered: query.ordered }
            }
        };
        report.statements += 1;
        if std::env::var_os("DRUMLIN_DIFFERENTIAL_SHOW").is_some() {
            println!("{};", statement.sql());
        }
        let is_write = matches!(statement, Statement::Write(_));
        match check(servers, &statement, &tables).await {
            Verdict::Equal if is_write => before = contents(servers, &tables).await,
            Verdict::Equal => {}
            Verdict::Refused => report.refused += 1,
            Verdict::Contradiction => report.explain(&explained::CONTRADICTION),
            Verdict::Different(found) => {
                let case = Case { tables: tables.clone(), contents: before.clone(), statement };
                report.add(servers, seed, number, &database, case, found).await;
                // The tables may differ from here on.
                if is_write {
                    break;
                }
            }
        }
    }
    servers.drop_database(&database).await;
}

impl Report {
    fn explain(&mut self, explained: &Explained) {
        self.explained.entry(explained.name).or_insert((explained.reason, 0)).1 += 1;
    }

    async fn add(&mut self, servers: &mut Servers, seed: u64, round: u64, database: &str, case: Case, found: Found) {
        let tables: Vec<String> = case.tables.iter().map(|table| table.create.clone()).collect();
        if let Some(explained) = explained::explanation(&case.statement.sql(), &found, &tables) {
            return self.explain(explained);
        }
        let original = case.statement.sql();
        let (case, found) = case.shrunk(servers, found).await;
        servers.use_database(database).await;
        if let Some(explained) = explained::explanation(&case.statement.sql(), &found, &tables) {
            return self.explain(explained);
        }
        let mut text = format!("-- seed {seed}, round {round}: {}\n{}", found.label, case.script());
        for (name, outcome) in &found.answers {
            text.push_str(&format!("-- {name}:\n"));
            outcome.text().lines().for_each(|line| text.push_str(&format!("--   {line}\n")));
        }
        println!("{text}");
        original.lines().for_each(|line| text.push_str(&format!("-- it was: {line}\n")));
        let path = self.folder.join(format!("{seed}-{round}-{}.sql", self.found.len()));
        std::fs::write(&path, &text).unwrap();
        self.found.push(format!("{}: {}", found.label, case.statement.sql()));
    }
}
