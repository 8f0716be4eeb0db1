use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConnection, ServerConnection};

use super::*;

/// A folder with an authority and what it signed for a host.
fn folder(root: &Path, name: &str, host: &str) -> PathBuf {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let folder = root.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("ca.crt"), ca.pem()).unwrap();
    std::fs::write(folder.join("tls.crt"), leaf.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
    folder
}

/// Both ends in memory, until both are content or one is not.
fn shake(client: &Files, server: &Files, host: &str) -> Result<(), String> {
    let name = server_name(host).unwrap();
    let mut client = ClientConnection::new(client.client().unwrap(), name).unwrap();
    let mut server = ServerConnection::new(server.server().unwrap()).unwrap();
    for _ in 0..8 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            server.read_tls(&mut wire).unwrap();
            server.process_new_packets().map_err(|error| format!("server: {error}"))?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets().map_err(|error| format!("client: {error}"))?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

#[test]
fn two_ends_of_one_authority_agree_and_no_stranger_gets_in() {
    let root = tempfile::tempdir().unwrap();
    let ours = Files::in_folder(&folder(root.path(), "ours", "store"));
    assert_eq!(shake(&ours, &ours, "store"), Ok(()));

    let refused = shake(&ours, &ours, "another").unwrap_err();
    assert!(refused.starts_with("client: invalid peer certificate"), "{refused}");

    let naked = Files { own: None, ..ours.clone() };
    let refused = shake(&naked, &ours, "store").unwrap_err();
    assert!(refused.contains("peer sent no certificates"), "{refused}");

    let theirs = folder(root.path(), "theirs", "store");
    let stranger = Files { own: Files::in_folder(&theirs).own, ..ours.clone() };
    let refused = shake(&stranger, &ours, "store").unwrap_err();
    assert!(refused.starts_with("server: invalid peer certificate"), "{refused}");
    let refused = shake(&ours, &Files::in_folder(&theirs), "store").unwrap_err();
    assert!(refused.starts_with("client: invalid peer certificate"), "{refused}");
}

#[test]
fn what_cannot_be_used_is_named_and_no_key_is_shown() {
    let root = tempfile::tempdir().unwrap();
    let good = folder(root.path(), "good", "store");
    let said = |change: &dyn Fn(&Path)| {
        let folder = folder(root.path(), "bad", "store");
        change(&folder);
        Files::in_folder(&folder).read().err().unwrap().to_string()
    };
    let gone = said(&|folder| std::fs::remove_file(folder.join("tls.key")).unwrap());
    assert!(gone.contains("bad/tls.key: No such file"), "{gone}");
    let empty = said(&|folder| std::fs::write(folder.join("ca.crt"), "").unwrap());
    assert!(empty.contains("bad/ca.crt holds no certificate in PEM: there is none"), "{empty}");
    let other = said(&|folder| {
        std::fs::copy(good.join("tls.key"), folder.join("tls.key")).unwrap();
    });
    assert!(other.contains("bad/tls.key cannot be used together"), "{other}");
    let text = said(&|folder| std::fs::write(folder.join("tls.key"), "topsecret").unwrap());
    assert!(text.contains("bad/tls.key holds no private key"), "{text}");
    assert!(!text.contains("topsecret"), "{text}");
}

#[test]
fn three_options_make_one_end_or_none() {
    let of = |ca: Option<&str>, certificate: Option<&str>, key: Option<&str>| {
        Files::from_options(ca.map(Into::into), certificate.map(Into::into), key.map(Into::into))
    };
    assert_eq!(of(None, None, None).unwrap(), None);
    assert_eq!(of(Some("a"), None, None).unwrap().unwrap().own, None);
    assert!(of(Some("a"), Some("b"), Some("c")).unwrap().unwrap().own.is_some());
    assert!(of(None, Some("b"), Some("c")).is_err());
    assert!(of(Some("a"), Some("b"), None).is_err());
}
