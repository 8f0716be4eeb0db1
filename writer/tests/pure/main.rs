//! The pure cores, against models written down naively.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cells;
mod cuts;

use hushmark_event::{BatchBuilder, Client, Context, Device, Hit, Sealed, System, Verdict};
use hushmark_policy::{CampaignId, Day, Generation, Kind, MailType, Mark, Mode, TenantId};
use hushmark_writer::entry::{Batch, Content, Entry};

const DAY: Day = Day(20_500);

/// A hit from plain numbers: a hit itself cannot be printed, and proptest prints what fails.
#[derive(Clone, Debug)]
struct Seed {
    campaign: u64,
    mode: u8,
    mark: u64,
    link: u16,
    after_ms: u64,
    verdict: u8,
    client: u8,
    country: Option<u8>,
}

impl Seed {
    fn hit(&self, day: Day) -> Hit {
        let mode = Mode::from_u8(self.mode).unwrap();
        Hit {
            context: Context {
                tenant: TenantId(self.campaign / 3 + 1),
                campaign: CampaignId(self.campaign),
                generation: Generation(1),
                mode,
                mail_type: MailType::Campaign,
                last_day: DAY.plus(5),
            },
            kind: if self.link == 0 { Kind::Open } else { Kind::Click },
            link: self.link,
            honeypot: false,
            mark: mode.has_mark().then(|| Mark::new(self.mark)),
            at_ms: day.start_ms() + self.after_ms,
            verdict: Verdict::from_u8(self.verdict).unwrap(),
            device: Device::ALL[usize::from(self.client) % Device::ALL.len()],
            client: Client::from_u8(self.client).unwrap(),
            system: System::ALL[usize::from(self.client) % System::ALL.len()],
            country: self.country.map(|c| [b'A' + c, b'X']),
        }
    }
}

/// An entry as the writer holds it: `None` is a void.
fn entry(number: u64, day: Day, rules: u16, hits: &[Option<Hit>]) -> Entry {
    let mut builder = BatchBuilder::new(rules);
    for hit in hits {
        match hit {
            Some(hit) => builder.push_hit(hit),
            None => builder.push_void(1, day.start_ms()),
        }
    }
    let mut packed = Vec::new();
    let records = builder.take(&mut packed);
    let batch = Batch::read(Sealed { day, records }, packed, |_| {}).unwrap();
    Entry { number, content: Content::Batch(batch) }
}
