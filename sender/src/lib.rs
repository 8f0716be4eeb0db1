//! From a newsletter and a list to ready messages: placeholders filled, links wrapped, the pixel
//! placed, tokens sealed. Nothing here reads a clock, draws a random number or does I/O of its own.
//!
//! The path of the data, which is also the reading order:
//!
//! 1. [`recipients`]: the CSV file becomes a list of checked [`address`]es and their columns.
//! 2. [`html`]: the newsletter becomes a template, cut where links and placeholders stand.
//!    [`slot`] says what a placeholder is, [`url`] what a link points at.
//! 3. [`plan`]: what is to be stamped, with every decision already made.
//! 4. [`stamp`](mod@stamp): the loop. For each reader it draws a mark or asks who the contact is,
//!    renders, seals and hands the message on.
//! 5. [`message`]: headers and MIME around the rendered HTML.
//!
//! Architecture invariant: a recipient's address goes into the `To` header and where the author
//! writes `{{address}}`. It is in no URL that is tracked, no file name, no error and no warning.

pub mod address;
pub mod html;
pub mod message;
pub mod plan;
pub mod recipients;
pub mod slot;
pub mod stamp;
pub mod url;

pub use address::Address;
pub use html::Template;
pub use message::{Envelope, Mailbox, Unsubscribe};
pub use plan::Plan;
pub use recipients::List;
pub use slot::PlainTemplate;
pub use stamp::{Sources, Stamped, stamp};
pub use url::TrackingHost;
