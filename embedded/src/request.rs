//! What a request asks for, read once from its address and headers into [`Ask`].
#![forbid(unsafe_code)]

use crate::failure::{Failure, code};
use crate::sql;
use http::request::Parts;
use http::{HeaderMap, Method};

/// A request without its body.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// The statement's text from `?query=` (or a form field); the body may continue it.
    pub query: String,
    /// Engine settings, in the order given.
    pub settings: Vec<(String, String)>,
    /// `param_x` as `x`.
    pub params: Vec<(String, String)>,
    /// The client's name for this query.
    pub query_id: Option<String>,
    /// The database that unqualified names mean.
    pub database: Option<String>,
    /// The format of an answer whose statement names none.
    pub format: Option<String>,
    /// The body is in ClickHouse's compressed blocks.
    pub compressed: bool,
    /// The body is a form with this boundary.
    pub form: Option<String>,
}

impl Ask {
    /// Reads address and headers; refuses what would be ignored wrongly.
    pub fn read(parts: &Parts) -> Result<Self, Failure> {
        let headers = &parts.headers;
        let mut ask = Self {
            query_id: header(headers, "x-clickhouse-query-id"),
            database: header(headers, "x-clickhouse-database"),
            format: header(headers, "x-clickhouse-format"),
            form: boundary(headers)?,
            ..Self::default()
        };
        let address = parts.uri.query().unwrap_or_default();
        for (name, value) in form_urlencoded::parse(address.as_bytes()) {
            ask.take(&name, value.into_owned())?;
        }
        if parts.method != Method::POST {
            // As in ClickHouse: a link must not change anything.
            ask.settings.retain(|(name, _)| name != "readonly");
            ask.settings.push(("readonly".into(), "2".into()));
        }
        Ok(ask)
    }

    /// Adds the fields of a `multipart/form-data` body: the query and its parameters, which the
    /// clickhouse crate sends this way.
    pub fn take_form(&mut self, boundary: &str, body: &[u8]) -> Result<(), Failure> {
        for (name, value) in form_fields(boundary, body)? {
            if name != "query" && !name.starts_with("param_") {
                return Err(Failure::new(
                    code::NOT_IMPLEMENTED,
                    format_args!("form field {name:?}: only query and param_* are read"),
                ));
            }
            self.take(&name, value)?;
        }
        Ok(())
    }

    /// What the session needs before the statement: `SET …`.
    pub fn set_statement(&self) -> Result<Option<String>, Failure> {
        sql::set_statement(&self.settings).map_err(|name| {
            Failure::new(code::UNKNOWN_SETTING, format_args!("Unknown setting {name:?}"))
        })
    }

    fn take(&mut self, name: &str, value: String) -> Result<(), Failure> {
        let filled = |value: String| (!value.is_empty()).then_some(value);
        match name {
            "query" => self.query.push_str(&value),
            "query_id" => self.query_id = filled(value),
            "database" => self.database = filled(value),
            "default_format" => self.format = filled(value),
            "decompress" => self.compressed = flag(name, &value)?,
            "compress" if flag(name, &value)? => {
                return Err(Failure::new(
                    code::NOT_IMPLEMENTED,
                    "compress=1: this server answers plainly; leave the parameter out",
                ));
            }
            "session_id" if !value.is_empty() => {
                return Err(Failure::new(
                    code::NOT_IMPLEMENTED,
                    "session_id: every request has a session of its own here",
                ));
            }
            "client_protocol_version" if !matches!(value.as_str(), "" | "0") => {
                return Err(Failure::new(
                    code::NOT_IMPLEMENTED,
                    "client_protocol_version: only 0, the plain Native format, is spoken here",
                ));
            }
            // There is one user, whose password is not taken from an address; answers are always
            // sent whole.
            "compress"
            | "session_id"
            | "client_protocol_version"
            | "user"
            | "password"
            | "quota_key"
            | "role"
            | "buffer_size"
            | "wait_end_of_query"
            | "stacktrace"
            | "session_timeout"
            | "session_check"
            | "close_session" => {}
            _ => match name.strip_prefix("param_") {
                Some(param) => self.params.push((param.to_owned(), value)),
                None => self.settings.push((name.to_owned(), value)),
            },
        }
        Ok(())
    }
}

