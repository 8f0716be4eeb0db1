//! Who may do what in the region's Redis. `event/WIRE.md`, "Redis", says who writes which key.

use sha2::{Digest as _, Sha256};

/// A program that speaks to Redis.
pub(in crate::region) struct User {
    pub(in crate::region) name: &'static str,
    /// What it may touch and call. Scripts are held to it, too.
    rules: &'static str,
}

/// Everyone who may speak to Redis.
pub(in crate::region) const USERS: [User; 3] = [
    User {
        name: "edge",
        rules: "~ev:* ~edge:* ~refusals ~refusals:head -@all +ping +info +xadd +xrange +xrevrange \
                +xread +get +set +eval",
    },
    User {
        name: "writer",
        rules: "~ev:* %R~edge:* ~dead ~writer:* ~refusals ~refusals:head ~audit ~audit:head ~erased \
                ~asks ~days:* ~published ~published:epoch %R~policies ~plans -@all +ping +info +get \
                +set +del +pexpire +scan +xadd +xlen +xrange +xrevrange +xread +xtrim +hget +hset \
                +hsetnx +hdel +hkeys +hgetall +hscan +hlen +hexists +sadd +eval +evalsha \
                +script|load",
    },
    User {
        name: "operator",
        rules: "~refusals ~refusals:head ~audit ~audit:head ~asks ~days:* ~policies %R~plans \
                %R~erased %R~edge:* %R~published %R~published:epoch %R~writer:told:* -@all +ping \
                +info +get +set +scan +hget +hset +hdel +hgetall +hscan +hmget +xadd +xlen +xrange \
                +xrevrange +xread +xdel +smembers +srem +eval +evalsha +script|load",
    },
];

/// Nobody may connect without a name. But Redis reads its append-only file as this user, and leaves
/// out, with a line in its log, each script's or transaction's writes that the user may not do: so
/// it may do everything, and has no way in (Redis 7.0.15, `execCommand` and `createAOFClient`).
const NOBODY: &str = "user default off resetpass ~* &* +@all";

/// Who asks whether Redis is ready, as the pod's probe does, with any password.
pub(in crate::region) const PROBE: &str = "probe";
const PROBE_RULES: &str = "on nopass resetkeys resetchannels -@all +ping";

/// The ACL file, with a hash in place of each password.
pub(in crate::region) fn file(password: impl Fn(&'static str) -> String) -> String {
    let mut lines = vec![NOBODY.to_owned(), format!("user {PROBE} {PROBE_RULES}")];
    for User { name, rules } in USERS {
        let hash = hex::encode(Sha256::digest(password(name)));
        lines.push(format!("user {name} on #{hash} resetkeys resetchannels {rules}"));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests;
