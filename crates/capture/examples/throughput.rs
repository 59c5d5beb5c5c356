//! What recording costs: packs the records of a recording again in full blocks, and unpacks them.
//!
//! `cargo run --release -p capture --example throughput -- FILE…`, for `cargo xtask bench record`.
#![expect(clippy::print_stdout, reason = "a tool for the command line")]

use std::error::Error;
use std::fs::File;
use std::time::Duration;

use capture::frame::{Frame, Kind, Packer};
use capture::{Block, Item, Piece, Reader};
use rustix::time::{ClockId, clock_gettime};

/// At least this long is measured.
const LONG: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let (blocks, bytes) = blocks(&paths)?;
    let records: u64 = blocks.iter().map(|block| u64::from(block.records())).sum();
    let items: u64 = blocks.iter().map(|block| u64::from(block.items())).sum();
    println!("{records} records, {items} items, {bytes} bytes of records, {} blocks", blocks.len());
    let mut packer = Packer::new()?;
    let mut frames = Vec::new();
    let pack = measured(records, || {
        frames.clear();
        for (number, block) in (0..).zip(&blocks) {
            frames.push(packer.block(Kind::Items, number, block)?);
        }
        Ok(())
    })?;
    let packed: usize = frames.iter().map(Vec::len).sum();
    let unpack = measured(records, || {
        for frame in &frames {
            let (header, payload) = frame.split_first_chunk().ok_or("short")?;
            Frame::checked(header, payload)?.block()?;
        }
        Ok(())
    })?;
    let copy = measured(records, || {
        let mut block = Block::new();
        for one in &blocks {
            block.clear();
            for item in one.iter() {
                if let Ok(Item::Record(bytes)) = item {
                    block.record(bytes);
                }
            }
        }
        std::hint::black_box(&block);
        Ok(())
    })?;
    let per = |bytes: usize| precise(bytes) / precise(usize::try_from(records).unwrap_or(1));
    println!("bytes_an_event {:.1} of {:.1}", per(packed), per(bytes));
    println!("copied {copy:.0} events/s on the event thread");
    println!("written {pack:.0} events/s on one core");
    println!("read {unpack:.0} events/s on one core");
    Ok(())
}

/// Does it again and again; records a second.
fn measured(
    records: u64,
    mut work: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<f64, Box<dyn Error>> {
    let (start, mut rounds) = (processor_time(), 0_u32);
    while processor_time().saturating_sub(start) < LONG {
        work()?;
        rounds += 1;
    }
    let records = precise(usize::try_from(records)?) * f64::from(rounds);
    Ok(records / processor_time().saturating_sub(start).as_secs_f64())
}

/// Others who use the machine lengthen the time that passes, and not this one.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn precise(number: usize) -> f64 {
    number as f64
}

/// The records of recordings in full blocks, with all else that is between them, and their bytes.
fn blocks(paths: &[String]) -> Result<(Vec<Block>, usize), Box<dyn Error>> {
    let (mut blocks, mut block, mut bytes) = (Vec::new(), Block::new(), 0);
    for path in paths {
        let mut reader = Reader::open(File::open(path)?)?;
        while let Some(piece) = reader.next_piece()? {
            let Piece::Frame(frame) = piece else { continue };
            if frame.header.kind != Kind::Items {
                continue;
            }
            for item in frame.block()?.iter() {
                match item? {
                    Item::Record(record) => {
                        block.record(record);
                        bytes += record.len();
                    }
                    Item::Fact(fact) => block.fact(&fact),
                    Item::Tick(now) => block.tick(now),
                    _ => {}
                }
                if block.is_full() {
                    blocks.push(std::mem::replace(&mut block, Block::new()));
                }
            }
        }
    }
    blocks.push(block);
    Ok((blocks, bytes))
}
