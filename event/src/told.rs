//! What a writer says of itself in Redis, for whoever tells people how a stack is. `WIRE.md`,
//! "Redis".

use serde::{Deserialize, Serialize};

/// What a writer says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriterTold {
    /// The pod or machine.
    pub pod: String,
    /// The newest step of the schema that it knows.
    pub schema: u32,
    /// What keeps it from storing hits.
    pub trouble: Option<Trouble>,
}

/// What keeps a writer from storing hits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// ClickHouse has this step of the schema, and the writer does not know it.
    NewerSchema(u32),
    /// ClickHouse refuses or does not answer: what was said about it.
    Clickhouse(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_writer_says_is_read_as_it_was_written() {
        for (trouble, text) in [
            (None, r#"{"pod":"w","schema":3,"trouble":null}"#),
            (
                Some(Trouble::NewerSchema(9)),
                r#"{"pod":"w","schema":3,"trouble":{"newer_schema":9}}"#,
            ),
            (
                Some(Trouble::Clickhouse("no".into())),
                r#"{"pod":"w","schema":3,"trouble":{"clickhouse":"no"}}"#,
            ),
        ] {
            let told = WriterTold { pod: "w".into(), schema: 3, trouble };
            assert_eq!(serde_json::to_string(&told).unwrap(), text);
            assert_eq!(serde_json::from_str::<WriterTold>(text).unwrap(), told);
        }
    }
}
