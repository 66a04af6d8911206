//! Sections of pages: [`PagesWriter`] fills one, [`PagesPayload`] reads one.
//!
//! The payload is blocks of data, then 16-byte records in ascending order of pages, then the memory and
//! the number of records. The records stand behind the data, so that it can leave before they are known.
//! A record covers a run of pages of one form. A writer names the pages that stand there as they are and
//! copies none ([`DataRun`]).

use super::checksum::{self, PagesChecksum};
use super::decoder::within;
use super::encoder::PageSource;
use super::error::{Bound, Problem};
use super::layout::{PAGE_BYTES, PAGES_PER_SECTION, Reader};
use crate::limits;
use alloc::vec::Vec;

/// Bytes of a record.
pub const RECORD_BYTES: usize = 16;
/// Bytes behind the records.
pub const TAIL_BYTES: usize = 8;
/// Records that a writer puts into one section.
const RECORDS_PER_SECTION: usize = 1024;

const RAW: u8 = 1;
const LZ4: u8 = 2;
const ZERO: u8 = 3;
const REPEAT: u8 = 4;

/// What a file says about one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageForm<'a> {
    /// Its bytes.
    Raw(&'a [u8; PAGE_BYTES]),
    /// Its bytes as an LZ4 block.
    Lz4(&'a [u8]),
    /// It is zero now, and was not in the parent.
    Zero,
    /// It equals another page, as that stands after all that came before this one.
    Repeat {
        /// That page's memory.
        memory: u32,
        /// That page.
        page: u32,
    },
}

/// A run of pages of one form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    first: u32,
    count: u16,
    form: u8,
    /// Bytes of a compressed page; page and memory that are repeated.
    detail: u64,
}

impl Record {
    fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..4].copy_from_slice(&self.first.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.count.to_le_bytes());
        bytes[6] = self.form;
        bytes[8..].copy_from_slice(&self.detail.to_le_bytes());
        bytes
    }

    /// A record, and how many bytes of data belong to it.
    fn decode(bytes: &[u8; RECORD_BYTES]) -> Result<(Record, usize), Problem> {
        let mut reader = Reader(bytes);
        let first = reader.u32();
        let count = reader.u16();
        let [form, reserved] = reader.array();
        let detail = reader.u64();
        let record = Record {
            first,
            count,
            form,
            detail,
        };
        let sound = reserved == 0 && count > 0 && first.checked_add(u32::from(count) - 1).is_some();
        let data_bytes = match (form, detail) {
            (RAW, 0) => Some(usize::from(count) * PAGE_BYTES),
            (LZ4, 1..) if count == 1 && detail <= PAGE_BYTES as u64 => Some(detail as usize),
            (ZERO, 0) | (REPEAT, _) => Some(0),
            _ => None,
        };
        match data_bytes.filter(|_| sound) {
            Some(data_bytes) => Ok((record, data_bytes)),
            None => Err(Problem::PageRecords),
        }
    }

    fn source(memory: u32, page: u32) -> u64 {
        u64::from(memory) << 32 | u64::from(page)
    }

    /// The page behind its last.
    fn end(&self) -> u64 {
        u64::from(self.first) + u64::from(self.count)
    }
}

/// Data of a section of pages, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataRun {
    /// Pages as they are, which stay where they are.
    Pages {
        /// The first.
        first: u32,
        /// How many.
        count: u32,
    },
    /// LZ4 blocks.
    Blocks(Vec<u8>),
}

/// A section of pages that is being filled.
pub struct PagesWriter {
    memory: u32,
    data: Vec<DataRun>,
    data_bytes: usize,
    records: Vec<Record>,
    checksum: PagesChecksum,
    blocks: usize,
    pages: u64,
    /// Bytes of the payload after which one more page might be too many.
    most_bytes: usize,
}

/// The payload of a section of pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The memory that the pages belong to.
    pub memory: u32,
    /// What it begins with,
    pub data: Vec<DataRun>,
    /// which are so many bytes,
    pub data_bytes: usize,
    /// and what it ends with.
    pub records_and_tail: Vec<u8>,
    /// The payload's checksum.
    pub checksum: u64,
}

