//! Bytes of a file into fields, as LOAD DATA divides them. No I/O: bytes are fed as they come, rows are taken as they are
//! whole. Manual: "LOAD DATA Statement" (15.2.9), "Field and Line Handling".

use crate::sql::plan::LoadFormat;

/// One field of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// `None`: NULL.
    pub bytes: Option<Vec<u8>>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Row(Line),
    /// Feed more, or say that there is no more.
    Wanted,
    End,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Fewer than wanted where the line ended before.
    pub fields: Vec<Field>,
    /// It had more than was wanted.
    pub cut: bool,
}

pub struct Reader {
    format: LoadFormat,
    /// Fields of a row.
    wanted: usize,
    /// Bytes of each, where they have fixed widths.
    widths: Vec<usize>,
    lines_ignored: u64,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were taken.
    taken: usize,
    ended: bool,
    /// Not worth another try with fewer bytes than this: a long row would be read again and again.
    enough: usize,
}

/// The bytes given so far are not enough to tell.
struct Short;

impl Reader {
    /// `widths`: of the fields, for a format without separators.
    pub fn new(format: &LoadFormat, wanted: usize, widths: Vec<usize>, lines_ignored: u64) -> Reader {
        let mut format = format.clone();
        // A line that ends as a field does has no end of its own: a row is so many fields.
        if format.lines_terminated == format.fields_terminated {
            format.lines_terminated.clear();
        }
        Reader { format, wanted, widths, lines_ignored, buffer: Vec::new(), taken: 0, ended: false, enough: 0 }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Bytes held: of the row that is not whole yet.
    pub fn held_bytes(&self) -> usize {
        self.buffer.len() - self.taken
    }

    pub fn next(&mut self) -> Next {
        if self.held_bytes() < self.enough && !self.ended {
            return Next::Wanted;
        }
        loop {
            let mut cursor = Cursor {
                format: &self.format,
                bytes: &self.buffer[self.taken..],
                at: 0,
                ended: self.ended,
                line_ended: false,
            };
            let is_ignored = self.lines_ignored > 0;
            let line = match is_ignored {
                true => cursor.skip_line().map(|_| (!cursor.is_at_end()).then(Line::default)),
                false if self.format.is_fixed() => cursor.fixed_line(&self.widths),
                false => cursor.line(self.wanted),
            };
            let Ok(line) = line else {
                self.enough = 2 * self.held_bytes();
                return Next::Wanted;
            };
            self.taken += cursor.at;
            self.enough = 0;
            match line {
                None => return Next::End,
                Some(_) if is_ignored => self.lines_ignored -= 1,
                Some(line) => return Next::Row(line),
            }
        }
    }
}

struct Cursor<'r> {
    format: &'r LoadFormat,
    bytes: &'r [u8],
    at: usize,
    /// Nothing follows the bytes.
    ended: bool,
    line_ended: bool,
}

