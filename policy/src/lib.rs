//! What may be recorded, and what may be shown: the rules that everything else obeys.
//!
//! This room is pure: no clock, no I/O, no randomness. In reading order:
//!
//! 1. [`mode`]: the five tracking modes and the small vocabulary around them.
//! 2. [`id`]: who is meant (tenant, campaign, contact mark), each a type of its own.
//! 3. [`time`]: days and months, the only clock units that are ever stored.
//! 4. [`resolve`]: "the most restrictive wins", with the reason kept beside the result.
//! 5. [`cap`]: what the refusal log does to a message that was already sent.
//! 6. [`objected`]: who is counted no more by their own word.
//! 7. [`shown`]: the minimum group, and what an epoch may publish.
//! 8. [`pace`]: how figures of traffic, which know no campaign, move on.
//! 9. [`retention`]: what is due on a day.

pub mod cap;
pub mod id;
pub mod mode;
pub mod objected;
pub mod pace;
pub mod resolve;
pub mod retention;
pub mod shown;
pub mod time;

pub use cap::{Cap, Caps, Scope};
pub use id::{CampaignId, Generation, Mark, TenantId};
pub use mode::{Kind, MailType, Mode, Place, Tracking};
pub use objected::{Objected, ObjectedMessage};
pub use pace::Pace;
pub use time::{Day, Month};
