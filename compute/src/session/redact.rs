//! Texts of statements without the passwords in them, for SHOW PROCESSLIST and whatever else shows or logs a statement.

use std::borrow::Cow;

/// The statement, with `<secret>` for every string of one that may hold a password.
pub fn redacted(statement: &str) -> Cow<'_, str> {
    const VERBS: [&str; 5] = ["create", "alter", "set", "grant", "prepare"];
    const SIGNS: [&str; 2] = ["identified", "password"];
    let start = statement.trim_start_matches(|character: char| !character.is_ascii_alphabetic());
    let verb = start.split(|character: char| !character.is_ascii_alphabetic()).next().unwrap_or_default();
    // A comment may stand before the verb: then look into it all the same.
    let suspected = start.len() < statement.len() || VERBS.iter().any(|known| verb.eq_ignore_ascii_case(known));
    if !suspected || !SIGNS.iter().any(|sign| contains_ignoring_case(statement, sign)) {
        return Cow::Borrowed(statement);
    }
    let mut shown = String::with_capacity(statement.len());
    let mut quote = None;
    let mut escaped = false;
    for character in statement.chars() {
        match quote {
            None => {
                shown.push(character);
                if matches!(character, '\'' | '"') {
                    quote = Some(character);
                    shown.push_str("<secret>");
                }
            }
            Some(_) if escaped => escaped = false,
            Some(_) if character == '\\' => escaped = true,
            Some(open) if character == open => {
                shown.push(character);
                quote = None;
            }
            Some(_) => {}
        }
    }
    Cow::Owned(shown)
}

fn contains_ignoring_case(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for text in [
            "CREATE USER a IDENTIFIED BY 'geheim'",
            "/* x */ alter user a identified by \"geheim\" replace 'geheim\\'s'",
            "set password = 'geheim''s'",
            "PREPARE s FROM 'ALTER USER a IDENTIFIED BY \"geheim\"'",
        ] {
            let shown = redacted(text);
            assert!(!shown.contains("geheim") && shown.contains("<secret>"), "{shown}");
        }
        assert_eq!(redacted("SELECT 'password'"), "SELECT 'password'");
    }
}
