//! The dialect through which sqlparser reads MySQL's expressions: prefixes, operators and their precedence are ours,
//! since its own differ from MySQL's grammar in many places. Manual: "Operator Precedence" (14.4.1).
//!
//! Comparisons bind looser than IN, BETWEEN, LIKE, REGEXP, as in MySQL's grammar (its manual shows one level).

use crate::sql::parse::VARIABLE_QUOTE;
use crate::sql::parse::reserved::is_reserved;
use crate::sql::parse::words::Words;
use crate::sql::parse::{infix, prefix};
use expr::eval::SqlMode;
use sqlparser::ast::Expr;
use sqlparser::dialect::{Dialect, MySqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;
use std::any::TypeId;

#[derive(Debug)]
pub struct MysqlText {
    pub sql_mode: SqlMode,
}

pub const OR: u8 = 10;
pub const XOR: u8 = 20;
pub const AND: u8 = 30;
pub const NOT: u8 = 40;
pub const COMPARISON: u8 = 50;
pub const PREDICATE: u8 = 60;
pub const BIT_OR: u8 = 70;
pub const BIT_AND: u8 = 80;
pub const SHIFT: u8 = 90;
pub const ADD: u8 = 100;
pub const MULTIPLY: u8 = 110;
pub const BIT_XOR: u8 = 120;
pub const CONCAT: u8 = 125;
pub const UNARY: u8 = 130;
pub const BANG: u8 = 140;
pub const COLLATE: u8 = 150;
pub const ARROW: u8 = 160;

impl MysqlText {
    fn precedence(&self, parser: &Parser<'_>) -> u8 {
        match &parser.peek_token_ref().token {
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::OR => OR,
                Keyword::XOR => XOR,
                Keyword::AND => AND,
                Keyword::IS => COMPARISON,
                Keyword::IN | Keyword::BETWEEN | Keyword::LIKE | Keyword::REGEXP | Keyword::RLIKE => PREDICATE,
                Keyword::NOT if ["in", "between", "like", "regexp", "rlike"].iter().any(|w| parser.nth_is(1, w)) => {
                    PREDICATE
                }
                Keyword::COLLATE => COLLATE,
                Keyword::DIV => MULTIPLY,
                _ if word.value.eq_ignore_ascii_case("mod") => MULTIPLY,
                _ if word.value.eq_ignore_ascii_case("sounds") && parser.nth_is(1, "like") => PREDICATE,
                _ if word.value.eq_ignore_ascii_case("member")
                    && (parser.nth_is(1, "of") || parser.peek_nth_token_ref(1).token == Token::LParen) =>
                {
                    PREDICATE
                }
                _ => 0,
            },
            Token::StringConcat if self.sql_mode.has(SqlMode::PIPES_AS_CONCAT) => CONCAT,
            Token::StringConcat => OR,
            Token::Overlap => AND,
            Token::Eq | Token::Spaceship | Token::Neq | Token::Lt | Token::LtEq | Token::Gt | Token::GtEq => COMPARISON,
            Token::Pipe => BIT_OR,
            Token::Ampersand => BIT_AND,
            Token::ShiftLeft | Token::ShiftRight => SHIFT,
            Token::Plus | Token::Minus => ADD,
            Token::Mul | Token::Div | Token::Mod => MULTIPLY,
            Token::Caret => BIT_XOR,
            Token::Arrow | Token::LongArrow => ARROW,
            _ => 0,
        }
    }

    /// An alias may be any word that is not reserved.
    fn is_alias(parser: &Parser<'_>) -> bool {
        match &parser.get_current_token().token {
            Token::Word(word) => match word.quote_style {
                Some(VARIABLE_QUOTE) => false,
                Some(_) => true,
                None => !is_reserved(&word.value),
            },
            _ => false,
        }
    }
}

macro_rules! answers {
    ($($question:ident = $answer:literal,)*) => {
        $(fn $question(&self) -> bool {
            $answer
        })*
    };
}

impl Dialect for MysqlText {
    fn dialect(&self) -> TypeId {
        TypeId::of::<MySqlDialect>()
    }

    fn is_identifier_start(&self, character: char) -> bool {
        character.is_alphabetic() || character == '_' || character == '$' || !character.is_ascii()
    }

    fn is_identifier_part(&self, character: char) -> bool {
        self.is_identifier_start(character) || character.is_ascii_digit()
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        Some(prefix::parse(parser))
    }

    fn parse_infix(&self, parser: &mut Parser<'_>, left: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        // sqlparser's own code moves the left operand; a copy for each of a long chain would take quadratic time.
        if infix::is_plain(parser) {
            return None;
        }
        Some(infix::parse(parser, left.clone(), precedence, self.sql_mode))
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        Some(Ok(self.precedence(parser)))
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        match precedence {
            Precedence::Or => OR,
            Precedence::And => AND,
            Precedence::Xor => XOR,
            Precedence::UnaryNot => NOT,
            Precedence::Eq | Precedence::Is => COMPARISON,
            Precedence::Like | Precedence::Between => PREDICATE,
            Precedence::PlusMinus => ADD,
            Precedence::MulDivModOp => MULTIPLY,
            _ => UNARY,
        }
    }

    fn is_select_item_alias(&self, _explicit: bool, _keyword: &Keyword, parser: &mut Parser<'_>) -> bool {
        Self::is_alias(parser)
    }

    fn is_column_alias(&self, _keyword: &Keyword, parser: &mut Parser<'_>) -> bool {
        Self::is_alias(parser)
    }

    fn is_table_factor_alias(&self, _explicit: bool, _keyword: &Keyword, parser: &mut Parser<'_>) -> bool {
        Self::is_alias(parser)
    }

    fn is_table_alias(&self, _keyword: &Keyword, parser: &mut Parser<'_>) -> bool {
        Self::is_alias(parser)
    }

    answers! {
        supports_string_literal_backslash_escape = true,
        supports_numeric_prefix = true,
        supports_limit_comma = true,
        supports_table_hints = true,
        supports_select_modifiers = true,
        supports_cross_join_constraint = true,
        supports_group_by_with_modifier = true,
        supports_left_associative_joins_without_parens = false,
        supports_parens_around_table_factor = true,
        supports_window_clause_named_window_reference = false,
        supports_update_order_by = true,
        supports_bitwise_shift_operators = true,
        supports_double_ampersand_operator = true,
        supports_comment_optimizer_hint = false,
    }
}
