//! Why the process ends with something else than 0: one line for a person, one number for a script.

use std::process::ExitCode;

/// A message that says what happened and what to do about it.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    pub fn running(message: impl Into<String>) -> Failure {
        Failure { code: 1, message: message.into() }
    }

    pub fn settings(message: impl Into<String>) -> Failure {
        Failure { code: 2, message: message.into() }
    }

    pub fn in_the_way(message: impl Into<String>) -> Failure {
        Failure { code: 3, message: message.into() }
    }

    pub fn damaged(message: impl Into<String>) -> Failure {
        Failure { code: 4, message: message.into() }
    }

    /// Prints the line and gives the code to end with.
    pub fn report(self) -> ExitCode {
        let line = self.message.split_whitespace().collect::<Vec<_>>().join(" ");
        eprintln!("drumlin: {line}");
        ExitCode::from(self.code)
    }
}
