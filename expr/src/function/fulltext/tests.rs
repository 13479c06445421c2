use super::*;

fn found(pattern: &str, boolean: bool, text: &str) -> bool {
    let query = parsed(pattern, boolean).unwrap();
    let document = Document::of([text].into_iter());
    query.relevance(&document, &|left, right| left.eq_ignore_ascii_case(right)).is_some()
}

#[test]
fn natural_language_finds_any_word() {
    let text = "The quick brown fox, isn't it? www.example.com";
    for pattern in ["quick", "FOX", "lazy brown", "isn", "example"] {
        assert!(found(pattern, false, text), "{pattern}");
    }
    for pattern in ["", "the", "it", "lazy", "fo", "com www"] {
        assert!(!found(pattern, false, text), "{pattern}");
    }
}

#[test]
fn boolean_operators_mean_what_the_manual_says() {
    let text = "apple banana cherry";
    for pattern in [
        "apple plum",
        "+apple +banana",
        "+apple -plum",
        "+apple ~banana",
        "ban*",
        "\"apple banana\"",
        "+apple +(>plum <cherry)",
        "\"cherry apple\"@3",
        "+the +apple",
        "-plum apple",
    ] {
        assert!(found(pattern, true, text), "{pattern}");
    }
    for pattern in [
        "plum",
        "+apple +plum",
        "+apple -banana",
        "\"banana apple\"",
        "\"cherry apple\"@2",
        "-plum",
        "app",
        "+apple +(plum date)",
    ] {
        assert!(!found(pattern, true, text), "{pattern}");
    }
}

#[test]
fn what_is_no_query_is_refused() {
    let deep = "(".repeat(100_000);
    for pattern in ["++apple", "+-apple", "\"apple", "(apple", "apple)", "\"apple\"@x", &deep] {
        assert!(Query::boolean(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn more_often_is_more_relevant() {
    let query = parsed("apple", false).unwrap();
    let of = |text: &str| {
        query.relevance(&Document::of([text].into_iter()), &|left, right| left == right).unwrap_or_default()
    };
    assert!(of("apple apple") > of("apple pie"));
}
