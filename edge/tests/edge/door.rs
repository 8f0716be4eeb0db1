//! TLS, HTTP/2 and the PROXY protocol: what stands between a socket and a request.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use hushmark_policy::Mode;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use crate::fixture::{Answer, Edge, Mail, Region, until};

const HOST: &str = "t.example";

/// A certificate in the region's folder, which a client trusts.
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
    der: CertificateDer<'static>,
}

impl Pair {
    fn new(region: &Region) -> Self {
        let (certificate, key) = (region.path("tls.crt"), region.path("tls.key"));
        let mut pair = Self { certificate, key, der: CertificateDer::from(Vec::new()) };
        pair.renew();
        pair
    }

    /// Another certificate, in the same files.
    fn renew(&mut self) {
        let CertifiedKey::<KeyPair> { cert, signing_key } =
            generate_simple_self_signed([HOST.to_owned()]).unwrap();
        std::fs::write(&self.certificate, cert.pem()).unwrap();
        std::fs::write(&self.key, signing_key.serialize_pem()).unwrap();
        self.der = cert.der().clone();
    }

    fn edge(&self, region: &Region, more: &[&str]) -> Edge {
        let [certificate, key] = [&self.certificate, &self.key].map(|path| path.to_str().unwrap());
        region.ready_edge(&[&["--tls-certificate", certificate, "--tls-key", key], more].concat())
    }

    fn client(&self, versions: &[&'static SupportedProtocolVersion], alpn: &[u8]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        config
    }
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn over(socket: TcpStream, config: &Arc<ClientConfig>) -> Tls {
    let name = ServerName::try_from(HOST).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket)
}

fn ask(stream: &mut Tls, path: &str) -> Answer {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {HOST}\r\n\r\n").unwrap();
    Answer::read(stream, false)
}

#[test]
fn hits_come_by_tls_and_a_client_that_comes_back_resumes() {
    let region = Region::new();
    let pair = Pair::new(&region);
    let edge = pair.edge(&region, &[]);
    for version in [&TLS12, &TLS13] {
        let config = Arc::new(pair.client(&[version], b"http/1.1"));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut stream = over(edge.connect(), &config);
            for _ in 0..2 {
                assert_eq!(ask(&mut stream, &Mail::new(Mode::Overall).pixel()).status, 200);
            }
            let found = stream.conn.handshake_kind();
            assert!(found == Some(kind), "{found:?} for {version:?}");
        }
    }
    assert_eq!(region.stored_hits().len(), 8);
    assert_eq!(edge.metric("hushmark_edge_tls_handshakes_total{outcome=\"done\"}"), 4.0);
}

#[test]
fn requests_that_were_sent_together_are_answered_in_turn() {
    let region = Region::new();
    let pair = Pair::new(&region);
    let edge = pair.edge(&region, &[]);
    let mut stream = over(edge.connect(), &Arc::new(pair.client(&[&TLS13], b"http/1.1")));
    let asked = |mail: Mail| format!("GET {} HTTP/1.1\r\nhost: t\r\n\r\n", mail.pixel());
    let together: String = (0..20).map(|n| asked(Mail::marked(n))).collect();
    stream.write_all(together.as_bytes()).unwrap();
    for _ in 0..20 {
        assert_eq!(Answer::read(&mut stream, false).status, 200);
    }
    assert_eq!(region.stored_hits().len(), 20);
}

#[test]
fn a_silent_connection_is_parked_with_its_session() {
    let region = Region::new();
    let pair = Pair::new(&region);
    let edge = pair.edge(&region, &[]);
    let mut stream = over(edge.connect(), &Arc::new(pair.client(&[&TLS13], b"http/1.1")));
    assert_eq!(ask(&mut stream, &Mail::new(Mode::Overall).pixel()).status, 200);
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(ask(&mut stream, &Mail::new(Mode::Overall).pixel()).status, 200);
    assert_eq!(region.stored_hits().len(), 2);
}

