//! Expressions over what is in scope, from the forms of `templates.rs`.

use crate::query;
use crate::schema::{self, Table};
use crate::templates;
use crate::tree::{Kind, Tree};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// A name that an expression may use.
#[derive(Debug, Clone)]
pub struct Name {
    pub sql: String,
    pub kind: Kind,
}

/// What a round's statements are made from.
pub struct Generator<'a> {
    pub random: &'a mut StdRng,
    pub tables: &'a [Table],
    /// Texts that are equal and not the same are there: what picks one of them is avoided.
    pub variants: bool,
    /// Whether a statement is made that writes.
    pub strict: bool,
    /// The table that it changes, which no subquery of it may read.
    pub target: Option<String>,
    next_alias: u32,
}

/// The kinds of values.
pub const VALUES: [Kind; 8] =
    [Kind::Int, Kind::Decimal, Kind::Double, Kind::Text, Kind::Binary, Kind::Date, Kind::DateTime, Kind::Time];

const PATTERNS: [&str; 10] = ["a%", "%b", "%a%", "_b%", "a", "%", "1%", "a\\\\_b", "", "__"];
const REGEXPS: [&str; 8] = ["^a", "b$", "a.", "[0-9]+", "a|1", "^(ab)*c?$", "b+", "x y"];
const UNITS: [&str; 7] = ["DAY", "HOUR", "MINUTE", "SECOND", "MONTH", "YEAR", "QUARTER"];
const COMPARISONS: [&str; 7] = ["=", "=", "<>", "<", ">=", "<=>", ">"];

