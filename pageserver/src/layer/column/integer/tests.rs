use super::*;
use proptest::prelude::*;

fn round_trip(values: &[u64], signed: bool) -> u8 {
    let mut encoded = Vec::new();
    encode(values, signed, &mut encoded);
    let kind = encoded[0];
    let column = IntegerColumn::parse(&encoded.into(), values.len()).unwrap();
    assert_eq!(column.decode(|value| value), values);
    check_parts(&column, values);
    let seek = column.seek();
    for (index, value) in values.iter().enumerate() {
        assert_eq!(column.get(index), *value);
        assert!(seek.as_ref().is_none_or(|seek| seek.get(index) == *value));
    }
    kind
}

/// Ranges, picked rows, and rows chosen by value, against the values themselves.
fn check_parts(column: &IntegerColumn, values: &[u64]) {
    let count = values.len();
    for range in [0..count, count / 3..count, 0..count / 2, count / 2..count / 2, count - 1..count] {
        let mut part = Vec::new();
        column.decode_range(range.clone(), &mut part, |value| value);
        column.decode_words(range.clone(), &mut part);
        assert_eq!(part, [&values[range.clone()]; 2].concat());
        let pivot = values[count / 2];
        let mut selected = Vec::new();
        column.select(range.clone(), &mut selected, |value| value <= pivot);
        let expected: Vec<u32> = range.filter(|row| values[*row] <= pivot).map(|row| row as u32).collect();
        assert_eq!(selected, expected);
    }
    for step in [1, 2, 40] {
        let rows: Vec<u32> = (0..count as u32).skip(1).step_by(step).collect();
        let mut picked = Vec::new();
        column.gather(&rows, &mut picked, |value| value);
        assert_eq!(picked, rows.iter().map(|row| values[*row as usize]).collect::<Vec<_>>());
    }
}

#[test]
fn each_shape_of_data_takes_the_encoding_made_for_it() {
    let scattered = |n: u64| xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes());
    assert_eq!(round_trip(&[7; 500], false), CONSTANT);
    assert_eq!(round_trip(&(0..500).map(scattered).collect::<Vec<_>>(), false), PLAIN);
    assert_eq!(round_trip(&(0..500).map(|n| scattered(n) >> 50).collect::<Vec<_>>(), false), PACKED);
    assert_eq!(round_trip(&(0..500).map(|n| n / 100 * 77).collect::<Vec<_>>(), false), RUNS);
    assert_eq!(round_trip(&(0..500).map(|n| scattered(n % 5)).collect::<Vec<_>>(), false), DICTIONARY);
    assert_eq!(round_trip(&(0..500).map(|n| n * 1_000_003).collect::<Vec<_>>(), false), DELTA);
    assert_eq!(round_trip(&(0..500).map(|n| n * 1_000_003 + n % 3).collect::<Vec<_>>(), false), DELTA);
    let signed = |n: u64| ((scattered(n) % 1000) as i64 - 500) as u64;
    assert_eq!(round_trip(&(0..500).map(signed).collect::<Vec<_>>(), true), PACKED);
}

proptest! {
    #[test]
    fn any_values_come_back(values in prop::collection::vec(any::<u64>(), 1..400), shift in 0u32..64, signed: bool) {
        let values: Vec<u64> = values.iter().map(|value| ((*value as i64) >> shift) as u64).collect();
        round_trip(&values, signed);
    }

    #[test]
    fn damaged_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 1..300), kind in 0u8..6, rows in 1usize..300) {
        bytes[0] = kind;
        if let Ok(column) = IntegerColumn::parse(&bytes.into(), rows) {
            prop_assert_eq!(column.decode(|value| value).len(), rows);
            column.select(0..rows, &mut Vec::new(), |value| value % 2 == 0);
            column.get(rows - 1);
        }
    }
}
