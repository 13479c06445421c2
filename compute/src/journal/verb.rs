//! Verbs: what kind of statement it was, coarse enough to plot.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Select,
    Insert,
    Replace,
    Update,
    Delete,
    Load,
    Call,
    Set,
    Show,
    Begin,
    Commit,
    Rollback,
    /// Definitions: of tables, routines, accounts.
    Define,
    /// All else, what could not be parsed among it.
    Other,
}

impl Verb {
    pub const ALL: [Verb; 14] = [
        Verb::Select,
        Verb::Insert,
        Verb::Replace,
        Verb::Update,
        Verb::Delete,
        Verb::Load,
        Verb::Call,
        Verb::Set,
        Verb::Show,
        Verb::Begin,
        Verb::Commit,
        Verb::Rollback,
        Verb::Define,
        Verb::Other,
    ];

    pub fn changes_rows(self) -> bool {
        matches!(self, Verb::Insert | Verb::Replace | Verb::Update | Verb::Delete | Verb::Load | Verb::Call)
    }

    pub fn name(self) -> &'static str {
        match self {
            Verb::Select => "select",
            Verb::Insert => "insert",
            Verb::Replace => "replace",
            Verb::Update => "update",
            Verb::Delete => "delete",
            Verb::Load => "load",
            Verb::Call => "call",
            Verb::Set => "set",
            Verb::Show => "show",
            Verb::Begin => "begin",
            Verb::Commit => "commit",
            Verb::Rollback => "rollback",
            Verb::Define => "define",
            Verb::Other => "other",
        }
    }

    /// MySQL's counter of these statements, where it has one. Manual: "Server Status Variables" (7.1.10).
    pub fn status_variable(self) -> Option<&'static str> {
        Some(match self {
            Verb::Select => "Com_select",
            Verb::Insert => "Com_insert",
            Verb::Replace => "Com_replace",
            Verb::Update => "Com_update",
            Verb::Delete => "Com_delete",
            Verb::Load => "Com_load",
            Verb::Call => "Com_call_procedure",
            Verb::Set => "Com_set_option",
            Verb::Begin => "Com_begin",
            Verb::Commit => "Com_commit",
            Verb::Rollback => "Com_rollback",
            Verb::Show | Verb::Define | Verb::Other => return None,
        })
    }
}