impl Cursor<'_> {
    fn is_at_end(&self) -> bool {
        self.ended && self.at >= self.bytes.len()
    }

    /// The byte here; `None` at the end of the file.
    fn peek(&self) -> Result<Option<u8>, Short> {
        match self.bytes.get(self.at) {
            Some(byte) => Ok(Some(*byte)),
            None if self.ended => Ok(None),
            None => Err(Short),
        }
    }

    /// Takes a separator if it is here.
    fn takes(&mut self, separator: &[u8]) -> Result<bool, Short> {
        let Some(first) = separator.first() else { return Ok(false) };
        let rest = &self.bytes[self.at..];
        if rest.first() != Some(first) {
            return Ok(false);
        }
        if rest.starts_with(separator) {
            self.at += separator.len();
            return Ok(true);
        }
        match rest.len() < separator.len() && separator.starts_with(rest) && !self.ended {
            true => Err(Short),
            false => Ok(false),
        }
    }

    /// To where fields begin: past LINES STARTING BY. False at the end of the file.
    fn find_start(&mut self) -> Result<bool, Short> {
        let format = self.format;
        if format.lines_starting.is_empty() {
            return Ok(true);
        }
        while !self.takes(&format.lines_starting)? {
            if self.peek()?.is_none() {
                return Ok(false);
            }
            self.at += 1;
        }
        Ok(true)
    }

    /// `None` at the end of the file.
    fn line(&mut self, wanted: usize) -> Result<Option<Line>, Short> {
        if !self.find_start()? || self.peek()?.is_none() {
            return Ok(None);
        }
        let mut line = Line::default();
        while line.fields.len() < wanted && !self.line_ended {
            match self.field()? {
                Some(field) => line.fields.push(field),
                None => break,
            }
        }
        // A statement may want no field at all.
        line.cut = !self.line_ended && !self.format.lines_terminated.is_empty() && self.skip_line()?;
        Ok(Some(line))
    }

    /// One field and what ends it; `None` where the file ends before it.
    fn field(&mut self) -> Result<Option<Field>, Short> {
        let format = self.format;
        let Some(first) = self.peek()? else {
            self.line_ended = true;
            return Ok(None);
        };
        let quote = format.enclosed.filter(|quote| *quote == first);
        self.at += usize::from(quote.is_some());
        let (mut value, mut is_null) = (Vec::new(), false);
        loop {
            let Some(byte) = self.peek()? else {
                self.line_ended = true;
                // What was opened and not closed is no enclosed field: the mark belongs to it.
                if let Some(quote) = quote {
                    value.insert(0, quote);
                }
                return Ok(Some(self.bare(value, is_null)));
            };
            if format.escaped == Some(byte) {
                let next = self.peek_after()?;
                match next {
                    None => {
                        value.push(byte);
                        self.at += 1;
                        continue;
                    }
                    Some(next) if format.escaped != format.enclosed || next == byte => {
                        is_null |= next == b'N' && format.escaped != format.enclosed;
                        value.push(unescaped(next, format.escaped != format.enclosed));
                        self.at += 2;
                        continue;
                    }
                    Some(_) => {}
                }
            }
            match quote {
                None => {
                    if self.takes(&format.lines_terminated)? {
                        self.line_ended = true;
                        return Ok(Some(self.bare(value, is_null)));
                    }
                    if self.takes(&format.fields_terminated)? {
                        return Ok(Some(self.bare(value, is_null)));
                    }
                }
                Some(quote) if quote == byte => {
                    if self.peek_after()? == Some(quote) {
                        value.push(quote);
                        self.at += 2;
                        continue;
                    }
                    let before = self.at;
                    self.at += 1;
                    if self.peek()?.is_none() || self.takes(&format.lines_terminated)? {
                        self.line_ended = true;
                        return Ok(Some(Field { bytes: closed(value, is_null) }));
                    }
                    if self.takes(&format.fields_terminated)? {
                        return Ok(Some(Field { bytes: closed(value, is_null) }));
                    }
                    // Not the end: a mark within the value.
                    self.at = before;
                }
                Some(_) => {}
            }
            value.push(byte);
            self.at += 1;
        }
    }

    fn peek_after(&self) -> Result<Option<u8>, Short> {
        match self.bytes.get(self.at + 1) {
            Some(byte) => Ok(Some(*byte)),
            None if self.ended => Ok(None),
            None => Err(Short),
        }
    }

    /// A field without marks around it.
    fn bare(&self, value: Vec<u8>, is_null: bool) -> Field {
        let is_word = self.format.enclosed.is_some() && value == b"NULL";
        Field { bytes: if is_word { None } else { closed(value, is_null) } }
    }

    /// Past the end of the line; true if there was something before it.
    fn skip_line(&mut self) -> Result<bool, Short> {
        let format = self.format;
        let mut any = false;
        while let Some(byte) = self.peek()? {
            if format.escaped == Some(byte) {
                any = true;
                self.at += 1 + usize::from(self.peek_after()?.is_some());
                continue;
            }
            if self.takes(&format.lines_terminated)? {
                break;
            }
            any = true;
            self.at += 1;
        }
        self.line_ended = true;
        Ok(any)
    }

    /// A line of fields of fixed widths; the last ones may be short.
    fn fixed_line(&mut self, widths: &[usize]) -> Result<Option<Line>, Short> {
        if !self.find_start()? || self.peek()?.is_none() {
            return Ok(None);
        }
        let format = self.format;
        let mut line = Line::default();
        for width in widths {
            let mut value = Vec::with_capacity(*width);
            let (mut is_null, mut any) = (false, false);
            while value.len() < *width && !self.line_ended {
                let Some(byte) = self.peek()? else {
                    self.line_ended = true;
                    break;
                };
                if self.takes(&format.lines_terminated)? {
                    self.line_ended = true;
                    break;
                }
                any = true;
                match format.escaped == Some(byte) {
                    true => {
                        let next = self.peek_after()?;
                        is_null |= next == Some(b'N');
                        value.push(next.map_or(byte, |next| unescaped(next, true)));
                        self.at += 1 + usize::from(next.is_some());
                    }
                    false => {
                        value.push(byte);
                        self.at += 1;
                    }
                }
            }
            if !any {
                break;
            }
            line.fields.push(Field { bytes: closed(value, is_null) });
        }
        line.cut = !self.line_ended && !format.lines_terminated.is_empty() && self.skip_line()?;
        Ok(Some(line))
    }
}

