use super::*;
use proptest::prelude::*;
use std::hash::DefaultHasher;

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).unwrap_or_else(|| panic!("{text} is a decimal"))
}

#[test]
fn text_round_trips_with_its_scale() {
    for text in ["0", "-1", "1.50", "0.001", "-0.10", "123456789012345678901234567890.123456789", "0.00"] {
        assert_eq!(decimal(text).to_string(), text);
    }
    for (text, shown) in [
        ("+1.5e3", "1500"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1.25e-3", "0.00125"),
        ("  7", "7"),
        ("1e-40", "0.000000000000000000000000000000"),
        ("0.00000000000000000000000000000051", "0.000000000000000000000000000001"),
    ] {
        assert_eq!(decimal(text).to_string(), shown, "{text}");
    }
    for text in ["", "-", ".", "abc", "1x", "1e", "1e99", "--1"] {
        assert!(Decimal::parse(text).is_none(), "{text}");
    }
    assert_eq!(Decimal::parse_prefix(b"12.5abc").consumed, 4);
    assert!(Decimal::parse_prefix(b"1e70").overflow);
}

#[test]
fn division_computes_groups_of_nine_digits() {
    let third = decimal("1").divide(&decimal("3"), 4).expect("not zero");
    assert_eq!(third.to_string(), "0.333333333");
    assert_eq!(third.multiply(&decimal("3")).expect("small").round(4).to_string(), "1.0000");
    assert!(decimal("1").divide(&Decimal::ZERO, 4).is_none());
    assert_eq!(decimal("7.5").divide_whole(&decimal("-2")).expect("small").to_string(), "-3");
}

#[test]
fn rounding_goes_half_away_from_zero() {
    for (number, scale, rounded, truncated) in [
        ("2.5", 0, "3", "2"),
        ("-2.5", 0, "-3", "-2"),
        ("1.2349", 2, "1.23", "1.23"),
        ("1.235", 2, "1.24", "1.23"),
        ("155", -1, "160", "150"),
        ("-155", -2, "-200", "-100"),
        ("5", -3, "0", "0"),
        ("1.5", 3, "1.500", "1.500"),
    ] {
        assert_eq!(decimal(number).round(scale).to_string(), rounded, "round({number}, {scale})");
        assert_eq!(decimal(number).truncate(scale).to_string(), truncated, "truncate({number}, {scale})");
    }
    assert_eq!(decimal("-1.5").floor().to_string(), "-2");
    assert_eq!(decimal("-1.5").ceiling().to_string(), "-1");
    assert_eq!(decimal("2.0").ceiling().to_string(), "2");
}

#[test]
fn digits_after_the_point_give_way_before_the_result_overflows() {
    let large = Decimal::largest(65, 0);
    assert!(large.add(&decimal("1")).is_none());
    assert!(large.multiply(&decimal("2")).is_none());
    let mixed = decimal("1e50").add(&decimal("0.123456789012345678901234567890")).expect("fits when rounded");
    assert_eq!(mixed.scale(), 14);
    let product = decimal("1e40").multiply(&decimal("1e-30")).expect("fits");
    assert_eq!(product, decimal("1e10"));
    let wide = Decimal::largest(65, 30).multiply(&Decimal::largest(60, 30)).expect("65 digits before the point");
    assert_eq!(wide.whole_digits(), 65);
}

#[test]
fn numbers_convert_to_binary_types_rounded_or_not_at_all() {
    assert_eq!(decimal("9223372036854775807.4").to_i64(), Some(i64::MAX));
    assert_eq!(decimal("9223372036854775807.5").to_i64(), None);
    assert_eq!(decimal("-0.4").to_u64(), Some(0));
    assert_eq!(decimal("-0.5").to_u64(), None);
    assert_eq!(Decimal::from_f64(0.1).to_string(), "0.1");
    assert_eq!(Decimal::from_f64(-1e20).to_string(), "-100000000000000000000");
    assert!(decimal("999.994").fits(5, 2) && !decimal("999.995").fits(5, 2));
}

fn hash(number: &Decimal) -> u64 {
    let mut hasher = DefaultHasher::new();
    number.hash(&mut hasher);
    hasher.finish()
}

fn any_decimal() -> impl Strategy<Value = Decimal> {
    (any::<i128>(), 0u8..=30, 0u32..120)
        .prop_map(|(mantissa, scale, shift)| Decimal::new(I256::from(mantissa >> shift), scale))
}

proptest! {
    #[test]
    fn parsing_what_is_shown_gives_the_number(number in any_decimal()) {
        let back = decimal(&number.to_string());
        prop_assert_eq!(back.mantissa(), number.mantissa());
        prop_assert_eq!(back.scale(), number.scale());
    }

    #[test]
    fn order_agrees_with_the_difference_and_hash_with_equality(a in any_decimal(), b in any_decimal()) {
        let difference = a.subtract(&b).expect("39 digits before the point");
        if difference.scale() == a.scale().max(b.scale()) {
            prop_assert_eq!(a.cmp(&b), difference.mantissa().cmp(&I256::ZERO));
        }
        let longer = a.round(30);
        prop_assert_eq!(longer, a);
        prop_assert_eq!(hash(&longer), hash(&a));
    }

    #[test]
    fn quotient_and_remainder_give_the_dividend(a in any_decimal(), b in any_decimal()) {
        prop_assume!(!b.is_zero());
        let remainder = a.remainder(&b).expect("divisor is not zero");
        prop_assert!(remainder.absolute() < b.absolute());
        if let Some(quotient) = a.divide_whole(&b)
            && let Some(product) = quotient.multiply(&b)
            && let Some(sum) = product.add(&remainder)
            && sum.scale() == a.scale().max(b.scale())
        {
            prop_assert_eq!(sum, a);
        }
    }

    #[test]
    fn wide_product_agrees_with_the_plain_one(a in any::<i64>(), b in any::<i64>(), scale in 0u8..15) {
        let (a, b) = (Decimal::new(I256::from(a), scale), Decimal::new(I256::from(b), scale));
        prop_assert_eq!(wide::multiply(&a, &b), a.multiply(&b));
    }

    #[test]
    fn any_text_parses_or_not_without_a_panic(text in "[-+ .0-9eEx]{0,90}") {
        let parsed = Decimal::parse_prefix(text.as_bytes());
        prop_assert!(parsed.consumed <= text.len());
        prop_assert!(parsed.number.digits() <= 65);
    }
}
