//! What is packed and sealed reads back as it was, and nothing else is ever read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use hushmark_event::batch::{Malformed, RECORD_MAX};
use hushmark_event::seal::Unsealable;
use hushmark_event::{
    BatchBuilder, BatchReader, Client, Context, DayKey, Device, Hit, Lane, LaneSealer, Objection,
    Record, Sealed, System, Verdict,
};
use hushmark_policy::{
    CampaignId, Day, Generation, Kind, MailType, Mark, Mode, ObjectedMessage, TenantId,
};
use proptest::prelude::*;

const BASE_MS: u64 = 1_795_000_000_000;

/// A record as plain numbers: a record itself cannot be printed, and proptest prints what fails.
#[derive(Clone, Debug)]
enum Seed {
    Void,
    Hit(
        (u64, u64, u32, u8, bool, u16),
        (bool, u16, bool, u64, u64),
        (u8, u8, u8, u8, Option<String>),
    ),
    /// The message's numbers are kept where the last says that there is one.
    Objection(u64, Option<u64>, (u64, u16, u64), bool),
}

fn seeds(n: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Seed>> {
    let context = (0..3u64, 0..200u64, 0..3u32, 1..5u8, any::<bool>(), 0..3u16);
    let request = (any::<bool>(), 0..9u16, any::<bool>(), any::<u64>(), 0..100_000u64);
    let judged = (0..8u8, 0..6u8, 0..16u8, 0..8u8, prop::option::of("[A-Z]{2}"));
    let hit = (context, request, judged).prop_map(|(c, r, j)| Seed::Hit(c, r, j));
    let objection = (any::<u64>(), any::<Option<u64>>(), any::<(u64, u16, u64)>(), any::<bool>())
        .prop_map(|(tenant, contact, message, is_there)| {
            Seed::Objection(tenant, contact, message, is_there || contact.is_none())
        });
    let seed = prop_oneof![2 => Just(Seed::Void), 7 => hit, 1 => objection];
    prop::collection::vec(seed, n)
}

fn record(seed: &Seed) -> Record {
    let (context, request, judged) = match seed {
        Seed::Void => return Record::Void,
        Seed::Objection(tenant, contact, (campaign, last_day, id), is_there) => {
            let (campaign, last_day) = (CampaignId(*campaign), Day(*last_day));
            return Record::Objection(Objection {
                tenant: TenantId(*tenant),
                contact: contact.map(Mark::new),
                message: is_there.then_some(ObjectedMessage { campaign, last_day, id: *id }),
            });
        }
        Seed::Hit(context, request, judged) => (context, request, judged),
    };
    let (tenant, campaign, generation, mode, transactional, last_day) = *context;
    let (click, link, honeypot, mark, after) = *request;
    let (verdict, device, client, system, country) = judged;
    let mode = Mode::from_u8(mode).unwrap();
    let click = click && mode.is_for(Kind::Click);
    Record::Hit(Hit {
        context: Context {
            tenant: TenantId(tenant),
            campaign: CampaignId(campaign),
            generation: Generation(generation),
            mode,
            mail_type: if transactional { MailType::Transactional } else { MailType::Campaign },
            last_day: Day(last_day),
        },
        kind: if click { Kind::Click } else { Kind::Open },
        link: if click { link } else { 0 },
        honeypot,
        mark: mode.has_mark().then(|| Mark::new(mark)),
        at_ms: BASE_MS + after,
        verdict: Verdict::from_u8(*verdict).unwrap(),
        device: Device::from_u8(*device).unwrap(),
        client: Client::from_u8(*client).unwrap(),
        system: System::from_u8(*system).unwrap(),
        country: country.as_ref().map(|c| c.as_bytes().try_into().unwrap()),
    })
}

fn pack(records: &[Record]) -> Vec<u8> {
    pack_with(records, |_| 1)
}

/// With voids of a length that follows from the bytes before.
fn pack_with(records: &[Record], void: impl Fn(usize) -> usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(1);
    // The first record fixes the base time.
    builder.push_void(1, BASE_MS);
    for record in records {
        let before = builder.len();
        match record {
            Record::Hit(hit) => builder.push_hit(hit),
            Record::Objection(objection) => builder.push_objection(objection, BASE_MS),
            Record::Void => builder.push_void(void(before), BASE_MS),
        }
        assert!(builder.len() - before <= RECORD_MAX);
    }
    let mut bytes = Vec::new();
    assert_eq!(usize::from(builder.take(&mut bytes)), records.len() + 1);
    bytes
}

proptest! {
    #[test]
    fn every_record_reads_back(seeds in seeds(0..60)) {
        let records: Vec<Record> = seeds.iter().map(record).collect();
        for bytes in [pack(&records), pack_with(&records, |before| before % (RECORD_MAX + 1))] {
            let reader = BatchReader::new(&bytes).unwrap();
            prop_assert_eq!(reader.base_ms(), BASE_MS);
            let read: Vec<Record> = reader.map(Result::unwrap).skip(1).collect();
            prop_assert!(read == records);
        }
    }

    /// A batch in which nothing may be counted is as long as one in which everything may, and a mixed
    /// one differs by what it takes to name a campaign once more, or once less.
    #[test]
    fn forbidden_hits_are_as_long_as_allowed_ones(
        seeds in seeds(1..40), which in prop::collection::vec(any::<bool>(), 40),
    ) {
        let records: Vec<Record> = seeds.iter().map(record).collect();
        let hits = || records.iter().filter_map(|record| match record {
            Record::Hit(hit) => Some(hit),
            Record::Objection(_) | Record::Void => None,
        });
        let length = |is_forbidden: &dyn Fn(usize) -> bool| {
            let mut builder = BatchBuilder::new(1);
            for (n, hit) in hits().enumerate() {
                if is_forbidden(n) {
                    let country = hit.country.is_some();
                    builder.push_forbidden(&hit.context, hit.kind, country, hit.at_ms);
                } else {
                    builder.push_hit(hit);
                }
            }
            builder.len()
        };
        let allowed = length(&|_| false);
        prop_assert_eq!(length(&|_| true), allowed);
        let mixed = length(&|n| which[n]);
        prop_assert!(mixed.abs_diff(allowed) <= 22 * hits().count(), "{mixed} and {allowed}");
    }

    #[test]
    fn an_objection_that_says_nothing_new_is_as_long_as_one_that_does(seeds in seeds(1..20)) {
        for record in seeds.iter().map(record) {
            let Record::Objection(objection) = record else { continue };
            let (mut new, mut known) = (BatchBuilder::new(1), BatchBuilder::new(1));
            new.push_objection(&objection, BASE_MS);
            let Objection { contact, message, .. } = &objection;
            let length = Objection::packed_len(contact.is_some(), message.is_some());
            known.push_void(length, BASE_MS);
            prop_assert_eq!(known.len(), new.len());
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(reader) = BatchReader::new(&bytes) {
            prop_assert!(reader.take(1_000).count() <= bytes.len());
        }
    }

    #[test]
    fn a_cut_batch_is_an_error_or_a_shorter_one(
        seeds in seeds(1..20), keep in 0.0..1.0f64,
    ) {
        let records: Vec<Record> = seeds.iter().map(record).collect();
        let bytes = pack(&records);
        let cut = &bytes[..(bytes.len() as f64 * keep) as usize];
        if let Ok(reader) = BatchReader::new(cut) {
            let read: Vec<_> = reader.collect();
            prop_assert!(read.len() <= records.len() + 1);
        }
    }

    #[test]
    fn any_changed_bit_lane_or_number_is_found(bit in 0..2_000usize, number in 1..u64::MAX) {
        let day = Day(20_000);
        let sealer = |core| LaneSealer::new(&DayKey::new([9; 32]), day, Lane { incarnation: 1, core });
        let packed = pack(&[Record::Void]);
        let mut blob = Vec::new();
        sealer(0).seal(number, 2, &packed, &mut blob);
        prop_assert_eq!(Sealed::header(&blob), Ok(Sealed { day, records: 2 }));

        let (sealed, opened) = { let mut b = blob.clone(); let (s, o) = sealer(0).open(number, &mut b).unwrap(); (s, o.to_vec()) };
        prop_assert_eq!(sealed.records, 2);
        prop_assert_eq!(opened, packed);

        prop_assert_eq!(sealer(1).open(number, &mut blob.clone()).unwrap_err(), Unsealable::Tampered);
        prop_assert_eq!(sealer(0).open(number - 1, &mut blob.clone()).unwrap_err(), Unsealable::Tampered);
        let bit = bit % (blob.len() * 8);
        blob[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(sealer(0).open(number, &mut blob).is_err());
    }
}

#[test]
fn a_newer_batch_says_which_program_to_upgrade() {
    assert_eq!(BatchReader::new(&[9, 0, 0]).err(), Some(Malformed::Version(9)));
}

/// A void holds nothing of what it stands for.
#[test]
fn a_long_void_is_zeros_and_nothing_else() {
    let mut packed = pack_with(&[Record::Void], |_| 30);
    assert_eq!(packed[0], 4);
    insta::assert_snapshot!("long_void", hex(&packed));
    let faults = |packed: &[u8]| -> Vec<_> {
        BatchReader::new(packed).unwrap().filter_map(Result::err).collect()
    };
    assert_eq!(faults(&packed), []);
    assert_eq!(faults(&packed[..packed.len() - 1]), [Malformed::Short]);
    *packed.last_mut().unwrap() = 1;
    assert_eq!(faults(&packed), [Malformed::Value("a void")]);
    *packed.last_mut().unwrap() = 0;
    packed[0] = 3;
    assert_eq!(faults(&packed), [Malformed::Value("a record's tag")]);
}

/// What a writer that knows no objections is given: nothing that it cannot read, but where somebody
/// objected.
#[test]
fn a_batch_is_of_the_second_version_only_where_it_holds_an_objection() {
    let objection = Objection {
        tenant: TenantId(0x1111_1111_1111_1111),
        contact: Some(Mark::new(0x4444_4444_4444_4444)),
        message: Some(ObjectedMessage {
            campaign: CampaignId(0x2222_2222_2222_2222),
            last_day: Day(20_778),
            id: 0x5555_5555_5555_5555,
        }),
    };
    assert_eq!(pack(&[Record::Void])[0], 1);
    let mut packed = pack(&[Record::Objection(objection), Record::Void]);
    assert_eq!(packed[0], 2);
    insta::assert_snapshot!("objection", hex(&packed));
    packed[0] = 1;
    let read: Vec<_> = BatchReader::new(&packed).unwrap().map(|it| it.err()).collect();
    assert_eq!(read, [None, Some(Malformed::Value("a record's tag"))]);
}

/// What a writer that does not know the mode is given: nothing that it cannot read, but where there is
/// a hit of it.
#[test]
fn a_batch_is_of_the_third_version_only_where_it_holds_a_hit_of_a_last_open_day() {
    let hit = Hit {
        context: Context {
            tenant: TenantId(0x1111_1111_1111_1111),
            campaign: CampaignId(0x2222_2222_2222_2222),
            generation: Generation(3),
            mode: Mode::LastOpenDay,
            mail_type: MailType::Transactional,
            last_day: Day(20_778),
        },
        kind: Kind::Open,
        link: 0,
        honeypot: false,
        mark: Some(Mark::new(0x4444_4444_4444_4444)),
        at_ms: BASE_MS + 300,
        verdict: Verdict::Human,
        device: Device::Unknown,
        client: Client::Unknown,
        system: System::Unknown,
        country: None,
    };
    let mut packed = pack(&[Record::Hit(hit.clone())]);
    assert_eq!(packed[0], 3);
    insta::assert_snapshot!("last_open_day", hex(&packed));
    packed[0] = 2;
    let read: Vec<_> = BatchReader::new(&packed).unwrap().map(|it| it.err()).collect();
    assert_eq!(read, [None, Some(Malformed::Value("a mode"))]);
    let click = Hit { kind: Kind::Click, ..hit };
    let read = BatchReader::new(&pack(&[Record::Hit(click)])).unwrap().last().unwrap().err();
    assert_eq!(read, Some(Malformed::Value("a click's mode")));
}

/// The bytes that WIRE.md shows. Old lane logs hold them: they must never change.
#[test]
fn golden_bytes() {
    let hit = Hit {
        context: Context {
            tenant: TenantId(0x1111_1111_1111_1111),
            campaign: CampaignId(0x2222_2222_2222_2222),
            generation: Generation(3),
            mode: Mode::Individual,
            mail_type: MailType::Transactional,
            last_day: Day(20_778),
        },
        kind: Kind::Click,
        link: 5,
        honeypot: false,
        mark: Some(Mark::new(0x4444_4444_4444_4444)),
        at_ms: BASE_MS + 300,
        verdict: Verdict::Scanner,
        device: Device::Phone,
        client: Client::Outlook,
        system: System::Ios,
        country: Some(*b"NO"),
    };
    let packed = pack(&[Record::Hit(hit.clone()), Record::Hit(hit)]);
    insta::assert_snapshot!("packed", hex(&packed));
    let lane = Lane { incarnation: 0x0123_4567_89ab_cdef, core: 1 };
    let mut blob = Vec::new();
    LaneSealer::new(&DayKey::new([7; 32]), Day(20_778), lane).seal(42, 3, &packed, &mut blob);
    insta::assert_snapshot!("sealed", hex(&blob));
}

fn hex(bytes: &[u8]) -> String {
    bytes.chunks(16).map(hex::encode).collect::<Vec<_>>().join("\n")
}