impl Packed {
    /// The payload's bytes, with the pages of the source that they were packed from.
    pub fn into_payload(self, source: &dyn PageSource) -> Vec<u8> {
        let mut payload = Vec::with_capacity(self.data_bytes + self.records_and_tail.len());
        for run in &self.data {
            match run {
                DataRun::Blocks(blocks) => payload.extend_from_slice(blocks),
                DataRun::Pages { first, count } => {
                    for page in *first..*first + *count {
                        let bytes = source.page(self.memory, u64::from(page));
                        payload.extend_from_slice(bytes.unwrap_or(&[0; PAGE_BYTES]));
                    }
                }
            }
        }
        payload.extend_from_slice(&self.records_and_tail);
        payload
    }
}

impl PagesWriter {
    /// A section of pages of this memory.
    pub fn new(memory: u32) -> PagesWriter {
        PagesWriter::bounded(memory, limits::SNAPSHOT_SECTION_BYTES)
    }

    /// A section of pages of this memory, whose payload has at most so many bytes.
    pub fn bounded(memory: u32, most_bytes: usize) -> PagesWriter {
        PagesWriter {
            memory,
            data: Vec::new(),
            data_bytes: 0,
            most_bytes,
            records: Vec::new(),
            checksum: PagesChecksum::default(),
            blocks: 0,
            pages: 0,
        }
    }

    /// Whether the next page belongs into another section.
    pub fn is_full(&self) -> bool {
        self.blocks >= PAGES_PER_SECTION
            || self.records.len() >= RECORDS_PER_SECTION
            || self.pages >= limits::SNAPSHOT_SECTION_PAGES
            || self.payload_bytes() + PAGE_BYTES + RECORD_BYTES > self.most_bytes
    }

    fn payload_bytes(&self) -> usize {
        self.data_bytes + self.records.len() * RECORD_BYTES + TAIL_BYTES
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// A page as it is, whose checksum this is.
    pub fn push_raw(&mut self, page: u32, checksum: u64) {
        self.data_bytes += PAGE_BYTES;
        match self.data.last_mut() {
            Some(DataRun::Pages { first, count }) if *first + *count == page => *count += 1,
            _ => self.data.push(DataRun::Pages {
                first: page,
                count: 1,
            }),
        }
        self.checksum.add_block(checksum);
        self.blocks += 1;
        self.push(page, RAW, 0);
    }

    /// A page as an LZ4 block.
    pub fn push_lz4(&mut self, page: u32, block: &[u8]) {
        self.data_bytes += block.len();
        match self.data.last_mut() {
            Some(DataRun::Blocks(blocks)) => blocks.extend_from_slice(block),
            _ => self.data.push(DataRun::Blocks(block.to_vec())),
        }
        self.checksum.add_block(checksum::of(block));
        self.blocks += 1;
        self.push(page, LZ4, block.len() as u64);
    }

    /// A page that is zero.
    pub fn push_zero(&mut self, page: u32) {
        self.push(page, ZERO, 0);
    }

    /// A page that equals another.
    pub fn push_repeat(&mut self, page: u32, source_memory: u32, source_page: u32) {
        self.push(page, REPEAT, Record::source(source_memory, source_page));
    }

    fn push(&mut self, page: u32, form: u8, detail: u64) {
        self.pages += 1;
        if let Some(last) = self.records.last_mut()
            && (last.form, last.detail) == (form, detail)
            && form != LZ4
            && last.end() == u64::from(page)
            && last.count < u16::MAX
        {
            last.count += 1;
            return;
        }
        self.records.push(Record {
            first: page,
            count: 1,
            form,
            detail,
        });
    }

    /// The section's payload.
    pub fn finish(self) -> Packed {
        let bytes = self.records.len() * RECORD_BYTES + TAIL_BYTES;
        let mut records_and_tail = Vec::with_capacity(bytes);
        for record in &self.records {
            records_and_tail.extend_from_slice(&record.encode());
        }
        records_and_tail.extend_from_slice(&self.memory.to_le_bytes());
        let count = self.records.len() as u32;
        records_and_tail.extend_from_slice(&count.to_le_bytes());
        Packed {
            memory: self.memory,
            data: self.data,
            data_bytes: self.data_bytes,
            checksum: self.checksum.finish(&records_and_tail),
            records_and_tail,
        }
    }
}

/// The payload of a section of pages.
#[derive(Debug, Clone, Copy)]
pub struct PagesPayload<'a> {
    /// The memory that the pages belong to.
    pub memory: u32,
    data: &'a [u8],
    records: &'a [[u8; RECORD_BYTES]],
    records_and_tail: &'a [u8],
}

