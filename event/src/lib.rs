//! Every byte that two of our programs share: `WIRE.md` beside this crate is its description, and
//! the golden tests hold the two together.
//!
//! The path of a hit, in reading order:
//!
//! 1. [`hit`]: what is known of one request once address and user agent are forgotten.
//! 2. [`batch`]: many hits and voids packed into bytes, and read again.
//! 3. [`ring`]: the day ring, the keys that batches rest under and sketches are salted with.
//! 4. [`seal`]: a batch sealed under its day and lane, its number as nonce.
//! 5. [`lane`] and [`redis_keys`]: where a sealed batch waits.
//! 6. [`cut`]: what a writer is about to store, written down before it is sent.
//! 7. [`cell`]: the counters that hits become, and the keyed hashes that sketches are fed with.
//! 8. [`tables`]: the numbered SQL of everything in ClickHouse.
//! 9. [`refusal`]: the hash-chained log of what may no longer be counted; [`ask`]: how a person
//!    asks for an entry; [`folder`]: the folder in which a process keeps its copy, and that it shares
//!    with nobody.
//! 10. [`objection`]: what a recipient's own page asks for, and how a message is named in the log.
//! 11. [`audit`]: the log of who asked for what, and the receipts of what was erased, with their
//!     verifier; [`chain`]: what both logs have in common.
//! 12. [`heartbeat`]: what an edge says of itself. [`totals`]: what epochs published, in short.
//!     [`told`]: what a writer says of itself. [`plans`]: what policies would remove.

pub mod ask;
pub mod audit;
pub mod batch;
pub mod cell;
pub mod chain;
pub mod cut;
pub mod folder;
pub mod heartbeat;
pub mod hit;
pub mod lane;
pub mod objection;
pub mod plans;
pub mod redis_keys;
pub mod refusal;
pub mod ring;
pub mod seal;
pub mod tables;
pub mod told;
pub mod totals;

pub use batch::{BatchBuilder, BatchReader, Record};
pub use cut::Cut;
pub use heartbeat::Heartbeat;
pub use hit::{Client, Context, Device, Hit, System, Verdict};
pub use lane::Lane;
pub use objection::Objection;
pub use ring::{DayKey, Ring};
pub use seal::{LaneSealer, Sealed};
pub use totals::{Total, Totals};