impl<'a> Generator<'a> {
    pub fn new(random: &'a mut StdRng, tables: &'a [Table], variants: bool) -> Generator<'a> {
        Generator { random, tables, variants, strict: false, target: None, next_alias: 0 }
    }

    pub fn alias(&mut self, prefix: &str) -> String {
        self.next_alias += 1;
        format!("{prefix}{}", self.next_alias)
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.random.random_bool(probability)
    }

    pub fn value_kind(&mut self) -> Kind {
        *VALUES.choose(self.random).unwrap()
    }

    pub fn condition(&mut self, scope: &[Name], depth: u32) -> Tree {
        self.expression(Kind::Condition, scope, depth)
    }

    pub fn expression(&mut self, kind: Kind, scope: &[Name], depth: u32) -> Tree {
        if kind != Kind::Condition && (depth == 0 || self.chance(0.35)) {
            return self.leaf(kind, scope);
        }
        let form = *templates::of(kind).choose(self.random).unwrap();
        if self.strict && templates::is_lenient(form) {
            return self.expression(kind, scope, depth);
        }
        // Conditions are never leaves, so theirs is the depth that ends them.
        if depth == 0 && (form.contains("{c}") || form.contains("{q") || form.contains("{Q") || form.contains("{e}")) {
            let left = self.leaf(Kind::Int, scope);
            let right = self.leaf(Kind::Int, scope);
            let comparison = *COMPARISONS.choose(self.random).unwrap();
            return Tree::Node { kind, parts: vec![left, Tree::text(format!(" {comparison} ")), right] };
        }
        self.fill(kind, form, scope, depth.saturating_sub(1))
    }

    fn leaf(&mut self, kind: Kind, scope: &[Name]) -> Tree {
        let fitting: Vec<&Name> = scope.iter().filter(|name| name.kind == kind).collect();
        match fitting.choose(self.random) {
            Some(name) if self.random.random_bool(0.8) => Tree::leaf(kind, name.sql.clone()),
            _ => self.literal(kind),
        }
    }

    pub fn literal(&mut self, kind: Kind) -> Tree {
        let variants = self.variants;
        if self.chance(0.04) {
            return Tree::leaf(kind, null_of(kind));
        }
        let random = &mut *self.random;
        let text = match kind {
            Kind::Int => match random.random_range(0..40) {
                0 => ["127", "255", "32768", "2147483647", "4294967296"].choose(random).unwrap().to_string(),
                _ => random.random_range(-3..10).to_string(),
            },
            Kind::Decimal => ["1.5", "-0.25", "10.0", "99.99", "0.001", "2.50"].choose(random).unwrap().to_string(),
            Kind::Double => ["1.5e0", "-2.5e0", "1e3", "0e0", "25e-2"].choose(random).unwrap().to_string(),
            Kind::Text => format!("'{}'", schema::text(random, variants)),
            Kind::Binary => format!("X'{}'", schema::hex(schema::text(random, false).as_bytes())),
            Kind::Date => format!("DATE'{}'", schema::date(random)),
            Kind::DateTime => format!("TIMESTAMP'{}'", schema::datetime(random)),
            Kind::Time => format!("TIME'{}'", schema::time(random)),
            Kind::Condition => ["TRUE", "FALSE"].choose(random).unwrap().to_string(),
            Kind::Query | Kind::Other => unreachable!("no literals"),
        };
        Tree::leaf(kind, text)
    }

    /// A node of a form with its places filled.
    pub fn fill(&mut self, kind: Kind, form: &str, scope: &[Name], depth: u32) -> Tree {
        let mut parts = Vec::new();
        let mut rest = form;
        while let Some((before, after)) = rest.split_once('{') {
            let (place, after) = after.split_once('}').expect("a closed place");
            parts.push(Tree::text(before));
            parts.push(self.place(place, scope, depth));
            rest = after;
        }
        parts.push(Tree::text(rest));
        Tree::Node { kind, parts }
    }

    fn place(&mut self, place: &str, scope: &[Name], depth: u32) -> Tree {
        if let Some(kind) = value_place(place) {
            return self.expression(kind, scope, depth);
        }
        let random = &mut *self.random;
        let mut quoted = |choices: &[&str]| Tree::text(format!("'{}'", choices.choose(random).unwrap()));
        match place {
            "p" => quoted(&PATTERNS),
            "r" => quoted(&REGEXPS),
            "u" => Tree::text(*UNITS.choose(self.random).unwrap()),
            "=" => Tree::text(*COMPARISONS.choose(self.random).unwrap()),
            "#" => Tree::text(self.random.random_range(0..7).to_string()),
            "j" => Tree::text(self.random.random_range(-3..5).to_string()),
            "l" => self.literal(Kind::Text),
            "n" => {
                let kind = *[Kind::Int, Kind::Decimal, Kind::Double].choose(self.random).unwrap();
                self.expression(kind, scope, depth)
            }
            "w" => {
                let kind = *[Kind::Date, Kind::DateTime, Kind::Time].choose(self.random).unwrap();
                self.expression(kind, scope, depth)
            }
            "v" => {
                let kind = self.value_kind();
                self.expression(kind, scope, depth)
            }
            "e" => query::subquery(self, Kind::Int, scope, false),
            _ => {
                let (many, kind) = place.split_at(1);
                let kind = value_place(kind).unwrap_or_else(|| panic!("{place}: no such place"));
                query::subquery(self, kind, scope, many == "Q")
            }
        }
    }
}

/// With its type: what a bare NULL makes of a function's type, MariaDB answers in its own way.
fn null_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "CAST(NULL AS SIGNED)",
        Kind::Decimal => "CAST(NULL AS DECIMAL(8,2))",
        Kind::Double => "CAST(NULL AS DOUBLE)",
        Kind::Text => "CAST(NULL AS CHAR)",
        Kind::Binary => "CAST(NULL AS BINARY)",
        Kind::Date => "CAST(NULL AS DATE)",
        Kind::DateTime => "CAST(NULL AS DATETIME)",
        Kind::Time => "CAST(NULL AS TIME)",
        Kind::Condition | Kind::Query | Kind::Other => "NULL",
    }
}

fn value_place(place: &str) -> Option<Kind> {
    Some(match place {
        "i" => Kind::Int,
        "d" => Kind::Decimal,
        "f" => Kind::Double,
        "s" => Kind::Text,
        "b" => Kind::Binary,
        "a" => Kind::Date,
        "t" => Kind::DateTime,
        "m" => Kind::Time,
        "c" => Kind::Condition,
        _ => return None,
    })
}
