use super::*;

/// 2026-11-22, noon.
const NOW: i64 = 1_795_348_800;

const YEAR: i64 = 365 * DAY;

fn first() -> (Authorities, Data) {
    let data = Authorities(Vec::new()).another("demo", NOW).unwrap();
    (Authorities::read(&data), data)
}

fn redis() -> End {
    End { name: "demo-redis".into(), hosts: vec!["demo-redis.hush.svc".into()] }
}

fn edge() -> End {
    End { name: "demo-edge".into(), hosts: Vec::new() }
}

fn count(bundle: &str) -> usize {
    bundle.matches("BEGIN CERTIFICATE").count()
}

#[test]
fn a_certificate_is_kept_until_a_third_of_its_year_is_left() {
    let (authorities, _) = first();
    let held = authorities.sign(&redis(), NOW).unwrap();
    assert!(authorities.keep(&held, &redis(), NOW));
    assert!(authorities.keep(&held, &redis(), NOW + 243 * DAY));
    assert!(!authorities.keep(&held, &redis(), NOW + 244 * DAY));
    let renewed = authorities.sign(&redis(), NOW + 244 * DAY).unwrap();
    assert_ne!(renewed, held);
    assert!(authorities.keep(&renewed, &redis(), NOW + 244 * DAY));
}

#[test]
fn what_is_not_this_ends_own_is_not_kept() {
    let (authorities, _) = first();
    let held = authorities.sign(&redis(), NOW).unwrap();
    let renamed = End { hosts: vec!["other.hush.svc".into()], ..redis() };
    assert!(!authorities.keep(&held, &renamed, NOW), "for other hosts");
    let mut mixed = held.clone();
    mixed.insert(KEY.into(), authorities.sign(&redis(), NOW).unwrap()[KEY].clone());
    assert!(!authorities.keep(&mixed, &redis(), NOW), "with another's key");
    let mut broken = held.clone();
    broken.insert(CERTIFICATE.into(), b"nothing".to_vec());
    assert!(!authorities.keep(&broken, &redis(), NOW), "no certificate at all");
    assert!(!authorities.keep(&Data::new(), &redis(), NOW));
    let elsewhere = Authorities(Vec::new()).another("demo", NOW + 1).unwrap();
    let elsewhere = Authorities::read(&elsewhere);
    assert!(!elsewhere.keep(&held, &redis(), NOW), "signed by nobody who is trusted");
}

#[test]
fn a_new_authority_is_trusted_before_it_signs_and_the_old_one_until_it_ends() {
    let (authorities, mut data) = first();
    let early = authorities.sign(&redis(), NOW).unwrap();
    assert!(!authorities.want_another(NOW + 6 * YEAR));
    let late = NOW + 7 * YEAR;
    assert!(authorities.want_another(late));
    data.extend(authorities.another("demo", late).unwrap());
    let both = Authorities::read(&data);
    assert!(!both.want_another(late));
    assert_eq!(count(&both.trusted(late)), 2);

    let by = |at: i64| Said::read(&both.sign(&edge(), at).unwrap()[CERTIFICATE]).unwrap().issuer;
    assert_eq!(by(late), both.0[0].said.subject, "not everyone knows the new one yet");
    assert_eq!(by(late + DAY), both.0[1].said.subject);
    assert!(both.keep(&early, &redis(), NOW + 100 * DAY), "what the old one signed stays good");

    let over = NOW + 11 * YEAR;
    assert_eq!(count(&both.trusted(over)), 1);
}

#[test]
fn two_ends_agree_by_what_was_signed_and_an_edge_cannot_pose_as_a_store() {
    // rustls reads the machine's clock.
    let now = i64::try_from(crate::context::now_ms() / 1_000).unwrap();
    let data = Authorities(Vec::new()).another("demo", now).unwrap();
    let authorities = Authorities::read(&data);
    let pem = |end: &End| {
        let mut data = authorities.sign(end, now).unwrap();
        let mut entry = |name: &str| (name.to_owned(), data.remove(name).unwrap());
        let own = (entry(CERTIFICATE), entry(KEY));
        Pem::parse((CA.into(), authorities.trusted(now).into_bytes()), Some(own)).unwrap()
    };
    assert_eq!(shake(&pem(&edge()), &pem(&redis())), Ok(()));
    let posing = End { name: "demo-edge".into(), hosts: Vec::new() };
    let refused = shake(&pem(&edge()), &pem(&posing)).unwrap_err();
    assert!(refused.contains("NotValidForName") || refused.contains("Purpose"), "{refused}");
}

/// Both ends in memory.
fn shake(client: &Pem, server: &Pem) -> Result<(), String> {
    let name = hushmark_hop::server_name("demo-redis.hush.svc").unwrap();
    let mut client = rustls::ClientConnection::new(client.client().unwrap(), name).unwrap();
    let mut server = rustls::ServerConnection::new(server.server().unwrap()).unwrap();
    for _ in 0..8 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            server.read_tls(&mut wire).unwrap();
            server.process_new_packets().map_err(|error| format!("server: {error:?}"))?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets().map_err(|error| format!("client: {error:?}"))?;
        }
    }
    Ok(())
}
