//! `hushmark-operator probe`: whether a TCP connection to one place comes about. It runs in pods
//! that live for seconds, one of them under the stack's policies and one under none.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hushmark_crds::ProbeResult;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, timeout_at};

/// How a name server may take its time.
const RESOLVE: Duration = Duration::from_secs(5);

/// Tries, and the pause between them: a packet may be lost, and a policy may set in late.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Tries to connect to one place outside, and says what became of it.
#[derive(Clone, Debug, Args)]
pub struct Probe {
    /// Where to connect to
    #[arg(value_name = "HOST:PORT")]
    pub target: String,

    /// How long to wait before: a network needs a moment to learn of a new pod
    #[arg(long, default_value = "5", value_name = "SECONDS")]
    pub after: u64,

    /// How long each of three tries may take
    #[arg(long, default_value = "3", value_name = "SECONDS")]
    pub patience: u64,

    /// File that the result is written to, for the one who made the pod
    #[arg(long, default_value = "/dev/termination-log", value_name = "FILE")]
    pub report: PathBuf,
}

/// Connects, says what became of it, and ends with its code: 0 reached, 1 refused, 2 timed out,
/// 3 no way there, 4 name not found.
#[must_use]
pub async fn run(probe: &Probe) -> ExitCode {
    sleep(Duration::from_secs(probe.after)).await;
    let result = connect(&probe.target, Duration::from_secs(probe.patience)).await;
    let said = report(result, &probe.target);
    tracing::info!(target_host = probe.target, result = result.name(), "probed");
    write(&probe.report, &said);
    ExitCode::from(code(result))
}

/// What a pod says in its end, and [`heard`] reads.
#[must_use]
pub fn report(result: ProbeResult, target: &str) -> String {
    format!("{} {target}", result.name())
}

/// What a pod said of a target; nothing if it speaks of something else, as another image would.
#[must_use]
pub fn heard(said: &str, target: &str) -> Option<ProbeResult> {
    let (name, of) = said.trim().split_once(' ')?;
    ProbeResult::ALL.into_iter().find(|result| result.name() == name && of == target)
}

const fn code(result: ProbeResult) -> u8 {
    match result {
        ProbeResult::Reached => 0,
        ProbeResult::Refused => 1,
        ProbeResult::TimedOut => 2,
        ProbeResult::Unreachable => 3,
        ProbeResult::NotResolved => 4,
        ProbeResult::NoAnswer => 5,
    }
}

/// The first try that gets through decides, else the last one.
async fn connect(target: &str, patience: Duration) -> ProbeResult {
    let mut result = ProbeResult::NoAnswer;
    for number in 0..TRIES {
        if number > 0 {
            sleep(PAUSE).await;
        }
        result = once(target, patience).await;
        if result == ProbeResult::Reached {
            return result;
        }
    }
    result
}

async fn once(target: &str, patience: Duration) -> ProbeResult {
    let found = timeout_at(Instant::now() + RESOLVE, lookup_host(target)).await;
    let Ok(Ok(addresses)) = found else { return ProbeResult::NotResolved };
    let until = Instant::now() + patience;
    let mut result = ProbeResult::NotResolved;
    for address in addresses {
        result = match timeout_at(until, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return ProbeResult::Reached,
            Ok(Err(error)) => of_error(error.kind()),
            Err(_) => return ProbeResult::TimedOut,
        };
    }
    result
}

/// A firewall may answer in several ways, and all mean that nothing got through. What is none of
/// them (no socket left, say) means that nothing was tried.
const fn of_error(kind: ErrorKind) -> ProbeResult {
    match kind {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => ProbeResult::Refused,
        ErrorKind::TimedOut => ProbeResult::TimedOut,
        ErrorKind::NetworkUnreachable
        | ErrorKind::HostUnreachable
        | ErrorKind::PermissionDenied => ProbeResult::Unreachable,
        _ => ProbeResult::NoAnswer,
    }
}

fn write(path: &Path, said: &str) {
    if let Err(error) = std::fs::write(path, said) {
        tracing::warn!(path = %path.display(), %error, "the result is in the log alone");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const SHORT: Duration = Duration::from_millis(300);

    #[tokio::test]
    async fn one_who_listens_is_reached_and_one_who_does_not_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap().to_string();
        assert_eq!(once(&target, SHORT).await, ProbeResult::Reached);
        drop(listener);
        assert_eq!(once(&target, SHORT).await, ProbeResult::Refused);
    }

    /// A queue that is full drops what knocks, as a firewall that drops does.
    #[tokio::test]
    async fn one_who_says_nothing_is_waited_for_no_longer_than_asked() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let target = listener.local_addr().unwrap();
        let mut knocking = Vec::new();
        for _ in 0..8 {
            knocking.push(tokio::spawn(TcpStream::connect(target)));
        }
        sleep(SHORT).await;
        let begun = Instant::now();
        assert_eq!(once(&target.to_string(), SHORT).await, ProbeResult::TimedOut);
        assert!(begun.elapsed() >= SHORT);
        knocking.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test]
    async fn a_name_that_nobody_knows_is_told_apart_from_a_silent_host() {
        assert_eq!(once("nobody.invalid:443", SHORT).await, ProbeResult::NotResolved);
    }

    #[tokio::test]
    async fn the_first_try_that_gets_through_decides() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let late = tokio::spawn(async move {
            sleep(PAUSE / 2).await;
            TcpListener::bind(address).await
        });
        assert_eq!(connect(&address.to_string(), SHORT).await, ProbeResult::Reached);
        drop(late.await);
    }

    #[test]
    fn what_is_said_is_heard_and_nothing_else_is() {
        for result in ProbeResult::ALL {
            assert_eq!(heard(&report(result, "192.0.2.1:443"), "192.0.2.1:443"), Some(result));
        }
        for other in ["", "Reached", "Reached 192.0.2.1:80", "reached 192.0.2.1:443"] {
            assert_eq!(heard(other, "192.0.2.1:443"), None, "{other}");
        }
    }
}
