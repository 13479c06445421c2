//! JSON paths: `$.name[0].*`, `**`, `[last-1]`, `[0 to 2]`. Manual: "JSON Path Syntax" (13.5).

use crate::error::{ErrorCode, SqlError};
use serde_json::Value as Node;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath {
    pub legs: Vec<Leg>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leg {
    /// `.name`
    Member(String),
    /// `.*`
    AnyMember,
    /// `[3]`, `[last-1]`
    Item(Index),
    /// `[1 to last]`, both ends included.
    Range(Index, Index),
    /// `[*]`
    AnyItem,
    /// `**`: the node and everything below it.
    Anywhere,
}

/// A place in an array, from its start or, with `from_last`, from its last item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index {
    pub offset: usize,
    pub from_last: bool,
}

impl Index {
    /// Where that is in an array of so many items; `None` before its start. May be past its end.
    pub fn position(self, length: usize) -> Option<usize> {
        if self.from_last {
            (length + usize::from(length == 0)).checked_sub(1 + self.offset)
        } else {
            Some(self.offset)
        }
    }
}

impl JsonPath {
    /// 3143 with the position where it went wrong.
    pub fn parse(text: &str) -> Result<JsonPath, SqlError> {
        PathParser { text, position: 0 }.path().map_err(|position| {
            SqlError::new(
                ErrorCode::INVALID_JSON_PATH,
                format!("Invalid JSON path expression. The error is around character position {position}."),
            )
        })
    }

    /// It may match more than one value: `*`, `**` or a range.
    pub fn has_wildcard(&self) -> bool {
        self.legs.iter().any(|leg| !matches!(leg, Leg::Member(_) | Leg::Item(_)))
    }

    /// All values that it matches, in document order, each once.
    pub fn find<'a>(&self, document: &'a Node) -> Vec<&'a Node> {
        let mut found = vec![document];
        for leg in &self.legs {
            let mut next: Vec<&Node> = Vec::new();
            for node in found {
                follow(leg, node, &mut next);
            }
            if matches!(leg, Leg::Anywhere) {
                // `**` twice would visit a node by several ways.
                let mut seen = std::collections::HashSet::new();
                next.retain(|node| seen.insert(std::ptr::from_ref::<Node>(node)));
            }
            found = next;
        }
        found
    }
}

fn follow<'a>(leg: &Leg, node: &'a Node, found: &mut Vec<&'a Node>) {
    match (leg, node) {
        (Leg::Member(name), Node::Object(members)) => found.extend(members.get(name)),
        (Leg::AnyMember, Node::Object(members)) => {
            found.extend(super::text::ordered(members).into_iter().map(|(_, member)| member));
        }
        (Leg::AnyItem, Node::Array(items)) => found.extend(items),
        (Leg::Item(index), Node::Array(items)) => {
            found.extend(index.position(items.len()).and_then(|position| items.get(position)));
        }
        // A value that is no array is treated as an array of one.
        (Leg::Item(index), single) if index.position(1) == Some(0) => found.push(single),
        (Leg::Range(first, last), Node::Array(items)) => {
            let first = first.position(items.len()).unwrap_or(0);
            if let Some(last) = last.position(items.len()) {
                found.extend(items.iter().take(last.saturating_add(1)).skip(first));
            }
        }
        (Leg::Range(first, last), single) if first.position(1).unwrap_or(0) == 0 && last.position(1).is_some() => {
            found.push(single);
        }
        (Leg::Anywhere, node) => descend(node, found),
        _ => {}
    }
}

fn descend<'a>(node: &'a Node, found: &mut Vec<&'a Node>) {
    found.push(node);
    match node {
        Node::Array(items) => items.iter().for_each(|item| descend(item, found)),
        Node::Object(members) => {
            super::text::ordered(members).into_iter().for_each(|(_, member)| descend(member, found));
        }
        _ => {}
    }
}

/// Errors are positions, in bytes from 1.
struct PathParser<'a> {
    text: &'a str,
    position: usize,
}