fn flag(name: &str, value: &str) -> Result<bool, Failure> {
    match value {
        "1" | "true" => Ok(true),
        "0" | "false" | "" => Ok(false),
        _ => Err(Failure::new(
            code::BAD_ARGUMENTS,
            format_args!("{name}={value}: 0 or 1 is allowed"),
        )),
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (!value.is_empty()).then(|| value.to_owned())
}

fn boundary(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let Some(kind) = header(headers, "content-type") else { return Ok(None) };
    let Some(rest) = kind.strip_prefix("multipart/form-data") else { return Ok(None) };
    let boundary = rest.split(';').find_map(|part| part.trim().strip_prefix("boundary="));
    match boundary.map(|text| text.trim_matches('"')).filter(|text| !text.is_empty()) {
        Some(boundary) => Ok(Some(boundary.to_owned())),
        None => Err(broken_form("the content type names no boundary")),
    }
}

/// The fields of a form (RFC 7578), names and values.
fn form_fields(boundary: &str, body: &[u8]) -> Result<Vec<(String, String)>, Failure> {
    let mark = format!("\r\n--{boundary}");
    let Some(mut rest) = body.strip_prefix(&mark.as_bytes()[2..]) else {
        return Err(broken_form("it does not begin with its boundary"));
    };
    let mut fields = Vec::new();
    while !rest.starts_with(b"--") {
        let field = rest.strip_prefix(b"\r\n").ok_or_else(|| broken_form("a boundary is cut"))?;
        let head_end =
            find(field, b"\r\n\r\n").ok_or_else(|| broken_form("a field has no head"))?;
        let value_end = find(&field[head_end + 4..], mark.as_bytes())
            .ok_or_else(|| broken_form("a field has no end"))?;
        let head = String::from_utf8_lossy(&field[..head_end]);
        let name = head
            .split_once("name=\"")
            .and_then(|(_, after)| after.split_once('"'))
            .ok_or_else(|| broken_form("a field has no name"))?
            .0;
        let value = &field[head_end + 4..head_end + 4 + value_end];
        let value = std::str::from_utf8(value)
            .map_err(|_| broken_form(format_args!("field {name:?} is not UTF-8")))?;
        fields.push((name.to_owned(), value.to_owned()));
        rest = &field[head_end + 4 + value_end + mark.len()..];
    }
    Ok(fields)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn broken_form(text: impl std::fmt::Display) -> Failure {
    Failure::new(code::INCORRECT_DATA, format_args!("the form in the body is broken: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use proptest::prelude::*;

    fn read(method: Method, uri: &str) -> Result<Ask, Failure> {
        let (parts, ()) = Request::builder().method(method).uri(uri).body(()).unwrap().into_parts();
        Ask::read(&parts)
    }

    #[test]
    fn an_address_is_query_settings_and_parameters() {
        let ask = read(
            Method::POST,
            "/?query=SELECT%20%7Bx%3AString%7D&param_x=a+b&max_threads=2&user=u&password=p\
             &wait_end_of_query=1&database=h&default_format=CSV&query_id=q&decompress=1&compress=0",
        )
        .unwrap();
        assert_eq!(ask.query, "SELECT {x:String}");
        assert_eq!(ask.params, [("x".to_owned(), "a b".to_owned())]);
        assert_eq!(ask.settings, [("max_threads".to_owned(), "2".to_owned())]);
        assert_eq!(ask.database.as_deref(), Some("h"));
        assert_eq!(ask.format.as_deref(), Some("CSV"));
        assert_eq!(ask.query_id.as_deref(), Some("q"));
        assert!(ask.compressed);
    }

    #[test]
    fn a_get_cannot_write_whatever_it_says() {
        let ask = read(Method::GET, "/?query=DROP&readonly=0").unwrap();
        assert_eq!(ask.settings, [("readonly".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn what_cannot_be_had_is_refused_not_ignored() {
        for address in ["/?compress=1", "/?session_id=s", "/?client_protocol_version=54492"] {
            let failure = read(Method::POST, address).unwrap_err();
            assert_eq!(failure.code, code::NOT_IMPLEMENTED, "{address}");
        }
        assert_eq!(read(Method::POST, "/?decompress=9").unwrap_err().code, code::BAD_ARGUMENTS);
    }

    #[test]
    fn a_form_gives_query_and_parameters() {
        let body = "--B\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {n:Int8}\r\n\
                    --B\r\nContent-Disposition: form-data; name=\"param_n\"\r\n\r\n1\r\n2\r\n--B--\r\n";
        let mut ask = Ask::default();
        ask.take_form("B", body.as_bytes()).unwrap();
        assert_eq!(ask.query, "SELECT {n:Int8}");
        assert_eq!(ask.params, [("n".to_owned(), "1\r\n2".to_owned())]);
        for broken in ["", "--B", "--B\r\n", "--B\r\n\r\n\r\nx\r\n--B--", "--C--"] {
            assert!(Ask::default().take_form("B", broken.as_bytes()).is_err(), "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn no_form_panics(body in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut ask = Ask::default();
            if ask.take_form("B", &[b"--B\r\n".as_slice(), &body].concat()).is_ok() {
                prop_assert!(ask.settings.is_empty());
            }
        }
    }
}