/// `\N` alone is NULL.
fn closed(value: Vec<u8>, is_null: bool) -> Option<Vec<u8>> {
    if is_null && value == b"N" { None } else { Some(value) }
}

fn unescaped(byte: u8, all: bool) -> u8 {
    match byte {
        _ if !all => byte,
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'0' => 0,
        b'Z' => 26,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv() -> LoadFormat {
        LoadFormat { fields_terminated: b",".to_vec(), enclosed: Some(b'"'), ..LoadFormat::default() }
    }

    /// Rows as `a|b`, NULL as `~`, a cut line with `!` behind; whatever the pieces are that the file comes in.
    fn read(format: &LoadFormat, wanted: usize, widths: &[usize], ignored: u64, file: &str) -> String {
        let mut answers = Vec::new();
        for piece in [1, 2, 3, 7, file.len().max(1)] {
            let mut reader = Reader::new(format, wanted, widths.to_vec(), ignored);
            let mut pieces = file.as_bytes().chunks(piece);
            let mut lines = Vec::new();
            loop {
                match reader.next() {
                    Next::Row(line) => {
                        let field = |field: &Field| {
                            field.bytes.as_ref().map_or("~".into(), |bytes| String::from_utf8_lossy(bytes).into_owned())
                        };
                        let fields: Vec<String> = line.fields.iter().map(field).collect();
                        lines.push(fields.join("|") + if line.cut { "!" } else { "" });
                    }
                    Next::Wanted => match pieces.next() {
                        Some(bytes) => reader.feed(bytes),
                        None => reader.end(),
                    },
                    Next::End => break,
                }
            }
            answers.push(lines.join(";"));
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
        answers.pop().unwrap()
    }

    #[test]
    fn tabs_and_escapes_by_default() {
        let format = LoadFormat::default();
        assert_eq!(read(&format, 2, &[], 0, "1\ta\n2\t\\N\n3\tx\\ty\n4\t\\NN\n"), "1|a;2|~;3|x\ty;4|NN");
        assert_eq!(read(&format, 2, &[], 0, "1\n2\ta\tb\n\n3\tc"), "1;2|a!;;3|c");
        assert_eq!(read(&format, 2, &[], 1, "head\ters\n1\ta\n"), "1|a");
        assert_eq!(read(&format, 2, &[], 9, "head\ters\n1\ta\n"), "");
        assert_eq!(read(&format, 1, &[], 0, "a\\\nb\nNULL\n\\"), "a\nb;NULL;\\");
    }

    #[test]
    fn marks_around_fields() {
        assert_eq!(read(&csv(), 2, &[], 0, "1,\"a,b\"\n2,\"c\"\"d\"\n\"3\",e\n"), "1|a,b;2|c\"d;3|e");
        assert_eq!(read(&csv(), 2, &[], 0, "NULL,\"NULL\"\n1,\\N\n2,\"a\" b\n"), "~|NULL;1|~;2|\"a\" b\n");
        assert_eq!(read(&csv(), 2, &[], 0, "1,\"a\nb\"\n2,\"open\n"), "1|a\nb;2|\"open\n");
        let doubled = LoadFormat { escaped: Some(b'"'), ..csv() };
        assert_eq!(read(&doubled, 2, &[], 0, "1,\"a\"\"b\"\n2,\"c\\n\"\n"), "1|a\"b;2|c\\n");
    }

    #[test]
    fn separators_of_any_length() {
        let format = LoadFormat {
            fields_terminated: b"<>".to_vec(),
            lines_starting: b"xx".to_vec(),
            lines_terminated: b"\r\n".to_vec(),
            ..LoadFormat::default()
        };
        assert_eq!(read(&format, 2, &[], 0, "xx1<>a\r\nno\r\nyxx2<>b<\r\nxx3"), "1|a;2|b<;3");
        let same = LoadFormat { lines_terminated: b"\t".to_vec(), ..LoadFormat::default() };
        assert_eq!(read(&same, 2, &[], 0, "1\ta\t2\tb\t"), "1|a;2|b");
        let none = LoadFormat { lines_terminated: Vec::new(), ..LoadFormat::default() };
        assert_eq!(read(&none, 2, &[], 0, "1\ta\n\t2\tb"), "1|a\n;2|b");
    }

    #[test]
    fn fixed_widths() {
        let format = LoadFormat { fields_terminated: Vec::new(), ..LoadFormat::default() };
        assert_eq!(read(&format, 2, &[3, 2], 0, "abc12\nde f3x\na\n"), "abc|12;de |f3!;a");
    }
}
