//! LOAD DATA: where its file comes from, and whether it may.

use super::Session;
use super::result::StatementResult;
use super::source::Source;
use crate::execute::write::load::input::{Chunk, FileInput};
use crate::session::variables;
use crate::sql::parse::ast::{InsertSource, Kind, LoadFile, Statement};
use expr::{ErrorCode, SqlError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

/// A statement that waits for a file of the client's.
pub(super) struct Waiting {
    source: Source,
    text: String,
}

fn file_of(statement: &Statement) -> Option<&LoadFile> {
    match &statement.kind {
        Kind::Insert(insert) => match &insert.source {
            InsertSource::File(file) => Some(file),
            InsertSource::Values(_) | InsertSource::Query(_) => None,
        },
        _ => None,
    }
}

/// True of a statement that cannot run again: what it read is gone.
pub(super) fn reads_file(statement: &Statement) -> bool {
    file_of(statement).is_some()
}

impl Session {
    /// LOAD DATA LOCAL: what can be checked before is, and the client is asked for the file; the statement runs with
    /// [`Session::load`]. Other statements come back.
    pub(super) async fn ask_for_file(
        &mut self,
        statement: Statement,
        text: &str,
    ) -> Result<Result<StatementResult, Statement>, SqlError> {
        let Some(file) = file_of(&statement).filter(|file| file.local) else { return Ok(Err(statement)) };
        if self.engine.globals().text(variable("local_infile")?).is_none_or(|text| text != "ON") {
            return Err(local_disabled());
        }
        let name = file.name.clone();
        let source = Source::new(statement);
        let (catalog, _) = self.newest_catalog().await?;
        self.plan(&source, &catalog, &[])?;
        self.waiting = Some(Waiting { source, text: text.to_string() });
        Ok(Ok(StatementResult::File(name)))
    }

    /// Runs the statement that waits for a file.
    pub async fn load(&mut self, chunks: mpsc::Receiver<Chunk>) -> Result<StatementResult, SqlError> {
        let Some(Waiting { source, text }) = self.waiting.take() else {
            return Err(SqlError::internal("A file came that no statement waits for"));
        };
        self.began(&text);
        self.input = Some(FileInput::Client(chunks));
        let outcome = self.run(&source, Arc::from([])).await;
        self.input = None;
        self.conclude(outcome).await
    }

    /// The client does not give files.
    pub async fn refuse_load(&mut self) -> SqlError {
        self.waiting = None;
        let error = local_disabled();
        self.ended(Err(&error)).await;
        error
    }

    /// A file of this server's, for LOAD DATA without LOCAL.
    pub(super) fn open_file(&mut self, statement: &Statement) -> Result<(), SqlError> {
        let Some(file) = file_of(statement) else { return Ok(()) };
        if !file.local {
            let globals = self.engine.globals();
            let path = allowed(globals.text(variable("secure_file_priv")?), &file.name)?;
            let opened = std::fs::File::open(&path).map_err(|error| not_found(&file.name, &error))?;
            self.input = Some(FileInput::Server(opened));
        }
        Ok(())
    }
}

fn variable(name: &str) -> Result<&'static variables::Variable, SqlError> {
    variables::lookup(name).ok_or_else(|| variables::unknown(name))
}

fn local_disabled() -> SqlError {
    let text = "Loading local data is disabled; this must be enabled on both the client and server sides";
    SqlError::new(ErrorCode(3948), text)
}

fn not_found(name: &str, error: &std::io::Error) -> SqlError {
    let number = error.raw_os_error().unwrap_or_default();
    SqlError::new(ErrorCode(29), format!("File '{name}' not found (OS errno {number} - {error})"))
}

/// The file, if it lies in the directory that secure_file_priv names. Links do not lead out of it.
fn allowed(directory: Option<&str>, name: &str) -> Result<PathBuf, SqlError> {
    let refused = || {
        let text = "The MySQL server is running with the --secure-file-priv option so it cannot execute this statement";
        SqlError::new(ErrorCode(1290), text)
    };
    let directory = directory.filter(|directory| !directory.is_empty()).ok_or_else(refused)?;
    let directory = Path::new(directory).canonicalize().map_err(|_| refused())?;
    // A relative name is taken from there.
    let path = directory.join(name);
    let path = match path.canonicalize() {
        Ok(path) => path,
        // Whether a file exists elsewhere is nobody's business.
        Err(error) if path.starts_with(&directory) && !name.contains("..") => return Err(not_found(name, &error)),
        Err(_) => return Err(refused()),
    };
    if path.starts_with(&directory) { Ok(path) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_directory_are_read() {
        let root = tempfile::tempdir().unwrap();
        let (inside, outside) = (root.path().join("files"), root.path().join("secret"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("a.csv"), "1").unwrap();
        std::fs::write(&outside, "2").unwrap();
        let directory = inside.to_str();
        assert!(allowed(directory, "a.csv").is_ok());
        assert!(allowed(directory, inside.join("a.csv").to_str().unwrap()).is_ok());
        let code = |directory, name: &str| allowed(directory, name).unwrap_err().code;
        assert_eq!(code(directory, "../secret"), ErrorCode(1290));
        assert_eq!(code(directory, outside.to_str().unwrap()), ErrorCode(1290));
        assert_eq!(code(directory, "../nothing"), ErrorCode(1290));
        assert_eq!(code(directory, "nothing"), ErrorCode(29));
        assert_eq!(code(None, "a.csv"), ErrorCode(1290));
        assert_eq!(code(Some(""), "a.csv"), ErrorCode(1290));
    }
}
