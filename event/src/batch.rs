//! Many records packed into one batch, and read again. `WIRE.md`, "Batch".

use hushmark_policy::{
    CampaignId, Day, Generation, Kind, MailType, Mark, Mode, ObjectedMessage, TenantId,
};

use crate::hit::{Client, Context, Device, Hit, System, Verdict};
use crate::objection::Objection;

/// The version of the packed form without objections, of the one with them, of the one with hits of
/// `lastOpenDay`, and of the one with voids as long as hits; each may hold what the one before may. A
/// batch has the lowest that says all of it, so that an older writer misses nothing else.
const VERSION: u8 = 1;
const VERSION_OBJECTIONS: u8 = 2;
const VERSION_LAST_OPEN_DAY: u8 = 3;
const VERSION_LONG_VOIDS: u8 = 4;

/// In the byte of a context that says mode and mail type.
const CONTEXT_LAST_OPEN_DAY: u8 = 1 << 3;

/// Version, rule version and base time: what every packed batch begins with.
pub const HEADER_LEN: usize = 1 + 2 + 8;

/// A new context: tenant, campaign, generation, mode and mail type, last day.
const CONTEXT_LEN: usize = 8 + 8 + 4 + 1 + 2;

/// The most bytes that one record takes: tag, context, flags, mark, link, time, four verdict
/// bytes and the country.
pub const RECORD_MAX: usize = 1 + CONTEXT_LEN + 1 + 8 + 2 + 4 + 4 + 2;

const TAG_VOID: u8 = 0;
const TAG_NEW_CONTEXT: u8 = 1;
const TAG_KNOWN_CONTEXT: u8 = 2;
const TAG_OBJECTION: u8 = 3;
const TAG_LONG_VOID: u8 = 4;

/// A long void's tag and the number of zeros after it.
const LONG_VOID: usize = 2;

const NAMES_CONTACT: u8 = 1;
const NAMES_MESSAGE: u8 = 2;

const FLAG_CLICK: u8 = 1;
const FLAG_HONEYPOT: u8 = 2;
const FLAG_COUNTRY: u8 = 4;
const FLAG_MARK: u8 = 8;

/// Slots of the table that finds a context again. A miss only costs the context's bytes.
const SLOTS: usize = 64;

/// What one request with a valid token left behind.
#[derive(Clone, PartialEq, Eq)]
pub enum Record {
    /// Counted.
    Hit(Hit),
    /// A recipient objected by the page of a message.
    Objection(Objection),
    /// Policy forbade a hit; nothing is known but that there was a request.
    Void,
}

/// Packs records as they come. One lives on each edge core and is emptied by [`Self::take`].
pub struct BatchBuilder {
    bytes: Vec<u8>,
    rules: u16,
    base_ms: u64,
    records: u16,
    contexts: u16,
    seen: [Option<(Context, u16)>; SLOTS],
    /// Contexts that only forbidden hits had.
    voided: [Option<Context>; SLOTS],
}

impl BatchBuilder {
    /// An empty batch under a version of the verdicts' rules.
    #[must_use]
    pub fn new(rules: u16) -> Self {
        let bytes = Vec::with_capacity(4096);
        Self {
            bytes,
            rules,
            base_ms: 0,
            records: 0,
            contexts: 0,
            seen: [None; SLOTS],
            voided: [None; SLOTS],
        }
    }

    /// Number of records so far.
    #[must_use]
    pub const fn records(&self) -> u16 {
        self.records
    }

