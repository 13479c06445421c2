//! A statement as a tree, so that a failing one can be made smaller without a parser.
//!
//! Invariant: a node's descendant of the same kind can stand in its place, as can its kind's literal. What an edit makes
//! need not be valid: both servers refuse it then, and it is not what was looked for.

use std::fmt;

/// What an expression is of, or [`Kind::Query`]; nodes of [`Kind::Other`] only hold others together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Int,
    Decimal,
    Double,
    Text,
    Binary,
    Date,
    DateTime,
    Time,
    Condition,
    Query,
    Other,
}

impl Kind {
    /// The plainest expression of the kind.
    fn literal(self) -> Option<&'static str> {
        Some(match self {
            Kind::Int => "1",
            Kind::Decimal => "1.5",
            Kind::Double => "1e0",
            Kind::Text => "'a'",
            Kind::Binary => "X'61'",
            Kind::Date => "DATE'2024-02-29'",
            Kind::DateTime => "TIMESTAMP'2024-02-29 12:00:00'",
            Kind::Time => "TIME'12:00:00'",
            Kind::Condition => "TRUE",
            Kind::Query | Kind::Other => return None,
        })
    }
}

#[derive(Debug, Clone)]
pub enum Tree {
    Text(String),
    Node {
        kind: Kind,
        parts: Vec<Tree>,
    },
    /// May be left out.
    Optional(Vec<Tree>),
}

impl Tree {
    pub fn text(text: impl Into<String>) -> Tree {
        Tree::Text(text.into())
    }

    pub fn leaf(kind: Kind, text: impl Into<String>) -> Tree {
        Tree::Node { kind, parts: vec![Tree::text(text)] }
    }

    pub fn other(parts: Vec<Tree>) -> Tree {
        Tree::Node { kind: Kind::Other, parts }
    }

    pub fn optional(before: &str, tree: Tree) -> Tree {
        Tree::Optional(vec![Tree::text(before), tree])
    }

    /// A list in which all but the first may be left out.
    pub fn list(separator: &str, trees: Vec<Tree>) -> Tree {
        let parts = trees.into_iter().enumerate();
        Tree::other(parts.map(|(at, tree)| if at == 0 { tree } else { Tree::optional(separator, tree) }).collect())
    }

    /// The same, with every condition of WHERE and ON (what follows one of these words), every subquery to the left of IN,
    /// and what a subquery selects, behind what no optimizer looks into.
    pub fn with_opaque_conditions(&self) -> Tree {
        let parts = match self {
            Tree::Text(_) => return self.clone(),
            Tree::Node { parts, .. } | Tree::Optional(parts) => parts,
        };
        let mut opaque = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let inner = part.with_opaque_conditions();
            let follows = at > 0 && matches!(&parts[at - 1], Tree::Text(text) if text == " WHERE " || text == " ON ");
            let is_in = |tree: &Tree| matches!(tree, Tree::Text(text) if text.starts_with(" IN ") || text.starts_with(" NOT IN "));
            let is_needle = parts.get(at + 1).is_some_and(is_in) && inner.to_string().starts_with("(SELECT ");
            let is_selected = at > 0 && matches!(&parts[at - 1], Tree::Text(text) if text == "(SELECT ");
            match (follows, is_needle || is_selected) {
                (true, _) => opaque.extend([Tree::text("COALESCE(("), inner, Tree::text("), 0 * RAND()) <> 0")]),
                (false, true) => opaque.extend([Tree::text("IF(RAND() >= 0, "), inner, Tree::text(", NULL)")]),
                (false, false) => opaque.push(inner),
            }
        }
        match self {
            Tree::Node { kind, .. } => Tree::Node { kind: *kind, parts: opaque },
            _ => Tree::Optional(opaque),
        }
    }

    /// Every tree that is one step smaller, those first that are smaller by much.
    pub fn smaller(&self) -> Vec<Tree> {
        let mut found = Vec::new();
        self.edits(&mut found);
        let length = self.to_string().len();
        let mut found: Vec<(usize, Tree)> =
            found.into_iter().map(|tree| (tree.to_string().len(), tree)).filter(|(size, _)| *size < length).collect();
        found.sort_by_key(|(size, _)| *size);
        found.into_iter().map(|(_, tree)| tree).collect()
    }

    fn edits(&self, found: &mut Vec<Tree>) {
        let parts = match self {
            Tree::Text(_) => return,
            Tree::Optional(parts) => {
                found.push(Tree::text(""));
                parts
            }
            Tree::Node { kind, parts } => {
                if let Some(literal) = kind.literal() {
                    found.push(Tree::leaf(*kind, literal));
                }
                if *kind != Kind::Other {
                    parts.iter().for_each(|part| part.descendants(*kind, found));
                }
                parts
            }
        };
        for (at, part) in parts.iter().enumerate() {
            let mut inner = Vec::new();
            part.edits(&mut inner);
            for edited in inner {
                let mut parts = parts.clone();
                parts[at] = edited;
                found.push(match self {
                    Tree::Node { kind, .. } => Tree::Node { kind: *kind, parts },
                    _ => Tree::Optional(parts),
                });
            }
        }
    }

    fn descendants(&self, wanted: Kind, found: &mut Vec<Tree>) {
        if let Tree::Node { kind, .. } = self
            && *kind == wanted
        {
            found.push(self.clone());
        }
        if let Tree::Node { parts, .. } | Tree::Optional(parts) = self {
            parts.iter().for_each(|part| part.descendants(wanted, found));
        }
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tree::Text(text) => formatter.write_str(text),
            Tree::Node { parts, .. } | Tree::Optional(parts) => parts.iter().try_for_each(|part| part.fmt(formatter)),
        }
    }
}
