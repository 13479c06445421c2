//! JSON documents: parsed, compared and shown as MySQL does. Manual: "The JSON Data Type" (13.5).

use std::sync::Arc;

/// A document; cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Json(pub Arc<serde_json::Value>);
