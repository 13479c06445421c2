//! A statement with the tables that it runs on: whether the servers agree about it, and the smallest one that shows
//! that they do not.

use crate::compare::difference;
use crate::schema::{Column, Table, Type, hex};
use crate::servers::{Cell, Outcome, Peer, Servers};
use crate::tree::Tree;

/// How long shrinking goes on.
const ATTEMPTS_MAX: usize = 500;
/// Where cases are built anew.
const DATABASE: &str = "shrink";

#[derive(Debug, Clone)]
pub enum Statement {
    Select {
        tree: Tree,
        ordered: bool,
    },
    Write(Tree),
    /// Three parts of a table by a condition, and all of it: equal on each executor.
    Partitioned {
        parts: Tree,
        whole: Tree,
    },
}

/// The stored rows of a table.
pub type Contents = Vec<Vec<Cell>>;

#[derive(Debug, Clone)]
pub struct Case {
    pub tables: Vec<Table>,
    pub contents: Vec<Contents>,
    pub statement: Statement,
}

/// Who differs in what.
#[derive(Debug, Clone)]
pub struct Found {
    pub label: String,
    pub answers: Vec<(String, Outcome)>,
}

impl Statement {
    pub fn sql(&self) -> String {
        match self {
            Statement::Select { tree, .. } | Statement::Write(tree) => tree.to_string(),
            Statement::Partitioned { parts, whole } => format!("{parts};\n{whole}"),
        }
    }

    fn smaller(&self) -> Vec<Statement> {
        match self {
            Statement::Select { tree, ordered } => {
                tree.smaller().into_iter().map(|tree| Statement::Select { tree, ordered: *ordered }).collect()
            }
            Statement::Write(tree) => tree.smaller().into_iter().map(Statement::Write).collect(),
            Statement::Partitioned { .. } => Vec::new(),
        }
    }
}

/// What the servers say of a statement.
pub enum Verdict {
    Equal,
    /// All refuse it, with the same error.
    Refused,
    /// MariaDB does not agree with itself.
    Contradiction,
    Different(Found),
}

impl Verdict {
    fn of(outcome: &Outcome) -> Verdict {
        if matches!(outcome, Outcome::Error { .. }) { Verdict::Refused } else { Verdict::Equal }
    }

    fn found(self) -> Option<Found> {
        match self {
            Verdict::Different(found) => Some(found),
            _ => None,
        }
    }
}

/// Runs the statement everywhere. For a write the contents of the tables afterwards are compared too.
pub async fn check(servers: &mut Servers, statement: &Statement, tables: &[Table]) -> Verdict {
    match statement {
        Statement::Select { tree, ordered } => select(servers, tree, *ordered).await,
        Statement::Write(tree) => write(servers, &tree.to_string(), tables).await,
        Statement::Partitioned { parts, whole } => partitioned(servers, &parts.to_string(), &whole.to_string()).await,
    }
}

async fn select(servers: &mut Servers, tree: &Tree, ordered: bool) -> Verdict {
    let sql = &tree.to_string();
    let row = servers.run(Peer::Row, sql).await;
    let analytic = servers.run(Peer::Analytic, sql).await;
    let mariadb = servers.run(Peer::MariaDb, sql).await;
    // 1969: it was ended for the time it took, which says nothing.
    if matches!(mariadb, Outcome::Error { code: 1969, .. }) {
        return Verdict::Refused;
    }
    let label = match difference(&row, &analytic, ordered, sql) {
        Some(label) => format!("row, analytic: {label}"),
        None => match difference(&mariadb, &row, ordered, sql) {
            Some(label) => {
                // With its conditions evaluated for every row, MariaDB says what Drumlin does: its own plan is wrong.
                let opaque = servers.run(Peer::MariaDb, &tree.with_opaque_conditions().to_string()).await;
                if difference(&opaque, &row, ordered, sql).is_none() {
                    return Verdict::Contradiction;
                }
                format!("MariaDB, row: {label}")
            }
            None => return Verdict::of(&row),
        },
    };
    let named = [("MariaDB", mariadb), ("row", row), ("analytic", analytic)];
    Verdict::Different(Found { label, answers: named.map(|(name, outcome)| (name.to_owned(), outcome)).to_vec() })
}

