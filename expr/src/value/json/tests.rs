use super::*;
use crate::value::json::path::JsonPath;
use proptest::prelude::*;
use std::hash::{DefaultHasher, Hash, Hasher};

fn json(text: &str) -> Json {
    Json::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

#[test]
fn text_form_is_mysqls() {
    for (text, shown) in [
        (r#"{"bb":1,"a":[1,2,{"x":null}],"c":true}"#, r#"{"a": [1, 2, {"x": null}], "c": true, "bb": 1}"#),
        (r#"{"a":1,"a":2}"#, r#"{"a": 2}"#),
        ("1.50", "1.5"),
        ("1.0", "1.0"),
        ("1e2", "100.0"),
        ("1e20", "1e20"),
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551616", "1.8446744073709552e19"),
        ("-0", "0"),
        (r#""a\u0041\n\"\/""#, r#""aA\n\"/""#),
        ("[]", "[]"),
        ("{}", "{}"),
    ] {
        assert_eq!(json(text).to_string(), shown, "{text}");
    }
}

#[test]
fn errors_say_what_and_where() {
    for (text, message) in [
        ("", "\"The document is empty.\" at position 0"),
        ("abc", "\"Invalid value.\" at position 0"),
        ("{\"a\" 1}", "\"Missing a colon after a name of object member.\" at position 5"),
        ("[1 2]", "\"Missing a comma or ] after an array element.\" at position 3"),
        ("[1] x", "\"The document root must not be followed by other values.\" at position 4"),
        ("{a:1}", "\"Missing a name for object member.\" at position 1"),
    ] {
        let error = Json::parse(text).expect_err(text).in_column("j");
        assert_eq!(error.message, format!("Invalid JSON text: {message} in value for column 'j'."), "{text}");
        assert_eq!(error.code, crate::ErrorCode::INVALID_JSON_TEXT);
    }
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(Json::parse(&deep(100)).is_ok());
    assert!(Json::parse(&deep(101)).expect_err("too deep").too_deep);
    assert!(Json::parse(&deep(1000)).expect_err("too deep").too_deep);
}

#[test]
fn kinds_and_numbers_are_ordered() {
    let ascending = [
        "null",
        "-1",
        "0.5",
        "1",
        "1.5",
        "2",
        "1e30",
        "\"A\"",
        "\"a\"",
        "\"aa\"",
        "{}",
        "{\"a\": 1}",
        "{\"a\": 2}",
        "{\"b\": 1}",
        "[]",
        "[1]",
        "[1, 2]",
        "[2]",
        "false",
        "true",
    ];
    for (left_index, left) in ascending.iter().enumerate() {
        for (right_index, right) in ascending.iter().enumerate() {
            assert_eq!(json(left).cmp(&json(right)), left_index.cmp(&right_index), "{left} and {right}");
        }
    }
    assert_eq!(json("1"), json("1.0"));
    assert_ne!(json("9007199254740993"), json("9007199254740992"));
}

#[test]
fn paths_find_values() {
    let document = json(r#"{"a": [1, {"b": 2, "c d": 3}, [4, 5]], "x": {"b": 6}, "s": "t"}"#);
    for (path, found) in [
        ("$", vec![document.to_string()]),
        ("$.a[0]", vec!["1".into()]),
        ("$.a[1].b", vec!["2".into()]),
        ("$.a[1].\"c d\"", vec!["3".into()]),
        ("$.a[last][last-1]", vec!["4".into()]),
        ("$.a[1 to 2]", vec![r#"{"b": 2, "c d": 3}"#.into(), "[4, 5]".into()]),
        ("$.x.*", vec!["6".into()]),
        ("$**.b", vec!["2".into(), "6".into()]),
        ("$.a[2][*]", vec!["4".into(), "5".into()]),
        ("$.s[0]", vec!["\"t\"".into()]),
        ("$.s[1]", vec![]),
        ("$.missing", vec![]),
        (" $ . a [ 0 ] ", vec!["1".into()]),
    ] {
        let parsed = JsonPath::parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let values: Vec<String> =
            parsed.find(&document.0).into_iter().map(|node| Json::new(node.clone()).to_string()).collect();
        assert_eq!(values, found, "{path}");
    }
    for path in ["", "a", "$.", "$[", "$[a]", "$**", "$.1a", "$[2 to 1]", "$.a-b", "$x", "$[99999999999]"] {
        let error = JsonPath::parse(path).expect_err(path);
        assert_eq!(error.code, crate::ErrorCode::INVALID_JSON_PATH, "{path}");
    }
}

fn any_node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        Just(Node::Null),
        any::<bool>().prop_map(Node::Bool),
        any::<i64>().prop_map(Node::from),
        (-5i64..5).prop_map(Node::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(double_node),
        (-50i64..50).prop_map(|tenths| double_node(tenths as f64 / 10.0)),
        "[a-c]{0,3}".prop_map(Node::String),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Node::Array),
            prop::collection::vec(("[a-c]{1,2}", inner), 0..4)
                .prop_map(|members| Node::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn shown_documents_parse_back(node in any_node()) {
        let document = Json::new(node);
        prop_assert_eq!(json(&document.to_string()).to_string(), document.to_string());
    }

    #[test]
    fn order_is_total_and_hash_agrees(a in any_node(), b in any_node(), c in any_node()) {
        let (a, b, c) = (Json::new(a), Json::new(b), Json::new(c));
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
        if a == b {
            let hash = |document: &Json| {
                let mut hasher = DefaultHasher::new();
                document.hash(&mut hasher);
                hasher.finish()
            };
            prop_assert_eq!(hash(&a), hash(&b));
        }
    }

    #[test]
    fn any_text_is_a_document_or_an_error(text in "[\\[\\]{}\",:0-9a-eé .$*]{0,30}") {
        let _ = Json::parse(&text);
        let _ = JsonPath::parse(&text);
    }
}
