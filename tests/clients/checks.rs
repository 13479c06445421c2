//! The checks of `checks.txt`: what to do, what must come back, and whether it did.

/// One check: steps in order.
#[derive(Debug)]
pub struct Check {
    pub name: String,
    pub steps: Vec<Step>,
}

#[derive(Debug)]
pub struct Step {
    pub line: usize,
    /// Which connection.
    pub on: String,
    pub operation: String,
    pub argument: String,
    /// Of `execute` and `blob`: what follows `<-`.
    pub parameters: Vec<String>,
    pub expected: Vec<Expected>,
}

#[derive(Debug, PartialEq)]
pub enum Expected {
    Row(Vec<String>),
    /// Lengths in characters of a row's values; `*` is any.
    Lengths(Vec<String>),
    Columns(Vec<String>),
    /// Rows changed and generated id; `-` is any.
    Done(String, String),
    Error(String, String),
    /// How many results came.
    Sets(usize),
    /// A line with this word and value: `count 10`, `blob 7`, `ok`.
    Says(String),
    /// A statement that was killed.
    Interrupted,
    /// A connection that was killed: any error.
    Gone,
}

/// What a client answered: the lines before `end`, split at tabs.
pub type Answer = Vec<Vec<String>>;

pub fn parse(text: &str) -> Vec<Check> {
    let mut checks: Vec<Check> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            checks.push(Check { name: name.to_owned(), steps: Vec::new() });
            continue;
        }
        let steps = &mut checks.last_mut().unwrap_or_else(|| panic!("line {number}: before the first check")).steps;
        match expected(line) {
            Some(expected) => steps.last_mut().unwrap_or_else(|| panic!("line {number}")).expected.push(expected),
            None => steps.push(step(number + 1, line)),
        }
    }
    checks
}

fn fields(text: &str) -> Vec<String> {
    text.split(" | ").map(str::to_owned).collect()
}

fn expected(line: &str) -> Option<Expected> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let pair = || {
        let (first, second) = rest.split_once([' ', '|']).unwrap_or((rest, "-"));
        (first.trim().to_owned(), second.trim_matches([' ', '|']).to_owned())
    };
    Some(match word {
        "row" => Expected::Row(fields(rest)),
        "lengths" => Expected::Lengths(fields(rest)),
        "columns" => Expected::Columns(fields(rest)),
        "done" => Expected::Done(pair().0, pair().1),
        "error" => Expected::Error(pair().0, pair().1),
        "sets" => Expected::Sets(rest.parse().expect("a number")),
        "interrupted" => Expected::Interrupted,
        "gone" => Expected::Gone,
        // `blob` is an operation too, which has a statement behind it.
        "count" | "ok" => Expected::Says(line.to_owned()),
        "blob" if rest.parse::<usize>().is_ok() => Expected::Says(line.to_owned()),
        _ => return None,
    })
}

fn step(line: usize, text: &str) -> Step {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (on, operation) = word.split_once('.').unwrap_or(("a", word));
    let (argument, parameters) = match rest.split_once(" <- ") {
        Some((argument, parameters)) => (argument, fields(parameters)),
        None => (rest, Vec::new()),
    };
    let (on, operation, argument) = (on.to_owned(), operation.to_owned(), argument.to_owned());
    Step { line, on, operation, argument, parameters, expected: Vec::new() }
}

