//! System variables: names, scopes, types, defaults, and a session's values.
