//! MySQL's error numbers, and the one error type that SQL layers share.
//!
//! The SQLSTATE of a code is in [`crate::sqlstate`]; SIGNAL may give another.

use crate::sqlstate::{self, SqlState};
use std::fmt;

/// A MySQL error number (manual: "Server Error Message Reference").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub u16);

/// What a client gets: a MySQL error number and a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    pub code: ErrorCode,
    pub message: String,
    /// Given by SIGNAL; else it is the code's.
    pub state: Option<SqlState>,
}

impl SqlError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> SqlError {
        SqlError { code, message: message.into(), state: None }
    }

    pub fn with_state(self, state: SqlState) -> SqlError {
        SqlError { state: Some(state), ..self }
    }

    pub fn sqlstate(&self) -> SqlState {
        self.state.unwrap_or_else(|| sqlstate::of(self.code))
    }

    /// 1235: MySQL's "This version of MySQL doesn't yet support '...'".
    pub fn not_supported(what: impl fmt::Display) -> SqlError {
        SqlError::new(ErrorCode::NOT_SUPPORTED_YET, format!("This version of MySQL doesn't yet support '{what}'"))
    }

    /// 1105 for what should not happen; the text must say what to report.
    pub fn internal(message: impl Into<String>) -> SqlError {
        SqlError::new(ErrorCode::UNKNOWN_ERROR, message)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarningLevel {
    Note,
    Warning,
    Error,
}

/// One line of SHOW WARNINGS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub level: WarningLevel,
    pub code: ErrorCode,
    pub message: String,
    /// Given by SIGNAL; else it is the code's.
    pub state: Option<SqlState>,
}

impl Warning {
    pub fn new(level: WarningLevel, code: ErrorCode, message: impl Into<String>) -> Warning {
        Warning { level, code, message: message.into(), state: None }
    }

    pub fn sqlstate(&self) -> SqlState {
        self.state.unwrap_or_else(|| sqlstate::of(self.code))
    }
}

macro_rules! codes {
    ($($name:ident = $number:literal,)*) => {
        impl ErrorCode {
            $(pub const $name: ErrorCode = ErrorCode($number);)*
        }
    };
}