async fn write(servers: &mut Servers, sql: &str, tables: &[Table]) -> Verdict {
    let mariadb = servers.run(Peer::MariaDb, sql).await;
    let drumlin = servers.run(Peer::Row, sql).await;
    let label = difference(&mariadb, &drumlin, false, sql).map(|label| format!("write: {label}"));
    let verdict = Verdict::of(&drumlin);
    let mut answers = vec![("MariaDB".to_owned(), mariadb), ("Drumlin".to_owned(), drumlin)];
    if let Some(label) = label {
        return Verdict::Different(Found { label, answers });
    }
    for table in tables {
        let sql = contents_query(table);
        let mariadb = servers.run(Peer::MariaDb, &sql).await;
        let drumlin = servers.run(Peer::Row, &sql).await;
        if let Some(label) = difference(&mariadb, &drumlin, true, "") {
            answers.push((format!("MariaDB, {sql}"), mariadb));
            answers.push((format!("Drumlin, {sql}"), drumlin));
            return Verdict::Different(Found { label: format!("contents after write: {label}"), answers });
        }
    }
    verdict
}

async fn partitioned(servers: &mut Servers, parts: &str, whole: &str) -> Verdict {
    for peer in [Peer::Row, Peer::Analytic] {
        let first = servers.run(peer, parts).await;
        let second = servers.run(peer, whole).await;
        // A condition that fails for a row fails only in the parts.
        if matches!(first, Outcome::Error { .. }) || matches!(second, Outcome::Error { .. }) {
            return Verdict::Refused;
        }
        if let Some(label) = difference(&first, &second, false, "") {
            let answers = vec![("parts".to_owned(), first), ("whole".to_owned(), second)];
            return Verdict::Different(Found { label: format!("{peer:?}, parts and whole: {label}"), answers });
        }
    }
    Verdict::Equal
}

fn contents_query(table: &Table) -> String {
    format!("SELECT * FROM {} ORDER BY id", table.name)
}

/// What the tables hold now, as MariaDB has it.
pub async fn contents(servers: &mut Servers, tables: &[Table]) -> Vec<Contents> {
    let mut all = Vec::new();
    for table in tables {
        all.push(match servers.run(Peer::MariaDb, &contents_query(table)).await {
            Outcome::Rows(rows) => rows.rows,
            _ => Vec::new(),
        });
    }
    all
}

impl Case {
    /// Tables and rows as statements.
    fn setup(&self) -> Vec<String> {
        let mut statements = Vec::new();
        for (table, rows) in self.tables.iter().zip(&self.contents) {
            statements.push(table.create.clone());
            let stored = |at: &usize| table.columns[*at].generated.is_none();
            let places: Vec<usize> = (0..table.columns.len()).filter(stored).collect();
            let names: Vec<&str> = places.iter().map(|at| table.columns[*at].name.as_str()).collect();
            let row = |row: &Vec<Cell>| {
                let values: Vec<String> = places.iter().map(|at| literal(&table.columns[*at], &row[*at])).collect();
                format!("({})", values.join(", "))
            };
            if !rows.is_empty() {
                let rows = rows.iter().map(row).collect::<Vec<_>>().join(", ");
                statements.push(format!("INSERT INTO {} ({}) VALUES {rows}", table.name, names.join(", ")));
            }
        }
        statements
    }

    /// What to replay.
    pub fn script(&self) -> String {
        let mut script: String = self.setup().into_iter().map(|statement| statement + ";\n").collect();
        script.push_str(&self.statement.sql());
        script.push_str(";\n");
        script
    }

