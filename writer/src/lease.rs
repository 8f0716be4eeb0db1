//! The fenced lease: one writer works, the others stand by.
//!
//! Holding it is a belief that ends by itself: a second before Redis would let it expire. What
//! makes it safe is not this clock but the scripts, which check the lease where it lies.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::scripts::{Fenced, ScriptError};

/// How long Redis keeps a lease that is not renewed.
pub const TTL: Duration = Duration::from_secs(5);

/// The holder stops this much before.
const MARGIN: Duration = Duration::from_secs(1);

/// How often it is renewed: three tries fit before the holder has to stop.
const RENEW_EVERY: Duration = Duration::from_millis(1_200);

/// A lease that is being renewed. Dropping it stops the renewing.
pub struct Lease {
    valid_until: watch::Receiver<Instant>,
    renewing: JoinHandle<()>,
}

const TTL_MS: u64 = TTL.as_secs() * 1_000;

impl Lease {
    /// Takes the lease if nobody holds it, and begins to renew it.
    ///
    /// # Errors
    /// [`ScriptError::LeaseLost`] when somebody holds it.
    pub async fn acquire(fenced: &mut Fenced) -> Result<Self, ScriptError> {
        let asked = Instant::now();
        fenced.acquire(TTL_MS).await?;
        let (told, valid_until) = watch::channel(asked + TTL - MARGIN);
        let renewing = tokio::spawn(renew(fenced.clone(), told));
        Ok(Self { valid_until, renewing })
    }

    /// Whether it is still held, as far as can be known without asking.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        crate::failpoints::off("lease-clock") || Instant::now() < *self.valid_until.borrow()
    }

    /// Ends when the lease is lost.
    pub async fn lost(&self) {
        if crate::failpoints::off("lease-clock") {
            std::future::pending::<()>().await;
        }
        while self.is_valid() {
            let until = *self.valid_until.borrow();
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

async fn renew(mut fenced: Fenced, told: watch::Sender<Instant>) {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        let asked = Instant::now();
        match fenced.renew(TTL_MS).await {
            Ok(()) => {
                if told.send(asked + TTL - MARGIN).is_err() {
                    return;
                }
            }
            Err(ScriptError::Redis(error)) => tracing::debug!(%error, "lease was not renewed"),
            Err(_) => {
                told.send_replace(asked);
                return;
            }
        }
    }
}