    /// Whether nothing was appended since the last [`Self::take`].
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Whether another record fits: a batch counts its records in 16 bits.
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.records < u16::MAX
    }

    fn begin(&mut self, now_ms: u64) {
        if self.bytes.is_empty() {
            self.base_ms = now_ms;
            self.bytes.push(VERSION);
            self.bytes.extend_from_slice(&self.rules.to_be_bytes());
            self.bytes.extend_from_slice(&now_ms.to_be_bytes());
        }
    }

    /// Appends the trace of a hit that policy forbids, as long as the hit: neither by a sealed batch's
    /// length nor by the time that its bytes take is one told from the other.
    pub fn push_forbidden(
        &mut self,
        context: &Context,
        kind: Kind,
        has_country: bool,
        now_ms: u64,
    ) {
        self.begin(now_ms);
        let named = self.known(context).map_or_else(|| self.unnamed_len(context), varint_len);
        let link = if kind == Kind::Click { 2 } else { 0 };
        let mark = if context.mode.has_mark() { 8 } else { 0 };
        let country = if has_country { 2 } else { 0 };
        let after = varint_len(self.after(now_ms));
        self.push_void(1 + named + 1 + mark + link + after + 4 + country, now_ms);
    }

    /// What a hit of a context that the batch does not have would take to say it: all of it once, and
    /// then its number. What is remembered for that leaves the core with nothing.
    fn unnamed_len(&mut self, context: &Context) -> usize {
        let slot = &mut self.voided[(context.campaign.0 % SLOTS as u64) as usize];
        if slot.as_ref() == Some(context) {
            return 1;
        }
        *slot = Some(*context);
        CONTEXT_LEN
    }

    /// Appends the trace of a request that may not be counted, as long as the record that it stands
    /// for; 1 where it stands for none.
    pub fn push_void(&mut self, length: usize, now_ms: u64) {
        self.begin(now_ms);
        let zeros = length.min(RECORD_MAX).checked_sub(LONG_VOID);
        match zeros.and_then(|zeros| u8::try_from(zeros).ok()) {
            None => self.bytes.push(TAG_VOID),
            Some(zeros) => {
                self.is_at_least(VERSION_LONG_VOIDS);
                self.bytes.extend_from_slice(&[TAG_LONG_VOID, zeros]);
                self.bytes.resize(self.bytes.len() + usize::from(zeros), 0);
            }
        }
        self.records += 1;
    }

    /// A context's number, if the batch has it where it is looked for.
    fn known(&self, context: &Context) -> Option<u32> {
        let slot = &self.seen[(context.campaign.0 % SLOTS as u64) as usize];
        slot.filter(|(seen, _)| seen == context).map(|(_, number)| u32::from(number))
    }

    fn after(&self, at_ms: u64) -> u32 {
        u32::try_from(at_ms.saturating_sub(self.base_ms)).unwrap_or(u32::MAX).min(MAX_AFTER_MS)
    }

    fn is_at_least(&mut self, version: u8) {
        self.bytes[0] = self.bytes[0].max(version);
    }

    /// Appends an objection.
    pub fn push_objection(&mut self, objection: &Objection, now_ms: u64) {
        self.begin(now_ms);
        self.is_at_least(VERSION_OBJECTIONS);
        let Objection { tenant, contact, message } = objection;
        let mut names = 0;
        if contact.is_some() {
            names |= NAMES_CONTACT;
        }
        if message.is_some() {
            names |= NAMES_MESSAGE;
        }
        self.bytes.extend_from_slice(&[TAG_OBJECTION, names]);
        self.bytes.extend_from_slice(&tenant.0.to_be_bytes());
        if let Some(contact) = contact {
            self.bytes.extend_from_slice(&contact.expose().to_be_bytes());
        }
        if let Some(ObjectedMessage { campaign, last_day, id }) = message {
            self.bytes.extend_from_slice(&campaign.0.to_be_bytes());
            self.bytes.extend_from_slice(&last_day.0.to_be_bytes());
            self.bytes.extend_from_slice(&id.to_be_bytes());
        }
        self.records += 1;
    }

    /// Appends one hit. Its time is kept to the millisecond, never before the batch's first.
    pub fn push_hit(&mut self, hit: &Hit) {
        self.begin(hit.at_ms);
        self.push_context(&hit.context);
        let mut flags = 0;
        if hit.kind == Kind::Click {
            flags |= FLAG_CLICK;
        }
        if hit.honeypot {
            flags |= FLAG_HONEYPOT;
        }
        if hit.country.is_some() {
            flags |= FLAG_COUNTRY;
        }
        if hit.mark.is_some() {
            flags |= FLAG_MARK;
        }
        self.bytes.push(flags);
        if let Some(mark) = &hit.mark {
            self.bytes.extend_from_slice(&mark.expose().to_be_bytes());
        }
        if hit.kind == Kind::Click {
            self.bytes.extend_from_slice(&hit.link.to_be_bytes());
        }
        let after = self.after(hit.at_ms);
        push_varint(&mut self.bytes, after);
        self.bytes.extend_from_slice(&[
            hit.verdict as u8,
            hit.device as u8,
            hit.client as u8,
            hit.system as u8,
        ]);
        if let Some(country) = hit.country {
            self.bytes.extend_from_slice(&country);
        }
        self.records += 1;
    }

    fn push_context(&mut self, context: &Context) {
        match self.known(context) {
            Some(number) => {
                self.bytes.push(TAG_KNOWN_CONTEXT);
                push_varint(&mut self.bytes, number);
            }
            None => {
                let slot = &mut self.seen[(context.campaign.0 % SLOTS as u64) as usize];
                *slot = Some((*context, self.contexts));
                self.contexts += 1;
                self.bytes.push(TAG_NEW_CONTEXT);
                self.bytes.extend_from_slice(&context.tenant.0.to_be_bytes());
                self.bytes.extend_from_slice(&context.campaign.0.to_be_bytes());
                self.bytes.extend_from_slice(&context.generation.0.to_be_bytes());
                let mode = if context.mode == Mode::LastOpenDay {
                    self.is_at_least(VERSION_LAST_OPEN_DAY);
                    CONTEXT_LAST_OPEN_DAY
                } else {
                    context.mode as u8
                };
                self.bytes.push(mode | (context.mail_type as u8) << 2);
                self.bytes.extend_from_slice(&context.last_day.0.to_be_bytes());
            }
        }
    }

    /// Bytes packed so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the packed batch and the number of its records, and begins anew. `into` is cleared
    /// first and its memory serves the next batch, so that a running edge allocates nothing here.
    pub fn take(&mut self, into: &mut Vec<u8>) -> u16 {
        into.clear();
        std::mem::swap(into, &mut self.bytes);
        self.seen = [None; SLOTS];
        self.voided = [None; SLOTS];
        self.contexts = 0;
        std::mem::take(&mut self.records)
    }
}

