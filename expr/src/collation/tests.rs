use super::*;
use proptest::prelude::*;
use std::hash::DefaultHasher;

fn id(name: &str) -> CollationId {
    collation_by_name(name).expect("known")
}

fn key(collation: CollationId, text: &str) -> Vec<u8> {
    let mut key = Vec::new();
    sort_key(collation, text, &mut key);
    key
}

#[test]
fn table_is_consistent() {
    assert_eq!(COLLATIONS[table::DEFAULT].id, CollationId::UTF8MB4_0900_AI_CI);
    for info in COLLATIONS {
        assert_eq!(info.id.info(), info);
        assert_eq!(id(info.name), info.id);
        assert!(info.name.starts_with(info.charset.name()), "{}", info.name);
    }
    for charset in Charset::ALL {
        assert_eq!(charset.default_collation().charset(), charset);
        assert_eq!(charset.binary_collation().charset(), charset);
        assert!(charset.default_collation().info().is_default);
    }
    assert_eq!(id("UTF8_General_CI"), CollationId::UTF8MB3_GENERAL_CI);
    assert_eq!(collation_by_name("klingon_ci").expect_err("unknown").code, ErrorCode::UNKNOWN_COLLATION);
}

#[test]
fn texts_compare_as_the_collation_says() {
    use Ordering::{Equal, Greater, Less};
    for (collation, left, right, order) in [
        ("utf8mb4_0900_ai_ci", "Résumé", "resume", Equal),
        ("utf8mb4_swedish_ci", "ö", "z", Greater),
        ("utf8mb4_0900_ai_ci", "ö", "z", Less),
        ("utf8mb4_sv_0900_ai_ci", "å", "a", Greater),
        ("utf8mb4_cs_0900_ai_ci", "chata", "hora", Greater),
        ("utf8mb4_de_pb_0900_ai_ci", "Mueller", "Müller", Equal),
        ("utf8mb4_tr_0900_ai_ci", "ı", "i", Less),
        ("utf8mb3_esperanto_ci", "ĉ", "d", Less),
        ("utf8mb4_es_trad_0900_ai_ci", "llama", "luz", Greater),
        ("utf8mb4_da_0900_as_cs", "aa", "z", Greater),
        ("utf8mb4_0900_ai_ci", "a", "a ", Less),
        ("utf8mb4_0900_ai_ci", "a", "B", Less),
        ("utf8mb4_0900_ai_ci", "straße", "strasse", Equal),
        ("utf8mb4_0900_ai_ci", "_", "a", Less),
        ("utf8mb4_0900_ai_ci", "10", "9", Less),
        ("utf8mb4_0900_as_ci", "Résumé", "résumé", Equal),
        ("utf8mb4_0900_as_ci", "resume", "résumé", Less),
        ("utf8mb4_0900_as_cs", "a", "A", Less),
        ("utf8mb4_0900_as_cs", "A", "b", Less),
        ("utf8mb4_0900_bin", "a", "a ", Less),
        ("utf8mb4_bin", "a", "a  ", Equal),
        ("utf8mb4_bin", "A", "a", Less),
        ("utf8mb4_general_ci", "Ärger", "arger", Equal),
        ("utf8mb4_general_ci", "ß", "s", Equal),
        ("utf8mb4_general_ci", "a", "a ", Equal),
        ("utf8mb4_general_ci", "😀", "😁", Equal),
        ("utf8mb4_unicode_ci", "ß", "ss", Equal),
        ("utf8mb4_unicode_ci", "a ", "A", Equal),
        ("latin1_swedish_ci", "å", "z", Greater),
        ("latin1_swedish_ci", "ü", "Y", Equal),
        ("latin1_swedish_ci", "é", "E", Equal),
        ("latin1_general_cs", "a", "A", Greater),
        ("latin1_general_cs", "a", "b", Less),
        ("ascii_general_ci", "abc", "ABC", Equal),
        ("binary", "a", "a ", Less),
    ] {
        let collation = id(collation);
        assert_eq!(compare(collation, left, right), order, "{} {left} {right}", collation.name());
        assert_eq!(key(collation, left).cmp(&key(collation, right)), order, "key {} {left} {right}", collation.name());
    }
    assert!(characters_equal(id("utf8mb4_0900_ai_ci"), 'É', 'e'));
    assert!(!characters_equal(id("utf8mb4_bin"), 'E', 'e'));
}

