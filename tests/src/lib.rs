//! The rooms together, on a real Redis and the real engine: what the guarantees are worth.
//!
//! This room is a harness and the proofs that stand on it. The binary `hushmark-prove` runs a proof
//! at full size; the tests of this crate run each in its short form. In reading order:
//!
//! 1. [`tools`]: the binaries and the engine library that are put to the test.
//! 2. [`process`], [`ports`] and [`http`]: children that can be killed, stopped and asked.
//! 3. [`keys`] and [`stack`]: a whole stack on one machine, each part of which can be killed.
//! 4. [`one_machine`] and [`letters`]: `hushmark up` as its users start it, and what it stamped.
//! 5. [`cluster`]: a Kubernetes control plane, whose every request is counted, and a real node.
//! 6. [`plan`]: which hit is sent when, each a cell of its own, and the tokens for them.
//! 7. [`load`]: a client that remembers what was sent and what was answered.
//! 8. [`killer`]: kills everything at random, again and again.
//! 9. [`verify`]: what was answered against what was stored, to the hit.
//! 10. [`figure`] and [`proofs`]: the guarantees, each with a proof that tries to break it.

pub mod bitmap;
pub mod cluster;
pub mod command;
pub mod figure;
pub mod http;
pub mod keys;
pub mod killer;
pub mod letters;
pub mod load;
pub mod one_machine;
pub mod plan;
pub mod ports;
pub mod process;
pub mod proofs;
pub mod stack;
pub mod tools;
pub mod verify;