impl PathParser<'_> {
    fn path(mut self) -> Result<JsonPath, usize> {
        self.skip_space();
        self.expect('$')?;
        let mut legs = Vec::new();
        loop {
            self.skip_space();
            let leg = match self.peek() {
                None => break,
                Some('.') => self.member()?,
                Some('[') => self.item()?,
                Some('*') => {
                    self.expect('*')?;
                    self.expect('*')?;
                    Leg::Anywhere
                }
                Some(_) => return Err(self.position + 1),
            };
            if legs.last() == Some(&Leg::Anywhere) && leg == Leg::Anywhere {
                return Err(self.position);
            }
            legs.push(leg);
        }
        // A path must not end in `**`.
        if legs.last() == Some(&Leg::Anywhere) { Err(self.position) } else { Ok(JsonPath { legs }) }
    }

    fn member(&mut self) -> Result<Leg, usize> {
        self.expect('.')?;
        self.skip_space();
        match self.peek() {
            Some('*') => {
                self.position += 1;
                Ok(Leg::AnyMember)
            }
            Some('"') => self.quoted_name(),
            _ => {
                let start = self.position;
                while self.peek().is_some_and(|c| !c.is_whitespace() && !matches!(c, '.' | '[' | '*')) {
                    self.position += self.peek().map_or(0, char::len_utf8);
                }
                let name = &self.text[start..self.position];
                let identifier = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '\u{200c}' | '\u{200d}');
                let starts_well = name.chars().next().is_some_and(|c| identifier(c) && !c.is_ascii_digit());
                if starts_well && name.chars().all(identifier) {
                    Ok(Leg::Member(name.to_string()))
                } else {
                    Err(start + 1)
                }
            }
        }
    }

    fn quoted_name(&mut self) -> Result<Leg, usize> {
        let start = self.position;
        let mut escaped = false;
        for (offset, character) in self.text[start + 1..].char_indices() {
            match character {
                '"' if !escaped => {
                    self.position = start + 1 + offset + 1;
                    let name = serde_json::from_str(&self.text[start..self.position]).map_err(|_| start + 1)?;
                    return Ok(Leg::Member(name));
                }
                '\\' => escaped = !escaped,
                _ => escaped = false,
            }
        }
        Err(start + 1)
    }

    fn item(&mut self) -> Result<Leg, usize> {
        self.expect('[')?;
        self.skip_space();
        let leg = if self.peek() == Some('*') {
            self.position += 1;
            Leg::AnyItem
        } else {
            let first = self.index()?;
            let after_first = self.position;
            self.skip_space();
            if self.position > after_first && self.keyword("to") {
                let before = self.position;
                self.skip_space();
                if before == self.position {
                    return Err(before + 1);
                }
                let last = self.index()?;
                if first.from_last == last.from_last {
                    let backwards =
                        if first.from_last { first.offset < last.offset } else { first.offset > last.offset };
                    if backwards {
                        return Err(self.position);
                    }
                }
                Leg::Range(first, last)
            } else {
                Leg::Item(first)
            }
        };
        self.skip_space();
        self.expect(']')?;
        Ok(leg)
    }

    fn index(&mut self) -> Result<Index, usize> {
        if !self.keyword("last") {
            return Ok(Index { offset: self.number()?, from_last: false });
        }
        let end = self.position;
        self.skip_space();
        if self.peek() != Some('-') {
            self.position = end;
            return Ok(Index { offset: 0, from_last: true });
        }
        self.position += 1;
        self.skip_space();
        Ok(Index { offset: self.number()?, from_last: true })
    }

    fn number(&mut self) -> Result<usize, usize> {
        let start = self.position;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.position += 1;
        }
        // MySQL's limit of array positions.
        self.text[start..self.position].parse::<u32>().map(|number| number as usize).map_err(|_| start + 1)
    }

    fn keyword(&mut self, word: &str) -> bool {
        let matches = self.text[self.position..].starts_with(word);
        if matches {
            self.position += word.len();
        }
        matches
    }

    fn peek(&self) -> Option<char> {
        self.text[self.position..].chars().next()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|c| c.is_ascii_whitespace()) {
            self.position += 1;
        }
    }

    fn expect(&mut self, character: char) -> Result<(), usize> {
        if self.peek() != Some(character) {
            return Err(self.position + 1);
        }
        self.position += character.len_utf8();
        Ok(())
    }
}