#[test]
fn http2_answers_many_at_once_and_outlives_one_that_is_given_up() {
    let region = Region::new();
    let pair = Pair::new(&region);
    let edge = pair.edge(&region, &["--idle-timeout", "1s"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let addr = edge.addr;
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(addr).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(pair.client(&[&TLS13], b"h2")));
        let name = ServerName::try_from(HOST).unwrap();
        let stream = connector.connect(name, socket).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        let served = tokio::spawn(connection);
        let request = |path: String| {
            let uri = format!("https://{HOST}{path}");
            http::Request::get(uri).body(()).unwrap()
        };
        let mut client = client.ready().await.unwrap();
        let answers: Vec<_> = (0..20)
            .map(|n| client.send_request(request(Mail::marked(n).pixel()), true).unwrap().0)
            .collect();
        for answer in answers {
            let mut answer = answer.await.unwrap();
            assert_eq!(answer.status(), 200);
            let body = answer.body_mut().data().await.unwrap().unwrap();
            assert_eq!(body.len(), 43);
        }
        let mut client = client.ready().await.unwrap();
        let (_, mut given_up) =
            client.send_request(request(Mail::marked(20).pixel()), false).unwrap();
        given_up.send_reset(h2::Reason::CANCEL);
        let mut client = client.ready().await.unwrap();
        let click = client.send_request(request(Mail::marked(21).link()), true).unwrap().0;
        assert_eq!(click.await.unwrap().status(), 302);
        let mut client = client.ready().await.unwrap();
        let mut head = request(Mail::marked(22).pixel());
        *head.method_mut() = http::Method::HEAD;
        let mut answer = client.send_request(head, true).unwrap().0.await.unwrap();
        assert_eq!(answer.headers()["content-length"], "43");
        assert!(answer.body_mut().data().await.is_none());
        // Nothing is asked any more, so the edge says good-bye.
        let ended = tokio::time::timeout(crate::fixture::PATIENCE, served).await;
        ended.expect("the idle time has an end").unwrap().ok();
    });
    let hits = region.stored_hits();
    assert!((21..=22).contains(&hits.len()), "{}", hits.len());
    until("the connection is closed", || {
        (edge.metric("hushmark_edge_connections") == 0.0).then_some(())
    });
}

#[test]
fn an_answer_that_nobody_reads_and_a_client_that_sleeps_hold_nothing_up() {
    let region = Region::new();
    let pair = Pair::new(&region);
    let edge = pair.edge(&region, &["--header-timeout", "500ms", "--drain-timeout", "10m"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let addr = edge.addr;
    let (_reading, client) = runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(addr).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(pair.client(&[&TLS13], b"h2")));
        let stream = connector.connect(ServerName::try_from(HOST).unwrap(), socket).await.unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(0);
        let (client, connection) = builder.handshake::<_, bytes::Bytes>(stream).await.unwrap();
        let reading = tokio::spawn(connection);
        let mut client = client.ready().await.unwrap();
        let uri = format!("https://{HOST}{}", Mail::new(Mode::Overall).pixel());
        let request = http::Request::get(uri).body(()).unwrap();
        let mut answer = client.send_request(request, true).unwrap().0.await.unwrap();
        assert_eq!(answer.status(), 200);
        let body = answer.body_mut().data().await.unwrap();
        assert!(body.is_err(), "the edge resets what is not read");
        (reading, client)
    });
    // Nobody drives the client any more: it will not answer the edge's good-bye.
    let begun = std::time::Instant::now();
    assert_eq!(edge.stop(), 0);
    assert!(begun.elapsed() < crate::fixture::PATIENCE, "it waited for the client");
    drop(client);
}

#[test]
fn a_new_certificate_is_shown_without_a_restart_and_a_bad_one_changes_nothing() {
    let region = Region::new();
    let mut pair = Pair::new(&region);
    let edge = pair.edge(&region, &[]);
    let pixel = Mail::new(Mode::Overall).pixel();
    let mut old = over(edge.connect(), &Arc::new(pair.client(&[&TLS13], b"http/1.1")));
    assert_eq!(ask(&mut old, &pixel).status, 200);

    pair.renew();
    let config = Arc::new(pair.client(&[&TLS13], b"http/1.1"));
    until("the new certificate is shown", || {
        let mut stream = over(edge.connect(), &config);
        stream.conn.complete_io(&mut stream.sock).ok()
    });
    assert_eq!(ask(&mut old, &pixel).status, 200, "an open connection goes on");

    std::fs::write(&pair.key, "no key").unwrap();
    until("the edge says that it kept what it had", || {
        (edge.metric("hushmark_edge_reload_failures_total") > 0.0).then_some(())
    });
    let mut stream = over(edge.connect(), &config);
    assert_eq!(ask(&mut stream, &pixel).status, 200);
}

