//! Small questions to our own processes over HTTP.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// The longest answer that is read: a page of metrics.
const ANSWER_MAX: usize = 1 << 20;

/// GETs a page, within a second.
pub(crate) async fn get(url: &str) -> Result<String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let ask = async {
        let response = client.get(url.parse().context("not a URL")?).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX)
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!(error))?
            .to_bytes();
        if !status.is_success() {
            bail!("{status}: {}", String::from_utf8_lossy(&body).trim());
        }
        Ok(String::from_utf8_lossy(&body).into_owned())
    };
    tokio::time::timeout(Duration::from_secs(1), ask)
        .await
        .map_err(|_| anyhow::anyhow!("no answer within a second"))
        .and_then(|answer| answer)
        .with_context(|| format!("asking {url}"))
}

/// [`get`] of an address made for the call, for callers that ask again and again.
pub(crate) async fn get_owned(url: String) -> Result<String> {
    get(&url).await
}

/// The sum of a metric over its labels, from Prometheus' text format.
pub(crate) fn metric(page: &str, name: &str) -> Option<f64> {
    let values = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = match rest.as_bytes().first()? {
            b' ' => rest,
            b'{' => rest.rsplit_once('}')?.1,
            _ => return None,
        };
        value.trim().parse::<f64>().ok()
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::metric;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_not_taken_for_its_neighbour() {
        let page = "# HELP hits x\nhits{core=\"0\"} 3\nhits{core=\"1\"} 4\nhits_total 9\n";
        assert_eq!(metric(page, "hits"), Some(7.0));
        assert_eq!(metric(page, "misses"), None);
    }
}