#[test]
fn character_sets_convert() {
    assert_eq!(&*Charset::Latin1.encode("a€é☃"), b"a\x80\xe9?");
    assert_eq!(Charset::Latin1.decode(b"a\x80\xe9").expect("any byte is latin1"), "a€é");
    assert_eq!(Charset::Ascii.decode(b"ab\xe9"), Err(2));
    assert_eq!(Charset::Utf8mb3.decode("a😀".as_bytes()), Err(1));
    assert_eq!(&*Charset::Utf8mb3.encode("a😀é"), "a?é".as_bytes());
    assert_eq!(Charset::Utf8mb4.decode(b"\xff"), Err(0));
    assert_eq!(Charset::by_name("UTF8"), Some(Charset::Utf8mb3));
    for (charset, bytes) in [
        (Charset::Ucs2, &b"\0a\x20\xac\0?"[..]),
        (Charset::Utf16, b"\0a\x20\xac\xd8\x3d\xde\x00"),
        (Charset::Utf16le, b"a\0\xac\x20\x3d\xd8\x00\xde"),
        (Charset::Utf32, b"\0\0\0a\0\0\x20\xac\0\x01\xf6\x00"),
    ] {
        assert_eq!(&*charset.encode("a€😀"), bytes, "{charset:?}");
        let back = if charset == Charset::Ucs2 { "a€?" } else { "a€😀" };
        assert_eq!(charset.decode(bytes).as_deref(), Ok(back));
        assert_eq!(charset.decode(b"").as_deref(), Ok(""));
    }
    // What is missing in front is zeros.
    assert_eq!(Charset::Utf16.decode(b"A").as_deref(), Ok("A"));
    assert_eq!(Charset::Utf32.decode(b"\x01\xf6\x00").as_deref(), Ok("😀"));
    // Half of a pair, and what is no character.
    assert_eq!(Charset::Utf16.decode(b"\0a\xd8\x3d\0b"), Err(2));
    assert_eq!(Charset::Ucs2.decode(b"\xd8\x3d\xde\x00"), Err(0));
    assert_eq!(Charset::Utf32.decode(b"\0\0\0a\0\x11\0\0"), Err(4));
    let every_byte: Vec<u8> = (0..=255).collect();
    let text = Charset::Latin1.decode(&every_byte).expect("any byte is latin1").into_owned();
    assert_eq!(&*Charset::Latin1.encode(&text), every_byte);
}

#[test]
fn types_agree_on_a_collation_or_not() {
    let text = |name: &str| MysqlType::varchar(10, id(name));
    let of = |left: &str, right: &str| comparison_collation(&text(left), &text(right)).map(CollationId::name);
    assert_eq!(of("utf8mb4_general_ci", "utf8mb4_0900_ai_ci"), Ok("utf8mb4_general_ci"));
    assert_eq!(of("latin1_swedish_ci", "utf8mb4_0900_ai_ci"), Ok("utf8mb4_0900_ai_ci"));
    assert_eq!(of("utf8mb4_bin", "utf8mb4_general_ci"), Ok("utf8mb4_bin"));
    assert_eq!(of("binary", "utf8mb4_general_ci"), Ok("binary"));
    let error = of("utf8mb4_unicode_ci", "utf8mb4_general_ci").expect_err("neither wins");
    assert_eq!(error.code, ErrorCode::CANT_AGGREGATE_2COLLATIONS);
    assert_eq!(
        aggregate(&[MysqlType::bigint(), text("latin1_bin"), text("latin1_general_ci")]).map(CollationId::name),
        Ok("latin1_bin")
    );
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~\\x00-\\x1f]{0,12}",
        "[abAB 1_]{0,5}",
        "[aAäÄåéßöüÿ ]{0,5}",
        "\\PC{0,8}",
        "[a-cΑ-Ωа-я一-三가-갛😀 \u{301}]{0,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn order_keys_equality_and_hash_agree(left in any_text(), right in any_text()) {
        for info in COLLATIONS {
            let order = compare(info.id, &left, &right);
            prop_assert_eq!(order, key(info.id, &left).cmp(&key(info.id, &right)), "{}", info.name);
            prop_assert_eq!(order.reverse(), compare(info.id, &right, &left), "{}", info.name);
            prop_assert_eq!(order.is_eq(), equal(info.id, &left, &right), "{}", info.name);
            if order.is_eq() {
                let hash_of = |text: &str| {
                    let mut hasher = DefaultHasher::new();
                    hash(info.id, text, &mut hasher);
                    hasher.finish()
                };
                prop_assert_eq!(hash_of(&left), hash_of(&right), "{}", info.name);
            }
        }
    }

    #[test]
    fn ascii_takes_the_short_way_to_the_same_key(text in "[\\x00-\\x7f]{0,20}") {
        let mut short = Vec::new();
        unicode::sort_key(unicode::Strength::Primary, unicode::Language::Root, &text, &mut short);
        // A character that does not count keeps the text from being ASCII.
        let mut long = Vec::new();
        unicode::sort_key(unicode::Strength::Primary, unicode::Language::Root, &format!("{text}\u{ad}"), &mut long);
        prop_assert_eq!(short, long);
    }

    /// Characters that contract, combine or do not count, behind letters and between them.
    #[test]
    fn texts_that_differ_early_compare_as_their_keys(
        left in "[aAblL0.\\-\u{0}\u{301}\u{b7}\u{387}\u{ad}\u{345}\u{fdd0}\u{e4}]{0,6}",
        right in "[aAblL0.\\-\u{0}\u{301}\u{b7}\u{387}\u{ad}\u{345}\u{fdd0}\u{e4}]{0,6}",
    ) {
        let key = |text: &str| {
            let mut key = Vec::new();
            unicode::sort_key(unicode::Strength::Primary, unicode::Language::Root, text, &mut key);
            key
        };
        let order = unicode::compare(unicode::Strength::Primary, unicode::Language::Root, &left, &right);
        prop_assert_eq!(order, key(&left).cmp(&key(&right)));
    }
}
