//! Which encoding a column of 64-bit values takes, and how it is written.

use super::{
    CONSTANT, DELTA, DICTIONARY, DICTIONARY_VALUES_MAX, FRAME_HEADER_BYTES, FRAME_ROWS, PACKED, PLAIN, RUNS, bits,
};
use std::collections::HashMap;

/// Appends `values` in the smallest encoding. `signed` says how their order is meant.
pub fn encode(values: &[u64], signed: bool, out: &mut Vec<u8>) {
    let plan = Plan::of(values, signed);
    match plan {
        Plan::Constant => {
            out.push(CONSTANT);
            out.extend(values.first().copied().unwrap_or(0).to_le_bytes());
        }
        Plan::Plain => {
            out.push(PLAIN);
            values.iter().for_each(|value| out.extend(value.to_le_bytes()));
        }
        Plan::Packed { base, width } => {
            out.push(PACKED);
            out.extend(base.to_le_bytes());
            out.push(width as u8);
            bits::pack(values.iter().map(|value| value.wrapping_sub(base)), values.len(), width, out);
        }
        Plan::Runs { runs } => {
            out.push(RUNS);
            out.extend((runs as u32).to_le_bytes());
            let last_of_run = |index: &usize| values.get(index + 1) != Some(&values[*index]);
            (0..values.len()).filter(last_of_run).for_each(|index| out.extend((index as u32 + 1).to_le_bytes()));
            (0..values.len()).filter(last_of_run).for_each(|index| out.extend(values[index].to_le_bytes()));
        }
        Plan::Dictionary { distinct } => {
            let codes: HashMap<u64, u64> = distinct.iter().zip(0..).map(|(value, code)| (*value, code)).collect();
            out.push(DICTIONARY);
            out.extend((distinct.len() as u16).to_le_bytes());
            distinct.iter().for_each(|value| out.extend(value.to_le_bytes()));
            let width = bits::width_for(distinct.len() as u64 - 1);
            out.push(width as u8);
            bits::pack(values.iter().map(|value| codes[value]), values.len(), width, out);
        }
        Plan::Delta => encode_delta(values, out),
    }
}

enum Plan {
    Constant,
    Plain,
    Packed { base: u64, width: u32 },
    Runs { runs: usize },
    Dictionary { distinct: Vec<u64> },
    Delta,
}

impl Plan {
    fn of(values: &[u64], signed: bool) -> Plan {
        let Some(first) = values.first() else { return Plan::Constant };
        let bias = if signed { 1 << 63 } else { 0 };
        let (mut low, mut high, mut runs) = (first ^ bias, first ^ bias, 1usize);
        for pair in values.windows(2) {
            low = low.min(pair[1] ^ bias);
            high = high.max(pair[1] ^ bias);
            runs += usize::from(pair[0] != pair[1]);
        }
        if low == high {
            return Plan::Constant;
        }
        let width = bits::width_for(high - low);
        let (mut best, mut bytes) = if width <= bits::WIDTH_BITS_MAX {
            (Plan::Packed { base: low ^ bias, width }, bits::packed_bytes(values.len(), width))
        } else {
            (Plan::Plain, values.len() * 8)
        };
        // Another encoding has to save an eighth: packed values are the fastest to seek.
        let mut offer = |plan: Plan, plan_bytes: usize| {
            if plan_bytes + plan_bytes / 8 < bytes {
                (best, bytes) = (plan, plan_bytes);
            }
        };
        offer(Plan::Runs { runs }, 4 + runs * 12);
        if width > 8
            && let Some(distinct) = distinct_values(values)
        {
            let code_width = bits::width_for(distinct.len() as u64 - 1);
            let size = 3 + distinct.len() * 8 + bits::packed_bytes(values.len(), code_width);
            offer(Plan::Dictionary { distinct }, size);
        }
        if width > 8 {
            // A seek into uneven deltas walks half a frame: they have to save a lot.
            let (size, even) = delta_bytes(values);
            offer(Plan::Delta, if even { size } else { size * 4 });
        }
        best
    }
}

/// The distinct values in order of appearance; `None` if there are too many.
fn distinct_values(values: &[u64]) -> Option<Vec<u64>> {
    let mut seen = HashMap::new();
    let mut distinct = Vec::new();
    for value in values {
        if seen.insert(*value, ()).is_none() {
            distinct.push(*value);
            if distinct.len() > DICTIONARY_VALUES_MAX {
                return None;
            }
        }
    }
    Some(distinct)
}

/// Smallest step of a frame, and the width of what the steps are above it: 0 where all are equal. Steps are signed.
fn frame_steps(frame: &[u64]) -> (u64, u32) {
    let steps = || frame.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]) as i64);
    let (low, high) = (steps().min().unwrap_or(0), steps().max().unwrap_or(0));
    if low == high {
        return (low as u64, 0);
    }
    (low as u64, bits::width_for((high as u64).wrapping_sub(low as u64)))
}

/// Size of the delta encoding, and whether all frames are arithmetic sequences.
fn delta_bytes(values: &[u64]) -> (usize, bool) {
    let (mut total, mut even) = (0, true);
    for frame in values.chunks(FRAME_ROWS) {
        let (_, width) = frame_steps(frame);
        if width > bits::WIDTH_BITS_MAX {
            // Too wide for this encoding: never the smallest.
            return (values.len() * 16, false);
        }
        even &= width == 0;
        total += FRAME_HEADER_BYTES + if width == 0 { 0 } else { bits::packed_bytes(frame.len() - 1, width) };
    }
    (total, even)
}

fn encode_delta(values: &[u64], out: &mut Vec<u8>) {
    out.push(DELTA);
    let mut packed = Vec::new();
    for frame in values.chunks(FRAME_ROWS) {
        let (step_min, width) = frame_steps(frame);
        out.extend(frame[0].to_le_bytes());
        out.extend(step_min.to_le_bytes());
        out.push(width as u8);
        out.extend((packed.len() as u32).to_le_bytes());
        if width > 0 {
            let steps = frame.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]).wrapping_sub(step_min));
            bits::pack(steps, frame.len() - 1, width, &mut packed);
        }
    }
    out.extend(packed);
}
