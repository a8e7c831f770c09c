//! Settings of `[data]` tables for tests of how cells are read.

use serde_json::Value;

/// Adds to a table the settings by which numbers are read as they are.
pub fn unchanged(mut config: Value) -> Value {
    let is_table = |files: &Value| files.to_string().contains(".csv") || files.to_string().contains(".parquet");
    if ["file", "train"].iter().any(|key| is_table(&config[*key])) {
        config["numbers"] = "none".into();
        config["missing"] = "error".into();
    }
    config
}
