//! What a hit costs, beside other people's servers on the same machine in the same run.
//!
//! Times differ between machines, and drift on one: what is told is CPU time a request, as a
//! multiple of a bare hyper server's that was measured just before and just after. In reading
//! order:
//!
//! 1. [`pinned`]: servers on one core, and what they used of it.
//! 2. [`requests`]: what the load asks for, the same bytes for everyone.
//! 3. [`load`]: wrk on the other core, and what it saw.
//! 4. [`peers`]: the servers that ours is held against.
//! 5. [`ours`]: the edge with its Redis, and what came of every hit that it answered.
//! 6. [`rounds`]: all of them in turn, and the median of the ratios.
//! 7. [`half_load`]: how long answers take when the server has time for them.
//! 8. [`fresh`]: a TLS connection a request.

pub mod fresh;
pub mod half_load;
pub mod load;
pub mod ours;
pub mod peers;
pub mod pinned;
pub mod requests;
pub mod rounds;