#[test]
fn what_is_no_handshake_ends_within_the_limit() {
    let region = Region::new();
    let pair = Pair::new(&region);
    let edge = pair.edge(&region, &["--header-timeout", "500ms"]);
    assert_eq!(edge.get("/").status, 0, "plain HTTP gets no answer");
    // It is counted once the connection is closed, which the client sees first.
    let counted = |name: &str| until(name, || (edge.metric(name) == 1.0).then_some(()));
    counted("hushmark_edge_tls_handshakes_total{outcome=\"failed\"}");
    let mut silent = edge.connect();
    silent.write_all(&[0x16, 0x03]).unwrap();
    assert!(matches!(silent.read(&mut [0]), Ok(0) | Err(_)));
    counted("hushmark_edge_connections_total{outcome=\"timed_out\"}");
}

/// A header for a connection from `source`, port 32768.
fn proxied(source: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(source);
    header.extend([198, 51, 100, 1, 0x80, 0, 0x01, 0xbb]);
    header
}

#[test]
fn a_trusted_proxy_says_whose_connection_it_is() {
    let region = Region::new();
    let pair = Pair::new(&region);
    let places = format!("{}/tests/data/GeoLite2-Country-Test.mmdb", env!("CARGO_MANIFEST_DIR"));
    let door = ["--trusted-proxy", "127.0.0.0/8", "--country-db", &places, "--proxy-protocol"];
    let edge = pair.edge(&region, &door);
    let mut socket = edge.connect();
    socket.write_all(&proxied([81, 2, 69, 160])).unwrap();
    let mut stream = over(socket, &Arc::new(pair.client(&[&TLS13], b"http/1.1")));
    assert_eq!(ask(&mut stream, &Mail::new(Mode::Anonymous).pixel()).status, 200);
    let hit = region.stored_hits().remove(0);
    assert_eq!(hit.country, Some(*b"GB"));
}

#[test]
fn without_its_header_or_from_anybody_else_a_connection_is_closed() {
    let region = Region::new();
    let pixel = Mail::new(Mode::Overall).pixel();
    let edge = region.ready_edge(&["--trusted-proxy", "127.0.0.0/8", "--proxy-protocol"]);
    assert_eq!(edge.get(&pixel).status, 0);
    drop(edge);
    let edge = region.ready_edge(&["--trusted-proxy", "192.0.2.0/24", "--proxy-protocol"]);
    let mut socket = edge.connect();
    socket.write_all(&proxied([81, 2, 69, 160])).unwrap();
    // The edge may hang up before it was all sent.
    drop(write!(socket, "GET {pixel} HTTP/1.1\r\nhost: t\r\n\r\n"));
    assert_eq!(Answer::read(&mut socket, false).status, 0);
    assert_eq!(edge.metric("hushmark_edge_connections_total{outcome=\"proxy_refused\"}"), 1.0);
    assert!(region.stored_hits().is_empty());
}

#[test]
fn what_cannot_be_used_is_named_before_anything_is_served() {
    let region = Region::new();
    let pair = Pair::new(&region);
    let other = KeyPair::generate().unwrap();
    let says = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_hushmark-edge"))
            .args(region.arguments())
            .args(more)
            .output()
            .unwrap();
        assert!(!output.status.success());
        let folder = region.folder.path().to_str().unwrap().to_owned();
        String::from_utf8(output.stderr).unwrap().replace(&folder, "DIR")
    };
    let certificate = pair.certificate.to_str().unwrap();
    let key = pair.key.to_str().unwrap();
    let pair_of = |certificate, key| ["--tls-certificate", certificate, "--tls-key", key];
    let words = says(&pair_of(certificate, certificate));
    assert!(words.contains("DIR/tls.crt holds no private key: no items found"), "{words}");
    let words = says(&pair_of(key, key));
    assert!(words.contains("DIR/tls.key holds no certificate"), "{words}");
    std::fs::write(&pair.key, other.serialize_pem()).unwrap();
    let words = says(&pair_of(certificate, key));
    assert!(words.contains("DIR/tls.crt and DIR/tls.key cannot be used together"), "{words}");
    let words = says(&["--tls-certificate", certificate]);
    assert!(words.contains("not provided:\n  --tls-key <FILE>"), "{words}");
    let words = says(&["--proxy-protocol"]);
    assert!(words.contains("not provided:\n  --trusted-proxy <CIDR>"), "{words}");
}
