//! Statements to begin from when bad ones are made: our own cases of `tests/sql`, and those of `shared/data` where it is there.

use flate2::read::GzDecoder;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longer ones are mostly rows, and little becomes of changing one of their bytes.
const STATEMENT_BYTES_MAX: usize = 4_000;
/// Of one file of the large corpora, whose statements are much alike.
const STATEMENTS_PER_FILE_MAX: usize = 200;

/// Words of statements that change the server for everybody, wait, lock the test out, or end its connection.
const NOT_WITH: [&str; 21] = [
    "release",
    "sleep",
    "benchmark",
    "get_lock",
    "shutdown",
    "restart",
    "kill",
    "global",
    "persist",
    "instance",
    "xa ",
    "with read lock",
    "root",
    "current_user",
    "user()",
    "set password",
    "offline",
    "local infile",
    "event",
    "outfile",
    "revoke all",
];

/// Each once as it is written there.
pub fn statements() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    for file in files(&root.join("tests/sql")) {
        let text = || std::fs::read_to_string(&file).unwrap();
        match ending(&file) {
            "slt" => texts.extend(of_slt(&text())),
            "txt" => texts.extend(of_sessions(&text())),
            _ => {}
        }
    }
    let own = texts.len();
    let data = std::env::var_os("DRUMLIN_DATA_DIR").map_or_else(|| root.join("../shared/data"), PathBuf::from);
    for file in files(&data) {
        let mut found = match ending(&file) {
            "jsonl" => of_json_lines(&std::fs::read_to_string(&file).unwrap()),
            "gz" if file.to_string_lossy().ends_with(".test.gz") => {
                let mut text = String::new();
                GzDecoder::new(std::fs::File::open(&file).unwrap()).read_to_string(&mut text).unwrap();
                of_slt(&text)
            }
            _ => continue,
        };
        found.truncate(STATEMENTS_PER_FILE_MAX);
        texts.extend(found);
    }
    let found = texts.len();
    texts.retain(|text| {
        let small = text.to_ascii_lowercase();
        text.len() <= STATEMENT_BYTES_MAX && !NOT_WITH.iter().any(|word| small.contains(word))
    });
    println!("{} statements to begin from, of {own} of our own and {} of shared/data", texts.len(), found - own);
    assert!(own > 500, "only {own} statements were found in tests/sql");
    texts.into_iter().map(String::into_bytes).collect()
}

fn ending(file: &Path) -> &str {
    file.extension().and_then(|ending| ending.to_str()).unwrap_or_default()
}

/// All below a folder, in an order that is always the same; none where there is no such folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// A record is a line that says what it is, and the statement up to an empty line or the result.
fn of_slt(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("statement") || line.starts_with("query") {
            let statement = lines.by_ref().take_while(|line| !line.trim().is_empty() && !line.starts_with("----"));
            found.push(statement.collect::<Vec<_>>().join("\n"));
        }
    }
    found
}

/// `name: statement` in cases between sessions; what is indented is what came back.
fn of_sessions(text: &str) -> Vec<String> {
    let statement = |line: &str| {
        let (name, statement) = line.split_once(": ")?;
        name.chars().all(|letter| letter.is_alphanumeric() || letter == '_').then(|| statement.to_owned())
    };
    text.lines().filter_map(statement).collect()
}

/// One record a line: see the README beside them.
fn of_json_lines(text: &str) -> Vec<String> {
    let record = |line| serde_json::from_str::<serde_json::Value>(line).ok();
    text.lines().filter_map(record).filter_map(|record| Some(record.get("sql")?.as_str()?.to_owned())).collect()
}
