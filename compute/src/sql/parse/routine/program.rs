//! What the body of a stored routine becomes: steps in a row, with jumps. The interpreter is `session::routine`.
//!
//! Blocks, loops and branches are gone; what is left of them is where a jump goes, which handlers a step has around it,
//! and which names it sees.
//!
//! Invariants
//! - The first slots are the routine's parameters, in order; every variable has a slot of its own.
//! - A jump never leads into a block or a handler from outside of it.

use crate::sql::parse::ast::{Statement, TypeName};
use expr::sqlstate::SqlState;

#[derive(Debug, Clone, Default)]
pub struct Program {
    pub steps: Vec<Step>,
    /// What variables have around them, by scope.
    pub scopes: Vec<Scope>,
    /// By slot.
    pub variables: Vec<Variable>,
    pub cursors: Vec<Cursor>,
    pub blocks: Vec<Block>,
    pub handlers: Vec<Handler>,
    /// NEW.x and OLD.x, as far as they can be seen in the text: (is NEW, column).
    pub row_columns: Vec<(bool, String)>,
    /// System variables that are set, by name.
    pub system_variables: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Step {
    pub instruction: Instruction,
    /// Whose handlers look after it.
    pub block: usize,
    /// Where a CONTINUE handler goes on.
    pub resume: usize,
}

#[derive(Debug, Clone)]
pub enum Instruction {
    /// Any statement that is not one of a body's own.
    Run(Code),
    Set(Target, Code),
    /// Where the condition is false or NULL.
    JumpUnless(Code, usize),
    Jump {
        to: usize,
        leaves: Depth,
    },
    Return(Code),
    Open(usize),
    Fetch {
        cursor: usize,
        into: Vec<Target>,
    },
    Close(usize),
    /// A block ends: its cursors are closed.
    EndBlock(Depth),
    /// A handler has done its work.
    EndHandler(usize),
    /// No branch of a CASE, and no ELSE: error 1339.
    NoCase,
}

/// How many handlers are at work, and how many cursors are in sight, where a jump goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    pub handlers: usize,
    pub cursors: usize,
}

/// A statement, or an expression as `SELECT expression`.
#[derive(Debug, Clone)]
pub struct Code {
    pub statement: Box<Statement>,
    pub scope: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Slot(usize),
    /// NEW.column of a trigger.
    New(String),
    /// `@name`, in lower case.
    User(String),
}

#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub parent: Option<usize>,
    /// Names in lower case, with their slots.
    pub names: Vec<(String, usize)>,
}

#[derive(Debug, Clone)]
pub struct Variable {
    pub name: String,
    /// None for parameters, whose types are in the definition.
    pub ty: Option<TypeName>,
}

#[derive(Debug, Clone)]
pub struct Cursor {
    pub query: Code,
    /// Its place among those in sight.
    pub depth: usize,
}

#[derive(Debug, Clone, Default)]
pub struct Block {
    pub parent: Option<usize>,
    /// In order of declaration.
    pub handlers: Vec<usize>,
    pub depth: Depth,
}

#[derive(Debug, Clone)]
pub struct Handler {
    pub conditions: Vec<Condition>,
    /// EXIT, which leaves the block.
    pub exits: bool,
    pub start: usize,
    /// The end of its block.
    pub end: usize,
    pub depth: Depth,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    Code(u16),
    State(SqlState),
    Warning,
    NotFound,
    Exception,
}

impl Program {
    /// The slot of a variable that a scope sees.
    pub fn slot(&self, scope: usize, name: &str) -> Option<usize> {
        let mut next = Some(scope);
        while let Some(scope) = next.and_then(|scope| self.scopes.get(scope)) {
            // The last of equal names hides the others.
            let found = scope.names.iter().rev().find(|(other, _)| other.eq_ignore_ascii_case(name));
            if let Some((_, slot)) = found {
                return Some(*slot);
            }
            next = scope.parent;
        }
        None
    }
}
