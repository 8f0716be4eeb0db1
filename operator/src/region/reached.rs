//! Whether the region's Redis answers the operator, and what to do where it does not.

use super::validate::{Store, ValidatedRegion};
use crate::conditions::{STORES_ANSWER, Status, Wanted};
use crate::{Context, Error};

/// Asks Redis for a sign of life. ClickHouse is the writer's to ask: the operator reads no hit.
pub(super) async fn ask(ctx: &Context, region: &ValidatedRegion) -> Wanted {
    let asked = async {
        let mut redis = ctx.redis.connection().await?;
        let answer = redis::cmd("PING").query_async::<String>(&mut redis).await;
        answer.map_err(Error::redis("ask for a sign of life"))
    };
    match asked.await {
        Ok(_) => Wanted::new(STORES_ANSWER, Status::True, "RedisAnswers", ""),
        Err(error) => {
            ctx.redis.failed().await;
            judge(&region.redis, &region.redis_url(), &said(&error))
        }
    }
}

/// An error with what it comes from: the outermost says only that connecting failed.
fn said(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

fn judge(redis: &Store, url: &str, why: &str) -> Wanted {
    let secret = match redis {
        Store::Managed => {
            let message = format!("{url}: {why}. See the events and the log of its pod");
            return Wanted::new(STORES_ANSWER, Status::False, "RedisIsAway", message);
        }
        Store::External(at) => &at.secret,
    };
    let has = |words: &[&str]| words.iter().any(|word| why.contains(word));
    let (reason, next) = if has(&["NotValidForName"]) {
        (
            "RedisNotTrusted",
            "its certificate bears other names than the url's host: use one of them",
        )
    } else if has(&["invalid peer certificate"]) {
        (
            "RedisNotTrusted",
            "ca.crt is not the authority that signed its certificate: put that there",
        )
    } else if has(&["received fatal alert"]) {
        ("RedisRefuses", "it does not take the certificate in tls.crt: give one that it trusts")
    } else if has(&["NOAUTH", "WRONGPASS", "NOPERM", "Password", "AuthenticationFailed"]) {
        ("RedisRefuses", "look at user and password, and at what the user may do (event/WIRE.md)")
    } else {
        (
            "RedisIsAway",
            "see that it runs, that the url speaks its protocol (rediss:// is by TLS), and that the \
             chart's networkPolicy.extraEgress lets the operator reach it",
        )
    };
    let message = format!("{url}: {why}. In the Secret {secret}: {next}");
    Wanted::new(STORES_ANSWER, Status::False, reason, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;
    use crate::region::validate::{Around, tests as fixtures, validate};

    #[test]
    fn each_way_to_be_refused_says_what_to_do_next() {
        let secrets = fixtures::secrets();
        let around =
            Around { others: &[], secrets: &secrets, usable: &std::collections::BTreeSet::new() };
        let region = validate(&fixtures::external(), &config(), &around).unwrap();
        for (why, reason, next) in [
            ("invalid peer certificate: UnknownIssuer", "RedisNotTrusted", "ca.crt is not"),
            (
                "invalid peer certificate: certificate not valid for name: NotValidForName",
                "RedisNotTrusted",
                "other names",
            ),
            ("received fatal alert: CertificateRequired", "RedisRefuses", "tls.crt"),
            ("received fatal alert: UnknownCA", "RedisRefuses", "tls.crt"),
            ("WRONGPASS invalid username-password pair", "RedisRefuses", "user and password"),
            ("Connection refused (os error 111)", "RedisIsAway", "extraEgress"),
        ] {
            let wanted = judge(&region.redis, &region.redis_url(), why);
            assert_eq!((wanted.status, wanted.reason), (Status::False, reason), "{why}");
            assert!(wanted.message.contains(next), "{}", wanted.message);
            assert!(wanted.message.contains("the Secret our-redis"), "{}", wanted.message);
        }
    }
}
