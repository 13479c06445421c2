//! Definitions with a body: procedures, functions, triggers, events. Bodies are kept as text, as they were given, with
//! what they were given under.

use crate::account::RoutineKind;
use common::id::Lsn;
use expr::collation::CollationId;
use expr::mysql_type::MysqlType;
use serde::{Deserialize, Serialize};

/// What all of them have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BodyDef {
    pub text: String,
    /// `root@localhost`.
    pub definer: String,
    /// sql_mode under which it was created, and runs.
    pub sql_mode: u64,
    /// Microseconds since 1970.
    pub created_us: u64,
    pub altered_us: u64,
    pub character_set_client: String,
    pub collation_connection: CollationId,
    pub database_collation: CollationId,
    pub comment: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoutineDef {
    pub kind: RoutineKind,
    pub database: String,
    pub name: String,
    pub parameters: Vec<ParameterDef>,
    /// As written, between the parentheses.
    pub parameters_text: String,
    /// Of a function.
    pub returns: Option<MysqlType>,
    pub deterministic: bool,
    pub data_access: DataAccess,
    /// SQL SECURITY INVOKER.
    pub invoker: bool,
    pub body: BodyDef,
    #[serde(skip)]
    pub version: Lsn,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParameterDef {
    pub mode: ParameterMode,
    pub name: String,
    pub ty: MysqlType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParameterMode {
    In,
    Out,
    InOut,
}

impl ParameterMode {
    pub fn word(self) -> &'static str {
        match self {
            ParameterMode::In => "IN",
            ParameterMode::Out => "OUT",
            ParameterMode::InOut => "INOUT",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataAccess {
    ContainsSql,
    NoSql,
    ReadsSqlData,
    ModifiesSqlData,
}

impl DataAccess {
    pub fn words(self) -> &'static str {
        match self {
            DataAccess::ContainsSql => "CONTAINS SQL",
            DataAccess::NoSql => "NO SQL",
            DataAccess::ReadsSqlData => "READS SQL DATA",
            DataAccess::ModifiesSqlData => "MODIFIES SQL DATA",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TriggerDef {
    pub database: String,
    pub name: String,
    /// Of the same database.
    pub table: String,
    pub timing: TriggerTiming,
    pub event: TriggerEvent,
    /// From 1: the order among those of the same table, timing and event.
    pub order: u32,
    pub body: BodyDef,
    #[serde(skip)]
    pub version: Lsn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TriggerTiming {
    Before,
    After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TriggerEvent {
    Insert,
    Update,
    Delete,
}

impl TriggerTiming {
    pub fn word(self) -> &'static str {
        match self {
            TriggerTiming::Before => "BEFORE",
            TriggerTiming::After => "AFTER",
        }
    }
}

impl TriggerEvent {
    pub fn word(self) -> &'static str {
        match self {
            TriggerEvent::Insert => "INSERT",
            TriggerEvent::Update => "UPDATE",
            TriggerEvent::Delete => "DELETE",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventDef {
    pub database: String,
    pub name: String,
    pub schedule: ScheduleDef,
    /// ON COMPLETION PRESERVE.
    pub preserve: bool,
    pub status: EventStatus,
    /// Of the session that made it: `SYSTEM`, `+02:00`.
    pub time_zone: String,
    pub last_executed_us: Option<u64>,
    pub body: BodyDef,
    #[serde(skip)]
    pub version: Lsn,
}

/// Times in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScheduleDef {
    At(u64),
    Every {
        /// As MySQL shows it: `1`, `'1:30'`.
        count: String,
        unit: String,
        starts_us: u64,
        ends_us: Option<u64>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventStatus {
    Enabled,
    Disabled,
    DisabledOnReplica,
}

/// What an event may be repeated by.
pub const INTERVAL_UNITS: [&str; 14] = [
    "YEAR",
    "QUARTER",
    "MONTH",
    "DAY",
    "HOUR",
    "MINUTE",
    "WEEK",
    "SECOND",
    "YEAR_MONTH",
    "DAY_HOUR",
    "DAY_MINUTE",
    "DAY_SECOND",
    "HOUR_MINUTE",
    "HOUR_SECOND",
];
