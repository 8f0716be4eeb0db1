//! The live line: hits a second, stored, lag.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use crate::data::State;
use crate::http;

/// Prints figures until it is dropped: one line in place on a terminal, a line a minute elsewhere.
pub(super) async fn figures(state: &State) {
    let terminal = std::io::stdout().is_terminal();
    let every = Duration::from_secs(if terminal { 1 } else { 60 });
    let mut before: Option<f64> = None;
    loop {
        let edge = http::get(&format!("http://{}/metrics", state.edge_admin)).await;
        let writer = http::get(&format!("http://{}/metrics", state.writer_admin)).await;
        let line = match (&edge, &writer) {
            (Ok(edge), Ok(writer)) => {
                let hits = http::metric(edge, "hushmark_edge_hits_total").unwrap_or(0.0);
                let rate = before.map_or(0.0, |b| (hits - b).max(0.0) / every.as_secs_f64());
                before = Some(hits);
                let of = |name| http::metric(writer, name).unwrap_or(0.0);
                format!(
                    "{rate:>8.0} hits/s   {:>12.0} stored   lag {:>5.1} s   dead {:.0}   dropped {:.0}",
                    of("hushmark_writer_stored_hits_total"),
                    of("hushmark_writer_lag_seconds"),
                    of("hushmark_writer_dead_letters_total"),
                    http::metric(edge, "hushmark_edge_dropped_records_total").unwrap_or(0.0),
                )
            }
            (Err(error), _) | (_, Err(error)) => format!("waiting: {error:#}"),
        };
        let mut out = std::io::stdout();
        let written = if terminal {
            write!(out, "\r\x1b[2K{line}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{line}")
        };
        // Whoever read the line is gone; the stack goes on.
        if written.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(every).await;
    }
}