// Add what you need, by MySQL's symbol without its `ER_`.
codes! {
    CANT_CREATE_TABLE = 1005,
    DB_CREATE_EXISTS = 1007,
    DB_DROP_EXISTS = 1008,
    OUT_OF_RESOURCES = 1041,
    DBACCESS_DENIED = 1044,
    ACCESS_DENIED = 1045,
    NO_DB = 1046,
    UNKNOWN_COM = 1047,
    BAD_NULL = 1048,
    BAD_DB = 1049,
    TABLE_EXISTS = 1050,
    BAD_TABLE = 1051,
    NON_UNIQ = 1052,
    BAD_FIELD = 1054,
    WRONG_FIELD_WITH_GROUP = 1055,
    WRONG_VALUE_COUNT = 1058,
    TOO_LONG_IDENT = 1059,
    DUP_FIELDNAME = 1060,
    DUP_KEYNAME = 1061,
    DUP_ENTRY = 1062,
    PARSE_ERROR = 1064,
    EMPTY_QUERY = 1065,
    NONUNIQ_TABLE = 1066,
    INVALID_DEFAULT = 1067,
    MULTIPLE_PRI_KEY = 1068,
    TOO_LONG_KEY = 1071,
    KEY_COLUMN_DOES_NOT_EXIST = 1072,
    BLOB_USED_AS_KEY = 1073,
    TOO_BIG_FIELDLENGTH = 1074,
    WRONG_AUTO_KEY = 1075,
    CANT_DROP_FIELD_OR_KEY = 1091,
    KILL_DENIED = 1095,
    NO_SUCH_THREAD = 1094,
    NO_TABLES_USED = 1096,
    BLOB_CANT_HAVE_DEFAULT = 1101,
    UNKNOWN_ERROR = 1105,
    UNKNOWN_TABLE = 1109,
    INVALID_GROUP_FUNC_USE = 1111,
    TABLE_MUST_HAVE_COLUMNS = 1113,
    UNKNOWN_CHARACTER_SET = 1115,
    WRONG_VALUE_COUNT_ON_ROW = 1136,
    MIX_OF_GROUP_FUNC_AND_FIELDS = 1140,
    NO_SUCH_TABLE = 1146,
    NET_PACKET_TOO_LARGE = 1153,
    WRONG_KEY_COLUMN = 1167,
    BLOB_KEY_WITHOUT_LENGTH = 1170,
    PRIMARY_CANT_HAVE_NULL = 1171,
    TOO_MANY_ROWS = 1172,
    KEY_DOES_NOT_EXIST = 1176,
    UNKNOWN_SYSTEM_VARIABLE = 1193,
    LOCK_WAIT_TIMEOUT = 1205,
    LOCK_TABLE_FULL = 1206,
    LOCK_DEADLOCK = 1213,
    CANNOT_ADD_FOREIGN = 1215,
    WRONG_NUMBER_OF_COLUMNS_IN_SELECT = 1222,
    LOCAL_VARIABLE = 1228,
    GLOBAL_VARIABLE = 1229,
    WRONG_VALUE_FOR_VAR = 1231,
    WRONG_TYPE_FOR_VAR = 1232,
    CANT_USE_OPTION_HERE = 1234,
    NOT_SUPPORTED_YET = 1235,
    INCORRECT_GLOBAL_LOCAL_VAR = 1238,
    WRONG_FK_DEF = 1239,
    OPERAND_COLUMNS = 1241,
    SUBQUERY_NO_1_ROW = 1242,
    UNKNOWN_STMT_HANDLER = 1243,
    ILLEGAL_REFERENCE = 1247,
    DERIVED_MUST_HAVE_ALIAS = 1248,
    WARN_DATA_OUT_OF_RANGE = 1264,
    WARN_DATA_TRUNCATED = 1265,
    CANT_AGGREGATE_2COLLATIONS = 1267,
    UNKNOWN_COLLATION = 1273,
    WRONG_VALUE = 1525,
    WRONG_NAME_FOR_INDEX = 1280,
    TRUNCATED_WRONG_VALUE = 1292,
    TOO_MUCH_AUTO_TIMESTAMP_COLS = 1293,
    INVALID_ON_UPDATE = 1294,
    UNSUPPORTED_PS = 1295,
    SP_DOES_NOT_EXIST = 1305,
    QUERY_INTERRUPTED = 1317,
    VIEW_WRONG_LIST = 1353,
    NO_DEFAULT_FOR_FIELD = 1364,
    DIVISION_BY_ZERO = 1365,
    TRUNCATED_WRONG_VALUE_FOR_FIELD = 1366,
    VIEW_CHECK_FAILED = 1369,
    DATA_TOO_LONG = 1406,
    CANT_CREATE_GEOMETRY_OBJECT = 1416,
    INVALID_CHARACTER_STRING = 1300,
    VARIABLE_IS_READONLY = 1621,
    INVALID_JSON_CHARSET = 3144,
    WRONG_PARAMCOUNT_TO_NATIVE_FCT = 1582,
    WRONG_PARAMETERS_TO_NATIVE_FCT = 1583,
    DATETIME_FUNCTION_OVERFLOW = 1441,
    TOO_BIG_SCALE = 1425,
    TOO_BIG_PRECISION = 1426,
    M_BIGGER_THAN_D = 1427,
    ROW_IS_REFERENCED_2 = 1451,
    NO_REFERENCED_ROW_2 = 1452,
    NONUPDATEABLE_COLUMN = 1348,
    NON_UPDATABLE_TABLE = 1288,
    WRONG_OBJECT = 1347,
    DATA_OUT_OF_RANGE = 1690,
    CANT_EXECUTE_IN_READ_ONLY_TRANSACTION = 1792,
    DUP_UNKNOWN_IN_INDEX = 1859,
    NO_REFERENCED_INDEX = 1822,
    FK_CANNOT_OPEN_PARENT = 1824,
    FK_DUP_NAME = 1826,
    FK_COLUMN_CANNOT_DROP = 1828,
    DROP_INDEX_FK = 1553,
    INVALID_JSON_TEXT = 3140,
    INVALID_JSON_TEXT_IN_PARAM = 3141,
    INVALID_JSON_PATH = 3143,
    INVALID_JSON_VALUE_FOR_CAST = 3156,
    JSON_DOCUMENT_TOO_DEEP = 3157,
    INVALID_BITWISE_OPERANDS_SIZE = 3513,
    FK_INCOMPATIBLE_COLUMNS = 3780,
    FK_CANNOT_DROP_PARENT = 3730,
    CHECK_CONSTRAINT_VIOLATED = 3819,
    QUERY_TIMEOUT = 3024,
    LOCK_NOWAIT = 3572,
    STACK_OVERRUN_NEED_MORE = 1436,
    REGEXP_ERROR = 3685,
    DATA_INCOMPATIBLE_WITH_VIEW = 1443,
    WRONG_ARGUMENTS = 1210,
    WARN_ALLOWED_PACKET_OVERFLOWED = 1301,
    WRONG_VALUE_FOR_TYPE = 1411,
    UNKNOWN_LOCALE = 1649,
    INVALID_ARGUMENT_FOR_LOGARITHM = 3020,
    ZLIB_Z_DATA_ERROR = 1259,
    INCORRECT_TYPE = 3064,
    INVALID_TYPE_FOR_JSON = 3146,
    INVALID_JSON_PATH_WILDCARD = 3149,
    JSON_VACUOUS_PATH = 3153,
    JSON_BAD_ONE_OR_ALL_ARG = 3154,
    JSON_DOCUMENT_NULL_KEY = 3158,
    INVALID_JSON_PATH_ARRAY_CELL = 3165,
    REGEXP_INDEX_OUTOFBOUNDS_ERROR = 3686,
    REGEXP_RULE_SYNTAX = 3688,
    REGEXP_BAD_ESCAPE_SEQUENCE = 3689,
    REGEXP_UNIMPLEMENTED = 3690,
    REGEXP_MISMATCHED_PAREN = 3691,
    REGEXP_MISSING_CLOSE_BRACKET = 3696,
    REGEXP_PATTERN_TOO_BIG = 3700,
    WINDOW_RANGE_FRAME_ORDER_TYPE = 3587,
    WINDOW_FRAME_ILLEGAL = 3586,
    CTE_MAX_RECURSION_DEPTH = 3636,
}