impl Step {
    /// What is wrong with an answer; `Ok` if nothing.
    pub fn judge(&self, answer: &Answer) -> Result<(), String> {
        let with = |word: &str| answer.iter().filter(|line| line[0] == word).map(|line| &line[1..]).collect::<Vec<_>>();
        let (rows, errors) = (with("row"), with("error"));
        let expects_error = self
            .expected
            .iter()
            .any(|expected| matches!(expected, Expected::Error(..) | Expected::Interrupted | Expected::Gone));
        if let Some(error) = errors.first()
            && !expects_error
        {
            return Err(format!("error {}", error.join(" ")));
        }
        let expected_rows =
            self.expected.iter().filter(|expected| matches!(expected, Expected::Row(_) | Expected::Lengths(_)));
        let counts = self
            .expected
            .iter()
            .any(|expected| matches!(expected, Expected::Row(_) | Expected::Lengths(_) | Expected::Columns(_)));
        if counts && rows.len() != expected_rows.clone().count() {
            return Err(format!("rows {rows:?}"));
        }
        for (expected, row) in expected_rows.zip(&rows) {
            if !row_agrees(expected, row) {
                return Err(format!("row {row:?} for {expected:?}"));
            }
        }
        for expected in &self.expected {
            let holds = match expected {
                Expected::Row(_) | Expected::Lengths(_) => true,
                Expected::Columns(names) => with("columns").first().is_some_and(|columns| columns == names),
                Expected::Done(changed, id) => with("done").first().is_some_and(|done| {
                    any_or_equal(changed, &done[0]) && any_or_equal(id, done.get(1).map_or("-", String::as_str))
                }),
                Expected::Error(code, state) => {
                    errors.first().is_some_and(|error| error[0] == *code && any_or_equal(state, &error[1]))
                }
                Expected::Interrupted => errors.first().is_some_and(|error| error[0] == "1317"),
                Expected::Gone => !errors.is_empty(),
                Expected::Sets(count) => with("columns").len() + with("done").len() == *count,
                Expected::Says(text) => answer.iter().any(|line| line.join(" ") == *text),
            };
            if !holds {
                return Err(format!("{expected:?}, but came {answer:?}"));
            }
        }
        Ok(())
    }
}

fn any_or_equal(expected: &str, got: &str) -> bool {
    expected == "-" || got == "-" || expected == got
}

fn row_agrees(expected: &Expected, row: &[String]) -> bool {
    match expected {
        Expected::Row(values) => values.len() == row.len() && values.iter().zip(row).all(|(e, g)| value_agrees(e, g)),
        Expected::Lengths(lengths) => {
            let length = |text: &String| text.chars().count().to_string();
            lengths.len() == row.len() && lengths.iter().zip(row).all(|(e, g)| e == "*" || *e == length(g))
        }
        _ => false,
    }
}

/// Clients show the same value in different ways: numbers in other digits, bytes as text where they are text.
fn value_agrees(expected: &str, got: &str) -> bool {
    if expected == got {
        return true;
    }
    let bytes = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => hex(digits),
        None => Some(unescaped(text).into_bytes()),
    };
    if expected.starts_with("0x") || got.starts_with("0x") {
        return bytes(expected).is_some_and(|expected| bytes(got) == Some(expected));
    }
    // Digits beyond a double's are compared as text.
    let number = |text: &str| text.parse::<f64>().ok().filter(|_| text.len() <= 24);
    number(expected).is_some_and(|expected| number(got) == Some(expected))
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.len().is_multiple_of(2).then_some(0..digits.len() / 2)?;
    pairs.map(|at| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()).collect()
}

/// `\t`, `\n`, `\r` and `\\` as they travel between test and client.
pub fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let character = if character == '\\' { characters.next().map_or('\\', unescaped_letter) } else { character };
        out.push(character);
    }
    out
}

fn unescaped_letter(letter: char) -> char {
    match letter {
        't' => '\t',
        'n' => '\n',
        'r' => '\r',
        other => other,
    }
}

#[test]
fn answers_that_differ_are_told() {
    let text = "[a]\nquery SELECT 1\nrow 1 | \\N\nexecute SELECT ? <- i:1 | s:x\nerror 1062 23000\n";
    let checks = parse(text);
    assert_eq!(checks[0].steps[1].parameters, ["i:1", "s:x"]);
    let answer =
        |lines: &[&str]| -> Answer { lines.iter().map(|line| line.split('\t').map(str::to_owned).collect()).collect() };
    let select = &checks[0].steps[0];
    assert_eq!(select.judge(&answer(&["columns\ta\tb", "row\t1.0\t\\N"])), Ok(()));
    for wrong in [&["row\t1"][..], &["row\t2\t\\N"], &["row\t1\t"], &[], &["row\t1\t\\N", "row\t1\t\\N"]] {
        assert!(select.judge(&answer(wrong)).is_err(), "{wrong:?}");
    }
    assert!(select.judge(&answer(&["row\t1\t\\N", "error\t1\t-\tx"])).is_err());
    let execute = &checks[0].steps[1];
    assert_eq!(execute.judge(&answer(&["error\t1062\t-\tx"])), Ok(()));
    assert!(execute.judge(&answer(&["error\t1064\t42000\tx"])).is_err());
    assert!(execute.judge(&answer(&["row\t1"])).is_err());
    assert!(value_agrees("0x6162", "ab") && !value_agrees("0x6162", "abc") && !value_agrees("1", "1x"));
}
