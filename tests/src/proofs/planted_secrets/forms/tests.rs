use std::collections::BTreeSet;

use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::super::people;
use super::*;

fn finder(people: &[Person]) -> Finder {
    Finder::new(people, &Hashes::stand_in(people)).unwrap()
}

fn found(finder: &Finder, bytes: &[u8]) -> BTreeSet<Find> {
    let mut all = BTreeSet::new();
    finder.search(bytes, |find| {
        all.insert(find);
    });
    all
}

#[test]
fn a_secret_is_found_in_every_form_and_between_anything() {
    let mut random = fastrand::Rng::with_seed(3);
    let all = people::draw(8, &mut random);
    let finder = finder(&all);
    for person in &all {
        for (kind, text) in [
            (Kind::Address, person.address.clone()),
            (Kind::UserAgent, person.user_agent.clone()),
            (Kind::Ip, person.v4.to_string()),
            (Kind::Ip, person.v4.to_ipv6_mapped().to_string()),
            (Kind::Ip, person.v6.to_string()),
        ] {
            let found = |bytes: &[u8], form| found(&finder, bytes).contains(&Find { kind, form });
            for before in ["", "x", "xy", "xyz"] {
                let whole = format!("{before}{text}{before}");
                assert!(found(whole.as_bytes(), Form::Raw));
                assert!(found(whole.to_uppercase().as_bytes(), Form::Raw));
                assert!(found(hex::encode(&whole).as_bytes(), Form::Hex));
                assert!(found(hex::encode_upper(&whole).as_bytes(), Form::Hex));
                assert!(found(STANDARD.encode(&whole).as_bytes(), Form::Base64), "{whole}");
                assert!(found(URL_SAFE.encode(&whole).as_bytes(), Form::Base64));
                assert!(found(&every_byte(whole.as_bytes()), Form::Url));
                let wide: Vec<u8> = whole.bytes().flat_map(|byte| [byte, 0]).collect();
                assert!(found(&wide, Form::Utf16));
            }
        }
        let raw = Find { kind: Kind::Ip, form: Form::Raw };
        let octets = person.v6.octets();
        assert!(found(&finder, &octets).contains(&raw));
        assert!(found(&finder, &person.v6.to_bits().to_le_bytes()).contains(&raw));
        assert!(found(&finder, person.v6.to_bits().to_string().as_bytes()).contains(&raw));
        let hex = Find { kind: Kind::Ip, form: Form::Hex };
        assert!(found(&finder, hex::encode(octets).as_bytes()).contains(&hex));
    }
}

#[test]
fn each_hash_is_found_as_bytes_in_hex_and_as_a_number() {
    let mut random = fastrand::Rng::with_seed(3);
    let all = people::draw(8, &mut random);
    let (finder, hashes) = (finder(&all), Hashes::stand_in(&all));
    let kinds = all.iter().flat_map(Person::hashables).filter(|text| text.likely);
    for text in kinds {
        for (at, hash) in hashes.of(&text.bytes).unwrap().iter().enumerate() {
            let find = Find { kind: text.kind, form: Form::Hashed(at) };
            assert!(found(&finder, hash).contains(&find));
            assert!(found(&finder, hex::encode_upper(hash).as_bytes()).contains(&find));
            if let Ok(bytes) = <[u8; 8]>::try_from(&hash[..]) {
                let number = u64::from_be_bytes(bytes);
                assert!(found(&finder, &number.to_le_bytes()).contains(&find));
                for text in [number.to_string(), number.cast_signed().to_string()] {
                    assert!(found(&finder, text.as_bytes()).contains(&find));
                    let longer = format!("7{}", text.trim_start_matches('-'));
                    assert!(!found(&finder, longer.as_bytes()).contains(&find));
                }
            } else {
                assert!(found(&finder, STANDARD.encode(hash).as_bytes()).contains(&find));
            }
        }
    }
}

#[test]
fn what_is_nobodys_is_not_found() {
    let mut random = fastrand::Rng::with_seed(3);
    let all = people::draw(8, &mut random);
    let others = people::draw(8, &mut random);
    let finder = finder(&all);
    for other in others {
        let mut forms = Vec::new();
        for text in other.secrets().into_iter().map(|it| it.bytes).chain([
            other.address.clone().into_bytes(),
            other.user_agent.clone().into_bytes(),
            other.v4.to_ipv6_mapped().octets().to_vec(),
        ]) {
            forms.extend_from_slice(&text);
            forms.push(b'\n');
            for line in [hex::encode(&text), STANDARD.encode(&text), URL_SAFE.encode(&text)] {
                forms.extend_from_slice(line.as_bytes());
                forms.push(b'\n');
            }
            forms.extend_from_slice(&every_byte(&text));
            forms.extend(text.iter().flat_map(|byte| [*byte, 0]));
        }
        assert_eq!(found(&finder, &forms), BTreeSet::new());
    }
}

/// An audit log's first entry names the hash before it, which is zeros. What an IPv4 address begins
/// with where it is mapped into IPv6 is zeros as well.
#[test]
fn zeros_are_nobody() {
    let mut random = fastrand::Rng::with_seed(1);
    let finder = finder(&people::draw(40, &mut random));
    let entry = format!(r#"{{"n":1,"before":"{}"}}"#, "0".repeat(64));
    assert_eq!(found(&finder, entry.as_bytes()), BTreeSet::new());
    assert_eq!(found(&finder, &[0; 4096]), BTreeSet::new());
    assert_eq!(found(&finder, "A".repeat(4096).as_bytes()), BTreeSet::new());
    assert_eq!(found(&finder, "%00".repeat(4096).as_bytes()), BTreeSet::new());
    assert_eq!(found(&finder, &[0xff; 4096]), BTreeSet::new());
}

#[test]
fn chance_finds_next_to_nothing() {
    let mut random = fastrand::Rng::with_seed(1);
    let finder = finder(&people::draw(300, &mut random));
    let expected = finder.by_chance(1_000_000_000);
    assert!((1e-9..1e-5).contains(&expected), "{expected}");
}
