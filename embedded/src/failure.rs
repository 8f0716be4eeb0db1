//! Errors as ClickHouse's HTTP interface gives them: a code, a text, a status.
#![forbid(unsafe_code)]

use http::StatusCode;

/// Codes of ClickHouse's ErrorCodes.cpp that this room raises itself.
pub mod code {
    /// What was asked for is not built here.
    pub const NOT_IMPLEMENTED: u32 = 48;
    /// A parameter makes no sense.
    pub const BAD_ARGUMENTS: u32 = 36;
    /// A compressed block's checksum is wrong.
    pub const CHECKSUM_DOESNT_MATCH: u32 = 40;
    /// The text is not one statement.
    pub const SYNTAX_ERROR: u32 = 62;
    /// No such setting.
    pub const UNKNOWN_SETTING: u32 = 115;
    /// The request is broken.
    pub const INCORRECT_DATA: u32 = 117;
    /// Every place is taken.
    pub const TOO_MANY_SIMULTANEOUS_QUERIES: u32 = 202;
    /// Nobody said who asks.
    pub const REQUIRED_PASSWORD: u32 = 194;
    /// The client stopped sending.
    pub const SOCKET_TIMEOUT: u32 = 209;
    /// A query with this id still runs.
    pub const QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING: u32 = 216;
    /// The text or the body is over its bound.
    pub const QUERY_IS_TOO_LARGE: u32 = 229;
    /// The server ends.
    pub const ABORTED: u32 = 236;
    /// A compressed block cannot be read.
    pub const CANNOT_DECOMPRESS: u32 = 271;
    /// Who asks is not who they say.
    pub const AUTHENTICATION_FAILED: u32 = 516;
    /// The engine said something without a code.
    pub const UNKNOWN_EXCEPTION: u32 = 1002;
}

/// An error with ClickHouse's code and the whole text `Code: N. DB::Exception: …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// ClickHouse's code.
    pub code: u32,
    /// The text, with the code in it and without a line end.
    pub text: String,
}

impl Failure {
    /// An error of this server's own.
    pub fn new(code: u32, text: impl std::fmt::Display) -> Self {
        Self { code, text: format!("Code: {code}. DB::Exception: {text}") }
    }

    /// The engine's message, which begins with its code.
    pub fn from_engine(text: String) -> Self {
        let found = text.find("Code: ").and_then(|at| {
            let digits = &text[at + 6..];
            digits[..digits.find('.')?].parse().ok()
        });
        match found {
            Some(code) => Self { code, text },
            None => Self::new(code::UNKNOWN_EXCEPTION, text),
        }
    }

    /// As sent: with the engine's version at the end, as ClickHouse does.
    pub fn body(&self, version: &str) -> String {
        if self.text.contains(" (version ") {
            format!("{}\n", self.text)
        } else {
            format!("{} (version {version})\n", self.text)
        }
    }

    /// ClickHouse's `exceptionCodeToHTTPStatus`, and 503 where this server has no place.
    pub fn status(&self) -> StatusCode {
        match self.code {
            code::REQUIRED_PASSWORD => StatusCode::UNAUTHORIZED,
            192 | 193 | 497 | 512 | code::AUTHENTICATION_FAILED => StatusCode::FORBIDDEN,
            6 | 8 | 12 | 15 | 25 | 26 | 27 | 36 | 37 | 38 | 41 | 44 | 53 | 62 | 72 | 117 | 167
            | 168 | 223 | 321 | 376 | 427 | 441 | 675 | 676 => StatusCode::BAD_REQUEST,
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 152 | 336 | 511 => {
                StatusCode::NOT_FOUND
            }
            code::QUERY_IS_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
            code::NOT_IMPLEMENTED => StatusCode::NOT_IMPLEMENTED,
            76 | 439 | code::SOCKET_TIMEOUT => StatusCode::SERVICE_UNAVAILABLE,
            // ClickHouse itself answers 500 here; a proxy's clients are told to come back.
            code::TOO_MANY_SIMULTANEOUS_QUERIES | code::ABORTED => StatusCode::SERVICE_UNAVAILABLE,
            381 => StatusCode::LENGTH_REQUIRED,
            159 => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_code_becomes_clickhouses_status() {
        let failure = Failure::from_engine("Code: 60. DB::Exception: no. (UNKNOWN_TABLE)".into());
        assert_eq!((failure.code, failure.status()), (60, StatusCode::NOT_FOUND));
        assert_eq!(
            failure.body("26.7.2.1"),
            "Code: 60. DB::Exception: no. (UNKNOWN_TABLE) (version 26.7.2.1)\n"
        );
        let wrapped = Failure::from_engine("Error: Code: 36. DB::Exception: bad".into());
        assert_eq!(wrapped.status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_message_without_a_code_gets_one() {
        let failure = Failure::from_engine("Failed".into());
        assert_eq!(failure.text, "Code: 1002. DB::Exception: Failed");
        assert_eq!(failure.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
