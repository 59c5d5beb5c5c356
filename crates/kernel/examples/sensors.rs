//! Prints what this kernel offers, then the records of a few seconds as they come:
//! `sensors [SECONDS]`. For trying a kernel by hand, also in a guest.

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use kernel::{Options, Sensors};
use libbpf_rs::{MapHandle, MapInfo, RingBufferBuilder};
use model::interest::Interest;
use model::op::{Kind, KindSet};
use model::wire::{Body, Record};

fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(3);
    let mut out = std::io::stdout();
    let mut sensors = Sensors::load(Options::default())?;
    let kinds: KindSet = Kind::ALL.iter().copied().collect();
    let wanted = Interest { kinds, env: vec!["PATH".to_owned()], ..Interest::default() };
    let report = sensors.subscribe(&wanted)?;
    writeln!(out, "kernel {} tier {}", report.kernel, report.tier.name())?;
    for op in &report.operations {
        let provider = op.provider.map_or("-", |p| p.name());
        let (kind, state) = (op.kind.name(), op.state.name());
        writeln!(
            out,
            "{kind:12} {state:9} {provider:11} {:28} {} | {}",
            op.hook, op.note, op.improve
        )?;
    }
    let mut tasks = Vec::new();
    File::from(sensors.snapshot()?).read_to_end(&mut tasks)?;
    writeln!(out, "snapshot: {} bytes", tasks.len())?;
    let mut maps = Vec::new();
    for fd in sensors.ring_fds() {
        maps.push(MapHandle::from_map_id(MapInfo::new(fd)?.info.id)?);
    }
    let mut rings = RingBufferBuilder::new();
    for map in &maps {
        rings.add(map, |bytes| {
            print(bytes);
            0
        })?;
    }
    let rings = rings.build()?;
    let until = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
        sensors.service()?;
        rings.consume()?;
    }
    writeln!(out, "{:?}", sensors.counters()?)?;
    Ok(())
}

fn print(bytes: &[u8]) {
    let mut out = std::io::stdout();
    let line = match Record::parse(bytes) {
        Ok(record) => describe(&record),
        Err(error) => format!("malformed record of {} bytes: {error}", bytes.len()),
    };
    writeln!(out, "{line}").ok();
}

fn describe(record: &Record<'_>) -> String {
    let text = |span| String::from_utf8_lossy(record.bytes(span)).replace('\0', " ");
    let h = record.header();
    let what = match record.body() {
        Body::Task(t) => format!(
            "ppid {} {:?} exe {:?} script {:?} args {:.60?} cwd {:?} flags {:#x} argc {} exit {:#x}",
            t.ppid,
            text(t.comm),
            text(t.exe),
            text(t.script),
            text(t.args),
            text(t.cwd),
            t.task_flags,
            t.argc,
            t.exit_code
        ),
        Body::File(f) => format!(
            "{:?} old {:?} name {:?} ino {} mode {:o} owner {}:{} changed {}",
            text(f.path),
            text(f.old_path),
            text(f.name),
            f.ino,
            f.mode,
            f.uid,
            f.gid,
            f.changed
        ),
        Body::Net(n) => format!(
            "family {} {:?}:{} -> {:?}:{} proto {} name {:?} type {}",
            n.family,
            n.saddr,
            n.sport,
            n.daddr,
            n.dport,
            n.protocol,
            text(n.name),
            n.dns_type
        ),
        Body::Act(a) => format!(
            "target {} op {} code {} name {:?} path {:?} value {:#x}",
            a.target_pid,
            a.op,
            a.code,
            text(a.name),
            text(a.path),
            a.value
        ),
        Body::Ids(i) => format!("uid {} <- {} gid {} <- {}", h.uid, i.old_uid, h.gid, i.old_gid),
    };
    let (kind, provider) = (record.kind().name(), h.provider);
    format!(
        "{kind} by {provider} pid {} uid {} start {} flags {:#x}: {what}",
        h.pid, h.uid, h.start, h.flags
    )
}