/// The largest offset from the base time: four varint bytes, 74 hours.
const MAX_AFTER_MS: u32 = (1 << 28) - 1;

/// How many bytes [`push_varint`] appends.
const fn varint_len(n: u32) -> usize {
    let bits = u32::BITS - n.leading_zeros();
    if bits == 0 { 1 } else { bits.div_ceil(7) as usize }
}

fn push_varint(bytes: &mut Vec<u8>, mut n: u32) {
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
}

/// The packed bytes are no batch. The batch becomes a dead letter, whole: nothing of it is guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The first byte is not a version that this program knows.
    #[error("batch version {0} is not known to this program; upgrade the writer before the edges")]
    Version(u8),
    /// The bytes end within a record.
    #[error("batch ends within a record")]
    Short,
    /// A byte has a value that nothing has.
    #[error("batch has an impossible byte in {0}")]
    Value(&'static str),
}

/// Reads a packed batch record by record; stops for good at the first error.
pub struct BatchReader<'a> {
    rest: &'a [u8],
    version: u8,
    rules: u16,
    base_ms: u64,
    contexts: Vec<Context>,
}

impl<'a> BatchReader<'a> {
    /// Begins to read.
    ///
    /// # Errors
    /// [`Malformed`] when the header is short or of another version.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let contexts = Vec::new();
        let mut reader = Self { rest: bytes, version: 0, rules: 0, base_ms: 0, contexts };
        reader.version = match reader.u8()? {
            known @ VERSION..=VERSION_LONG_VOIDS => known,
            other => return Err(Malformed::Version(other)),
        };
        reader.rules = u16::from_be_bytes(reader.array()?);
        reader.base_ms = u64::from_be_bytes(reader.array()?);
        Ok(reader)
    }

    /// Whether an objection can be among the records: told by the header alone.
    #[must_use]
    pub const fn may_hold_objections(&self) -> bool {
        self.version >= VERSION_OBJECTIONS
    }

    /// The version of the verdicts' rules that the edge judged by.
    #[must_use]
    pub const fn rules(&self) -> u16 {
        self.rules
    }

    /// When the batch's first record arrived, in milliseconds since 1970.
    #[must_use]
    pub const fn base_ms(&self) -> u64 {
        self.base_ms
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn varint(&mut self) -> Result<u32, Malformed> {
        let mut n = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            n |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(Malformed::Value("a number"))
    }

    fn new_context(&mut self) -> Result<Context, Malformed> {
        let tenant = TenantId(u64::from_be_bytes(self.array()?));
        let campaign = CampaignId(u64::from_be_bytes(self.array()?));
        let generation = Generation(u32::from_be_bytes(self.array()?));
        let kind = self.u8()?;
        let mode = match (kind >> 3, Mode::from_u8(kind & 3)) {
            (0, Some(mode)) if mode != Mode::Off => mode,
            (1, Some(Mode::Off)) if self.version >= VERSION_LAST_OPEN_DAY => Mode::LastOpenDay,
            _ => return Err(Malformed::Value("a mode")),
        };
        let mail_type = if kind & 4 == 0 { MailType::Campaign } else { MailType::Transactional };
        let last_day = Day(u16::from_be_bytes(self.array()?));
        let context = Context { tenant, campaign, generation, mode, mail_type, last_day };
        self.contexts.push(context);
        Ok(context)
    }

    fn objection(&mut self) -> Result<Objection, Malformed> {
        let names = self.u8()?;
        if names == 0 || names & !(NAMES_CONTACT | NAMES_MESSAGE) != 0 {
            return Err(Malformed::Value("an objection"));
        }
        let tenant = TenantId(u64::from_be_bytes(self.array()?));
        let contact = if names & NAMES_CONTACT == 0 {
            None
        } else {
            Some(Mark::new(u64::from_be_bytes(self.array()?)))
        };
        let message = if names & NAMES_MESSAGE == 0 {
            None
        } else {
            Some(ObjectedMessage {
                campaign: CampaignId(u64::from_be_bytes(self.array()?)),
                last_day: Day(u16::from_be_bytes(self.array()?)),
                id: u64::from_be_bytes(self.array()?),
            })
        };
        Ok(Objection { tenant, contact, message })
    }

    /// Zeros, and nothing else: what a void stands for is nowhere in it.
    fn long_void(&mut self) -> Result<Record, Malformed> {
        let zeros = usize::from(self.u8()?);
        let (skipped, rest) = self.rest.split_at_checked(zeros).ok_or(Malformed::Short)?;
        self.rest = rest;
        if zeros > RECORD_MAX - LONG_VOID || skipped.iter().any(|byte| *byte != 0) {
            return Err(Malformed::Value("a void"));
        }
        Ok(Record::Void)
    }

    fn record(&mut self) -> Result<Record, Malformed> {
        let context = match self.u8()? {
            TAG_VOID => return Ok(Record::Void),
            TAG_LONG_VOID if self.version >= VERSION_LONG_VOIDS => return self.long_void(),
            TAG_OBJECTION if self.may_hold_objections() => {
                return self.objection().map(Record::Objection);
            }
            TAG_NEW_CONTEXT => self.new_context()?,
            TAG_KNOWN_CONTEXT => {
                let index = self.varint()? as usize;
                *self.contexts.get(index).ok_or(Malformed::Value("a context's number"))?
            }
            _ => return Err(Malformed::Value("a record's tag")),
        };
        let flags = self.u8()?;
        if flags >> 4 != 0 || (flags & FLAG_MARK != 0) != context.mode.has_mark() {
            return Err(Malformed::Value("a record's flags"));
        }
        let mark = if flags & FLAG_MARK == 0 {
            None
        } else {
            Some(Mark::new(u64::from_be_bytes(self.array()?)))
        };
        let (kind, link) = if flags & FLAG_CLICK == 0 {
            (Kind::Open, 0)
        } else {
            (Kind::Click, u16::from_be_bytes(self.array()?))
        };
        if !context.mode.is_for(kind) {
            return Err(Malformed::Value("a click's mode"));
        }
        let at_ms = self.base_ms.saturating_add(u64::from(self.varint()?));
        let [verdict, device, client, system] = self.array()?;
        let country = if flags & FLAG_COUNTRY == 0 { None } else { Some(self.array()?) };
        if country.is_some_and(|c: [u8; 2]| !c.iter().all(u8::is_ascii_uppercase)) {
            return Err(Malformed::Value("a country"));
        }
        Ok(Record::Hit(Hit {
            context,
            kind,
            link,
            honeypot: flags & FLAG_HONEYPOT != 0,
            mark,
            at_ms,
            verdict: Verdict::from_u8(verdict).ok_or(Malformed::Value("a verdict"))?,
            device: Device::from_u8(device).ok_or(Malformed::Value("a device"))?,
            client: Client::from_u8(client).ok_or(Malformed::Value("a client"))?,
            system: System::from_u8(system).ok_or(Malformed::Value("a system"))?,
            country,
        }))
    }
}

impl Iterator for BatchReader<'_> {
    type Item = Result<Record, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.rest = &[];
        }
        Some(record)
    }
}