    /// Its tables, made from nothing. False if a server refuses them.
    async fn build(&self, servers: &mut Servers) -> bool {
        servers.fresh_database(DATABASE).await;
        for statement in self.setup() {
            for peer in [Peer::MariaDb, Peer::Row] {
                if !matches!(servers.run(peer, &statement).await, Outcome::Done { .. }) {
                    return false;
                }
            }
        }
        true
    }

    async fn replay(&self, servers: &mut Servers) -> Option<Found> {
        match self.build(servers).await {
            true => check(servers, &self.statement, &self.tables).await.found(),
            false => None,
        }
    }

    /// The smallest case found that differs in the same way, with its answers.
    pub async fn shrunk(mut self, servers: &mut Servers, mut found: Found) -> (Case, Found) {
        match self.replay(servers).await {
            Some(again) if again.label == found.label => found = again,
            // It needs more than the rows: how they came about, for one.
            _ => return (self, found),
        }
        let mut attempts = 0;
        loop {
            let shorter = self.shorten(servers, &mut found, &mut attempts).await;
            let emptier = self.empty(servers, &mut found, &mut attempts).await;
            if !(shorter || emptier) || attempts > ATTEMPTS_MAX {
                return (self, found);
            }
        }
    }

    /// One step less of the statement, on the tables as they are.
    async fn shorten(&mut self, servers: &mut Servers, found: &mut Found, attempts: &mut usize) -> bool {
        let mut case = self.clone();
        if !case.build(servers).await {
            return false;
        }
        let mut any = false;
        'smaller: loop {
            for statement in self.statement.smaller() {
                *attempts += 1;
                if *attempts > ATTEMPTS_MAX {
                    return any;
                }
                case.statement = statement;
                let again = match &case.statement {
                    Statement::Write(_) => case.replay(servers).await,
                    _ => check(servers, &case.statement, &case.tables).await.found(),
                };
                if let Some(again) = again
                    && again.label == found.label
                {
                    self.statement = case.statement.clone();
                    (*found, any) = (again, true);
                    continue 'smaller;
                }
            }
            return any;
        }
    }

    /// Fewer tables and rows.
    async fn empty(&mut self, servers: &mut Servers, found: &mut Found, attempts: &mut usize) -> bool {
        let sql = self.statement.sql();
        let mut any = false;
        for at in (0..self.tables.len()).rev() {
            if !sql.contains(&format!("{} ", self.tables[at].name)) {
                let mut case = self.clone();
                case.tables.remove(at);
                case.contents.remove(at);
                any |= self.take(case, servers, found, attempts).await;
            }
        }
        for at in 0..self.tables.len() {
            let mut piece = self.contents[at].len();
            while piece > 0 {
                let mut start = 0;
                while start < self.contents[at].len() {
                    let mut case = self.clone();
                    let end = (start + piece).min(case.contents[at].len());
                    case.contents[at].drain(start..end);
                    match self.take(case, servers, found, attempts).await {
                        true => any = true,
                        false => start += piece,
                    }
                }
                piece /= 2;
            }
        }
        any
    }

    /// Becomes the other case if that differs in the same way.
    async fn take(&mut self, case: Case, servers: &mut Servers, found: &mut Found, attempts: &mut usize) -> bool {
        *attempts += 1;
        if *attempts > ATTEMPTS_MAX {
            return false;
        }
        match case.replay(servers).await {
            Some(again) if again.label == found.label => {
                (*self, *found) = (case, again);
                true
            }
            _ => false,
        }
    }
}

fn literal(column: &Column, cell: &Cell) -> String {
    let Some(bytes) = cell else { return "NULL".to_owned() };
    let text = String::from_utf8_lossy(bytes);
    match &column.of {
        Type::Int { .. } | Type::Decimal { .. } | Type::Year => text.into_owned(),
        Type::Double => format!("{text}e0").replace("e0e0", "e0"),
        Type::Bit { .. } | Type::Binary { .. } => format!("X'{}'", hex(bytes)),
        _ => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''")),
    }
}
