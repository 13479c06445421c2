//! LOAD DATA: rows of an INSERT that come from a file.

use expr::Expression;
use expr::collation::Charset;

#[derive(Debug, Clone)]
pub struct LoadFile {
    pub name: String,
    /// The client has it.
    pub local: bool,
    /// The statement says IGNORE; LOCAL alone skips duplicates too, as the client cannot be stopped in the middle.
    pub ignores: bool,
    pub charset: Charset,
    pub format: LoadFormat,
    /// Lines before the first row.
    pub lines_ignored: u64,
    /// Where the fields of a line go, in their order.
    pub targets: Vec<LoadTarget>,
    /// SET: column, value over the row and variables. `None` is DEFAULT.
    pub assignments: Vec<(usize, Option<Expression>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadTarget {
    /// By position in the table.
    Column(usize),
    /// In lower case.
    Variable(String),
}

/// How a file is divided. Manual: "LOAD DATA Statement" (15.2.9), "Field and Line Handling".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadFormat {
    pub fields_terminated: Vec<u8>,
    pub enclosed: Option<u8>,
    pub escaped: Option<u8>,
    pub lines_starting: Vec<u8>,
    pub lines_terminated: Vec<u8>,
}

impl Default for LoadFormat {
    fn default() -> LoadFormat {
        LoadFormat {
            fields_terminated: b"\t".to_vec(),
            enclosed: None,
            escaped: Some(b'\\'),
            lines_starting: Vec::new(),
            lines_terminated: b"\n".to_vec(),
        }
    }
}

impl LoadFormat {
    /// Fields have no separators, but widths.
    pub fn is_fixed(&self) -> bool {
        self.fields_terminated.is_empty() && self.enclosed.is_none()
    }
}
