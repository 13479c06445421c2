//! RAND, with MySQL's generator: RAND(n) gives the same sequence as MySQL's for the same n.

use crate::error::SqlError;
use crate::eval::EvalContext;
use crate::function::argument;
use crate::function::result;
use crate::function::{Arguments, Call, Function};
use crate::value::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub static FUNCTIONS: &[Function] =
    &[Function::new("RAND", Arguments::Between(0, 1), result::double, rand).takes_null().volatile()];

/// RAND() goes on from statement to statement of a session; rand_seed1 and rand_seed2 say where.
#[derive(Debug, Clone, Default)]
pub struct SessionSequence(Arc<Mutex<Generator>>);

impl SessionSequence {
    fn next(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    pub fn set_first_seed(&self, seed: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).first = seed % Generator::MODULUS;
    }

    pub fn set_second_seed(&self, seed: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).second = seed % Generator::MODULUS;
    }
}

/// Where the sequences of one statement stand that have seeds of their own.
#[derive(Debug, Default)]
pub struct Sequences {
    /// By seed: each starts at its beginning in every statement.
    seeded: HashMap<u32, Generator>,
}

impl Sequences {
    /// RAND of a column can have a seed per row; past this many the sequences start again.
    const SEEDS_MAX: usize = 4096;

    fn next(&mut self, seed: u32) -> f64 {
        if self.seeded.len() >= Self::SEEDS_MAX && !self.seeded.contains_key(&seed) {
            self.seeded.clear();
        }
        self.seeded.entry(seed).or_insert_with(|| Generator::from_seed(seed)).next()
    }
}

/// Two linear sequences that feed each other, in 30 bits.
#[derive(Debug)]
struct Generator {
    first: u64,
    second: u64,
}

impl Default for Generator {
    fn default() -> Generator {
        Generator::new(rand::random(), rand::random())
    }
}

impl Generator {
    const MODULUS: u64 = 0x3FFF_FFFF;

    fn new(first: u32, second: u32) -> Generator {
        Generator { first: u64::from(first) % Self::MODULUS, second: u64::from(second) % Self::MODULUS }
    }

    fn from_seed(seed: u32) -> Generator {
        Generator::new(seed.wrapping_mul(0x10001).wrapping_add(55_555_555), seed.wrapping_mul(0x1000_0001))
    }

    fn next(&mut self) -> f64 {
        self.first = (self.first * 3 + self.second) % Self::MODULUS;
        self.second = (self.first + self.second + 33) % Self::MODULUS;
        self.first as f64 / Self::MODULUS as f64
    }
}

fn rand(_: &Call<'_>, arguments: &[Value], context: &EvalContext) -> Result<Value, SqlError> {
    let seed = match arguments.first() {
        None => return Ok(Value::Double(context.effects.session_random.next())),
        Some(Value::Null) => 0,
        Some(seed) => argument::integer(seed, context)? as u32,
    };
    let mut sequences = context.effects.random.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Value::Double(sequences.next(seed)))
}
