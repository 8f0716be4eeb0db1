use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::{Client, Connection, IntoConnectionInfo as _};

use super::*;

fn password(name: &str) -> String {
    format!("password-of-{name}")
}

#[test]
fn the_file_names_everyone_and_no_password() {
    let file = file(password);
    insta::assert_snapshot!(file);
    assert!(!file.contains("password-of"));
}

/// A real Redis that has read the file.
struct Redis {
    child: Child,
    folder: tempfile::TempDir,
}

impl Redis {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("users.acl"), file(password)).unwrap();
        let child = Self::spawn(&folder);
        Self { child, folder }
    }

    fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::spawn(&self.folder);
        // It takes connections before it has read its file.
        let has_read =
            |redis: &Self| redis::cmd("PING").exec(&mut redis.connect(Some(PROBE))).is_ok();
        for _ in 0..500 {
            if has_read(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis does not read its file");
    }

    fn spawn(folder: &tempfile::TempDir) -> Child {
        Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", "always", "--unixsocket"])
            .arg(folder.path().join("redis.sock"))
            .arg("--aclfile")
            .arg(folder.path().join("users.acl"))
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is on PATH: apt-get install redis-server")
    }

    fn connect(&self, user: Option<&str>) -> Connection {
        let socket = self.folder.path().join("redis.sock");
        let url = format!("unix://{}", socket.display());
        let mut info = url.as_str().into_connection_info().unwrap();
        if let Some(user) = user {
            let settings = info.redis_settings().clone();
            let settings = settings.set_username(user).set_password(password(user));
            info = info.set_redis_settings(settings);
        }
        let client = Client::open(info).unwrap();
        for _ in 0..500 {
            if let Ok(connection) = client.get_connection() {
                return connection;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis refused its ACL file, or the user {user:?}");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Whether a command is let through, whatever it answers.
fn may(redis: &mut Connection, command: &str) -> bool {
    let mut words = command.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        cmd.arg(word);
    });
    match cmd.query::<redis::Value>(redis) {
        Ok(_) => true,
        // The second is what a script is told.
        Err(error) => {
            let text = error.to_string();
            let no = ["permission", "can't access", "Authentication required"];
            !no.iter().any(|no| text.contains(no))
        }
    }
}

#[test]
fn everyone_may_do_what_the_wire_says_and_no_more() {
    let redis = Redis::start();
    let allowed: [(Option<&str>, &[&str]); 4] = [
        (Some(PROBE), &["PING"]),
        (
            Some("edge"),
            &[
                "XADD ev:0123456789abcdef.1 1-0 b x",
                "XRANGE ev:0123456789abcdef.1 - +",
                "XREVRANGE refusals + - COUNT 1",
                "XREAD COUNT 1 STREAMS refusals 0-0",
                "GET refusals:head",
                "SET edge:0123456789abcdef x EX 10",
                "INFO memory",
            ],
        ),
        (
            Some("writer"),
            &[
                "SCAN 0 MATCH ev:*",
                "SET writer:lease me NX PX 5000",
                "XREAD COUNT 1 STREAMS ev:0123456789abcdef.1 0-0",
                "XLEN ev:0123456789abcdef.1",
                "XTRIM ev:0123456789abcdef.1 MINID = 1-0",
                "HSETNX dead a b",
                "HSCAN dead 0",
                "HKEYS dead",
                "SADD days:closable 2026-01-01",
                "HGETALL days:pods",
                "GET edge:0123456789abcdef",
                "SET writer:told:eu-writer-x x EX 15",
                "HGETALL policies",
                "HGET policies x",
                "HSET plans x y",
                "HDEL plans x",
                "XADD refusals 1-0 e x",
                "HSET published 0123456789abcdef x",
                "HLEN published",
                "HEXISTS published 0123456789abcdef",
                "SET published:epoch 1",
                "XADD audit 1-0 e x",
                "SET audit:head x",
                "HSET erased 1 x",
            ],
        ),
        (
            Some("operator"),
            &[
                "XADD refusals 2-0 e x",
                "SET refusals:head x",
                "XRANGE asks - + COUNT 1",
                "XDEL asks 1-0",
                "SMEMBERS days:closable",
                "SREM days:closable 2026-01-01",
                "SCAN 0 MATCH edge:*",
                "GET edge:0123456789abcdef",
                "GET published:epoch",
                "HSCAN published 0",
                "SCAN 0 MATCH writer:told:*",
                "HGETALL policies",
                "HSET policies x y",
                "HDEL policies x",
                "HGETALL plans",
                "HGET plans x",
                "GET writer:told:eu-writer-x",
                "XADD audit 2-0 e x",
                "SET audit:head x",
                "HMGET erased 1",
            ],
        ),
    ];
    for (user, commands) in allowed {
        let mut connection = redis.connect(user);
        for command in commands {
            assert!(may(&mut connection, command), "{user:?} {command}");
        }
    }
    for (user, command) in [
        (None, "PING"),
        (None, "GET refusals:head"),
        (None, "KEYS *"),
        (Some(PROBE), "GET refusals:head"),
        (Some("edge"), "GET writer:cut"),
        (Some("edge"), "HGETALL dead"),
        (Some("edge"), "DEL ev:0123456789abcdef.1"),
        (Some("edge"), "EVAL redis.call('SET','writer:cut','x') 0"),
        (Some("writer"), "SET edge:0123456789abcdef x"),
        (Some("edge"), "XRANGE audit - +"),
        (Some("edge"), "GET audit:head"),
        (Some("writer"), "FLUSHALL"),
        (Some("operator"), "HSET erased 1 x"),
        (Some("operator"), "HSET plans x y"),
        (Some("writer"), "HSET policies x y"),
        (Some("operator"), "XADD ev:0123456789abcdef.1 2-0 b x"),
        (Some("operator"), "DEL refusals"),
        (Some("operator"), "SET published:epoch 1"),
        (Some("operator"), "HSCAN dead 0"),
        (Some("operator"), "SET writer:told:eu-writer-x x"),
        (Some("operator"), "GET writer:cut"),
        (Some("operator"), "CONFIG SET appendonly no"),
    ] {
        assert!(!may(&mut redis.connect(user), command), "{user:?} {command}");
    }
}

/// Redis reads its file as a user, too.
#[test]
fn what_a_script_wrote_is_there_after_a_restart() {
    let mut redis = Redis::start();
    let script = "redis.call('SET', 'writer:cut', 'a') return redis.call('HSET', 'dead', 'b', 'c')";
    let mut writer = redis.connect(Some("writer"));
    redis::cmd("EVAL").arg(script).arg(0).exec(&mut writer).unwrap();
    redis.restart();
    let mut writer = redis.connect(Some("writer"));
    let cut: Option<String> = redis::cmd("GET").arg("writer:cut").query(&mut writer).unwrap();
    let dead: Option<String> = redis::cmd("HGET").arg("dead").arg("b").query(&mut writer).unwrap();
    assert_eq!((cut.as_deref(), dead.as_deref()), (Some("a"), Some("c")));
}