impl<'a> PagesPayload<'a> {
    /// Splits a payload; what is in it is only as sound as [`verify`](Self::verify) found it.
    pub fn split(payload: &'a [u8]) -> Result<PagesPayload<'a>, Problem> {
        let tail_at = payload.len().checked_sub(TAIL_BYTES);
        let tail_at = tail_at.ok_or(Problem::PayloadLength)?;
        let (rest, tail) = payload.split_at(tail_at);
        let mut tail = Reader(tail);
        let (memory, count) = (tail.u32(), tail.u32() as usize);
        let records_bytes = count.checked_mul(RECORD_BYTES);
        let data_bytes = records_bytes.and_then(|bytes| rest.len().checked_sub(bytes));
        let (data, records) = rest.split_at(data_bytes.ok_or(Problem::PageRecords)?);
        Ok(PagesPayload {
            memory,
            data,
            records: records.as_chunks::<RECORD_BYTES>().0,
            records_and_tail: &payload[data.len()..],
        })
    }

    /// Compares the checksum, and shows on the way that the records fit the data.
    pub fn verify(&self, checksum: u64) -> Result<(), Problem> {
        let mut sum = PagesChecksum::default();
        let mut data = self.data;
        let mut pages = 0;
        for record in self.records {
            let (record, bytes) = Record::decode(record)?;
            pages += u64::from(record.count);
            within(Bound::SectionPages, pages, limits::SNAPSHOT_SECTION_PAGES)?;
            let (blocks, rest) = data.split_at_checked(bytes).ok_or(Problem::PageRecords)?;
            data = rest;
            let block_bytes = if record.form == RAW {
                PAGE_BYTES
            } else {
                bytes
            };
            for block in blocks.chunks(block_bytes.max(1)) {
                sum.add_block(match block.try_into() {
                    Ok(page) => checksum::of_page(page),
                    Err(_) => checksum::of(block),
                });
            }
        }
        if !data.is_empty() {
            return Err(Problem::PageRecords);
        }
        match sum.finish(self.records_and_tail) == checksum {
            true => Ok(()),
            false => Err(Problem::Checksum),
        }
    }

    /// Each page with what is said about it, in ascending order if the file is sound: who asks checks that.
    pub fn pages(&self) -> impl Iterator<Item = (u64, PageForm<'a>)> + use<'a> {
        let mut data = self.data;
        self.records.iter().flat_map(move |record| {
            // Both were shown to fit when the payload was verified.
            let (record, bytes) = Record::decode(record).unwrap_or((Record::NOTHING, 0));
            let (blocks, rest) = data.split_at(bytes.min(data.len()));
            data = rest;
            (0..u64::from(record.count)).map(move |at| {
                (
                    u64::from(record.first) + at,
                    record.form_of(at as usize, blocks),
                )
            })
        })
    }
}

impl Record {
    /// A run of no pages.
    const NOTHING: Record = Record {
        first: 0,
        count: 0,
        form: ZERO,
        detail: 0,
    };

    /// What is said about one page of the run, whose blocks these are.
    fn form_of<'a>(&self, at: usize, blocks: &'a [u8]) -> PageForm<'a> {
        match self.form {
            RAW => match blocks.as_chunks::<PAGE_BYTES>().0.get(at) {
                Some(page) => PageForm::Raw(page),
                None => PageForm::Zero,
            },
            LZ4 => PageForm::Lz4(blocks),
            REPEAT => PageForm::Repeat {
                memory: (self.detail >> 32) as u32,
                page: self.detail as u32,
            },
            _ => PageForm::Zero,
        }
    }
}
