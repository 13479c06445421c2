//! Checks histories of transactions that append to lists and read them: what each level forbids, found as cycles.
//!
//! Every appended value is used once, so that a list tells who wrote it and in which order: from there come the edges
//! "wrote the version after" (ww), "read what that one wrote" (wr) and "read what was before that one's write" (rw).
//! After Adya's thesis: G0 is a cycle of ww; G1a a read of what was rolled back, G1b of what was not yet complete, G1c a
//! cycle of ww and wr; G-single a cycle with one rw, G2 with more.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

pub type Key = u32;
pub type ListValue = u64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Append(Key, ListValue),
    Read(Key, Vec<ListValue>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    RolledBack,
    /// The answer to COMMIT was lost; see [`settle_unknown`].
    Unknown,
}

#[derive(Debug, Clone)]
pub struct Transaction {
    pub outcome: Outcome,
    pub operations: Vec<Operation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Anomaly {
    /// Lists of one key that are not one the beginning of the other, or hold a value twice.
    Incompatible,
    /// A committed append that is in no list.
    Lost,
    G0,
    G1a,
    G1b,
    G1c,
    GSingle,
    G2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Edge {
    Ww,
    Wr,
    Rw,
}

type Graph = Vec<BTreeSet<(usize, Edge)>>;

/// A transaction whose answer was lost was committed if anything of it is there at the end. One that wrote nothing has left
/// nothing to tell, and counts as rolled back.
pub fn settle_unknown(transactions: &mut [Transaction], last: &BTreeMap<Key, Vec<ListValue>>) {
    let lists: HashMap<Key, HashSet<ListValue>> =
        last.iter().map(|(key, list)| (*key, list.iter().copied().collect())).collect();
    for transaction in transactions.iter_mut().filter(|transaction| transaction.outcome == Outcome::Unknown) {
        let is_there = transaction.operations.iter().any(|operation| match operation {
            Operation::Append(key, value) => lists.get(key).is_some_and(|list| list.contains(value)),
            Operation::Read(..) => false,
        });
        transaction.outcome = if is_there { Outcome::Committed } else { Outcome::RolledBack };
    }
}

/// What is wrong with a history, each kind once with an example. The last lists of all keys are read at the end, when
/// nothing runs any more.
pub fn check(transactions: &[Transaction], last: &BTreeMap<Key, Vec<ListValue>>) -> BTreeMap<Anomaly, String> {
    let mut found = BTreeMap::new();
    let mut note = |anomaly: Anomaly, text: String| {
        found.entry(anomaly).or_insert(text);
    };
    let mut writer: HashMap<(Key, ListValue), usize> = HashMap::new();
    for (number, transaction) in transactions.iter().enumerate() {
        for operation in &transaction.operations {
            if let Operation::Append(key, value) = operation {
                writer.insert((*key, *value), number);
            }
        }
    }
    for (key, list) in last {
        let distinct: HashSet<_> = list.iter().collect();
        if distinct.len() != list.len() {
            note(Anomaly::Incompatible, format!("list {key} holds a value twice: {list:?}"));
        }
    }
    let lasts = |key: Key| last.get(&key).map_or(&[][..], Vec::as_slice);
    for (number, transaction) in transactions.iter().enumerate() {
        let committed = transaction.outcome == Outcome::Committed;
        for operation in &transaction.operations {
            match operation {
                Operation::Append(key, value) => {
                    let there = lasts(*key).contains(value);
                    if committed && !there {
                        note(Anomaly::Lost, format!("transaction {number} appended {value} to {key}, which is gone"));
                    }
                    if !committed && there {
                        note(Anomaly::G1a, format!("{value} in list {key} was rolled back by transaction {number}"));
                    }
                }
                Operation::Read(key, list) => {
                    // Own appends are at the end, and no others come after them before the commit.
                    let own = list.iter().position(|value| writer.get(&(*key, *value)) == Some(&number));
                    let others = &list[..own.unwrap_or(list.len())];
                    for value in others {
                        match writer.get(&(*key, *value)) {
                            Some(other) if transactions[*other].outcome == Outcome::RolledBack => {
                                let text =
                                    format!("transaction {number} read {value} of {key}, rolled back by {other}");
                                note(Anomaly::G1a, text);
                            }
                            Some(_) => {}
                            None => note(Anomaly::Incompatible, format!("nobody appended {value} to {key}")),
                        }
                    }
                    if let Some(value) = others.last()
                        && let Some(other) = writer.get(&(*key, *value))
                        && final_append(&transactions[*other], *key) != Some(*value)
                    {
                        let text = format!("transaction {number} read {key} up to {value}, in the middle of {other}");
                        note(Anomaly::G1b, text);
                    }
                    if committed && !lasts(*key).starts_with(others) {
                        let text = format!("transaction {number} read {list:?} of {key}, at last {:?}", lasts(*key));
                        note(Anomaly::Incompatible, text);
                    }
                }
            }
        }
    }
    let graph = edges(transactions, last, &writer);
    let only = |kinds: &[Edge]| -> Vec<Vec<usize>> {
        let kept = |edges: &BTreeSet<(usize, Edge)>| {
            edges.iter().filter(|(_, kind)| kinds.contains(kind)).map(|(to, _)| *to).collect()
        };
        graph.iter().map(kept).collect()
    };
    let ww = only(&[Edge::Ww]);
    if let Some(cycle) = find_cycle(&ww) {
        note(Anomaly::G0, format!("{cycle:?}"));
    }
    let dependencies = only(&[Edge::Ww, Edge::Wr]);
    if let Some(cycle) = find_cycle(&dependencies)
        && find_cycle(&ww).is_none()
    {
        note(Anomaly::G1c, format!("{cycle:?}"));
    }
    let mut single = false;
    for (from, edges) in graph.iter().enumerate() {
        for (to, kind) in edges {
            if *kind == Edge::Rw && reaches(&dependencies, *to, from) {
                single = true;
                note(Anomaly::GSingle, format!("{from} -rw-> {to} -> ... -> {from}"));
            }
        }
    }
    if !single
        && find_cycle(&dependencies).is_none()
        && let Some(cycle) = find_cycle(&only(&[Edge::Ww, Edge::Wr, Edge::Rw]))
    {
        note(Anomaly::G2, format!("{cycle:?}"));
    }
    found
}

fn final_append(transaction: &Transaction, key: Key) -> Option<ListValue> {
    transaction.operations.iter().rev().find_map(|operation| match operation {
        Operation::Append(of, value) if *of == key => Some(*value),
        _ => None,
    })
}

/// Between committed transactions, by number.
fn edges(
    transactions: &[Transaction],
    last: &BTreeMap<Key, Vec<ListValue>>,
    writer: &HashMap<(Key, ListValue), usize>,
) -> Graph {
    let mut graph: Graph = vec![BTreeSet::new(); transactions.len()];
    let mut add = |from: usize, to: usize, kind: Edge| {
        if from != to {
            graph[from].insert((to, kind));
        }
    };
    let who = |key: Key, value: ListValue| writer.get(&(key, value)).copied();
    for (key, list) in last {
        for pair in list.windows(2) {
            if let (Some(from), Some(to)) = (who(*key, pair[0]), who(*key, pair[1])) {
                add(from, to, Edge::Ww);
            }
        }
    }
    let committed = transactions.iter().enumerate().filter(|(_, other)| other.outcome == Outcome::Committed);
    for (number, transaction) in committed {
        for operation in &transaction.operations {
            let Operation::Read(key, list) = operation else { continue };
            let others: Vec<ListValue> =
                list.iter().copied().take_while(|value| who(*key, *value) != Some(number)).collect();
            if let Some(from) = others.last().and_then(|value| who(*key, *value)) {
                add(from, number, Edge::Wr);
            }
            let all = last.get(key).map_or(&[][..], Vec::as_slice);
            if let Some(to) = all.get(others.len()).and_then(|value| who(*key, *value)) {
                add(number, to, Edge::Rw);
            }
        }
    }
    graph
}

/// The nodes of a cycle.
fn find_cycle(graph: &[Vec<usize>]) -> Option<Vec<usize>> {
    // 0: not seen, 1: on the path, 2: done.
    let mut state = vec![0_u8; graph.len()];
    for start in 0..graph.len() {
        if state[start] != 0 {
            continue;
        }
        let mut path = vec![(start, 0)];
        state[start] = 1;
        while let Some((node, next)) = path.last_mut() {
            let Some(&to) = graph[*node].get(*next) else {
                state[*node] = 2;
                path.pop();
                continue;
            };
            *next += 1;
            match state[to] {
                0 => {
                    state[to] = 1;
                    path.push((to, 0));
                }
                1 => {
                    let begin = path.iter().position(|(node, _)| *node == to).expect("it is on the path");
                    return Some(path[begin..].iter().map(|(node, _)| *node).collect());
                }
                _ => {}
            }
        }
    }
    None
}

fn reaches(graph: &[Vec<usize>], from: usize, to: usize) -> bool {
    let mut seen = HashSet::from([from]);
    let mut open = vec![from];
    while let Some(node) = open.pop() {
        if node == to {
            return true;
        }
        open.extend(graph[node].iter().copied().filter(|next| seen.insert(*next)));
    }
    false
}
