//! The character sets of a client: what its statements are written in, and what it reads results in. Inside, text is UTF-8.
//! Manual: "Connection Character Sets and Collations" (12.4).

use crate::sql::text_bytes;
use expr::collation::{Charset, CollationId};
use expr::mysql_type::MysqlType;
use mysql_common::io::BufMutExt;
use std::borrow::Cow;

/// How results travel: `character_set_results`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Results {
    /// None: every column in the character set that it has (NULL, and `binary`).
    pub collation: Option<CollationId>,
}

impl Results {
    /// Of a column of this type.
    pub fn collation_of(self, ty: &MysqlType) -> CollationId {
        if ty.is_text() { self.collation.unwrap_or(ty.collation) } else { CollationId::BINARY }
    }

    /// Of names and messages.
    pub fn charset(self) -> Charset {
        self.collation.map_or(Charset::Utf8mb4, CollationId::charset)
    }

    /// Writes a value's text with its length; `?` stands for what the character set has not.
    pub fn put(self, text: &str, ty: &MysqlType, out: &mut Vec<u8>) {
        out.put_lenenc_str(&self.collation.unwrap_or(ty.collation).charset().encode(text));
    }
}

/// A statement as text, from what the client calls its character set. Bytes that are no text in it (binary strings in
/// literals) are carried through.
pub fn statement(bytes: &[u8], client: Charset) -> Cow<'_, str> {
    match client.is_utf8() || client == Charset::Binary {
        false => client.decode(bytes).unwrap_or_else(|_| text_bytes::to_text(bytes)),
        true => text_bytes::to_text(bytes),
    }
}

/// A string parameter as text; `None` if it is none.
pub fn parameter(bytes: &[u8], client: Charset) -> Option<Cow<'_, str>> {
    match client.is_utf8() || client == Charset::Binary {
        false => client.decode(bytes).ok(),
        true => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expr::mysql_type::TypeKind;

    #[test]
    fn text_goes_out_in_the_clients_character_set() {
        let latin1 = CollationId(8);
        let ty = MysqlType::text(TypeKind::VarChar { length: 9 }, CollationId::UTF8MB4_0900_AI_CI);
        let put = |collation: Option<CollationId>, ty: &MysqlType| {
            let mut out = Vec::new();
            Results { collation }.put("größe €Ω", ty, &mut out);
            out
        };
        assert_eq!(put(Some(latin1), &ty), b"\x08gr\xf6\xdfe \x80?");
        assert_eq!(put(None, &ty), ["\u{d}".as_bytes(), "größe €Ω".as_bytes()].concat());
        let column = MysqlType::text(TypeKind::VarChar { length: 9 }, latin1);
        assert_eq!(put(None, &column), b"\x08gr\xf6\xdfe \x80?");
    }

    #[test]
    fn statements_are_read_in_the_clients_character_set() {
        assert_eq!(statement(b"SELECT 'gr\xf6\xdfe'", Charset::Latin1), "SELECT 'größe'");
        assert_eq!(statement("SELECT 'größe'".as_bytes(), Charset::Utf8mb4), "SELECT 'größe'");
        // The second byte of 誠 is a backslash.
        assert_eq!(statement(b"SELECT '\xd5\x5c'", Charset::Gbk), "SELECT '誠'");
        // Not UTF-8: carried.
        assert_ne!(statement(b"SELECT '\xf6'", Charset::Utf8mb4), "SELECT 'ö'");
    }
}
