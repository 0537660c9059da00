//! Throughput of the journal and the segments on the disk under a directory (first argument,
//! or the temporary one), beside plain writes of the same bytes in the same run.
//! `cargo bench --bench store -- [DIR]`

use bytes::Bytes;
use kithfs::keys::{ChunkId, LocalKey};
use kithfs::store::{Journal, JournalOptions, Segments, SegmentsOptions};
use kithfs::world::{MemIndexes, World};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const MIB: usize = 1 << 20;

fn report(what: &str, bytes: usize, since: Instant) {
    let s = since.elapsed().as_secs_f64();
    println!("{what:<44} {:>8.0} MB/s", bytes as f64 / 1e6 / s);
}

fn each(what: &str, count: usize, since: Instant) {
    println!("{what:<44} {:>8.1} us each", since.elapsed().as_secs_f64() * 1e6 / count as f64);
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    let base = dir.map_or_else(std::env::temp_dir, PathBuf::from).join("kith-bench-store");
    std::fs::create_dir_all(&base)?;
    let result = all(&base).await;
    std::fs::remove_dir_all(&base)?;
    result
}

async fn all(base: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let world = World::real(Arc::new(MemIndexes));
    let key = LocalKey::from_bytes([1; 32]);
    let data: Vec<u8> = (0..MIB).map(|n| ((n * n) >> 7) as u8).collect();

    let started = Instant::now();
    let mut file = std::fs::File::create(base.join("plain"))?;
    for _ in 0..512 {
        file.write_all(&data)?;
    }
    file.sync_data()?;
    report("plain file, 512 MiB, one fdatasync", 512 * MIB, started);
    let started = Instant::now();
    for n in 0..200u64 {
        std::os::unix::fs::FileExt::write_all_at(&file, &data[..4096], n * 4096)?;
        file.sync_data()?;
    }
    each("plain overwrite of 4 KiB + fdatasync", 200, started);
    std::fs::remove_file(base.join("plain"))?;

    journal(&world, base, &key, &data).await?;
    segments(&world, base, &key, &data).await
}

async fn journal(
    world: &World,
    base: &Path,
    key: &LocalKey,
    data: &[u8],
) -> Result<(), Box<dyn std::error::Error>> {
    let dir = base.join("journal");
    let open =
        || Journal::open(world, &dir, key, JournalOptions::default(), 0usize, |n, r| *n += r.payload.len());
    let journal = open().await?.journal;
    for round in ["new files", "files used again"] {
        let started = Instant::now();
        for _ in 0..512 {
            journal.append_wait(1, &[data]).await?;
        }
        journal.sync_all().await?;
        report(&format!("journal, 512 x 1 MiB, {round}"), 512 * MIB, started);
        if round == "new files" {
            journal.trim(journal.status().last);
        }
    }
    let started = Instant::now();
    for _ in 0..100_000 {
        if journal.append(2, &data[..120]).is_err() {
            journal.sync_all().await?;
        }
    }
    each("journal, append of 120 bytes", 100_000, started);
    journal.sync_all().await?;
    let started = Instant::now();
    for _ in 0..200 {
        let lsn = journal.append(2, &data[..120])?;
        journal.sync(lsn).await?;
    }
    each("journal, append of 120 bytes + sync", 200, started);
    journal.close().await?;
    let started = Instant::now();
    let opened = open().await?;
    report("journal, replay", opened.state, started);
    Ok(())
}

async fn segments(
    world: &World,
    base: &Path,
    key: &LocalKey,
    data: &[u8],
) -> Result<(), Box<dyn std::error::Error>> {
    let chunk = Bytes::copy_from_slice(data);
    let id = |n: u32| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&n.to_le_bytes());
        ChunkId(id)
    };
    let segments = Segments::open(world, &base.join("segments"), key, SegmentsOptions::own(1 << 40)).await?;
    for (writers, from) in [(1u32, 0u32), (4, 1000)] {
        let started = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for w in 0..writers {
            let (segments, chunk) = (segments.clone(), chunk.clone());
            tasks.spawn(async move {
                for n in (w..512).step_by(writers as usize) {
                    segments.append(&id(from + n), b"note", chunk.clone()).await?;
                }
                Ok::<_, kithfs::store::StoreError>(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        report(&format!("segments, 512 x 1 MiB, {writers} writers"), 512 * MIB, started);
        segments.sync().await?;
        report("  with sync", 512 * MIB, started);
    }
    let started = Instant::now();
    for n in 0..512 {
        segments.read(&id(n), 0..u32::MAX).await?;
    }
    report("segments, read of whole chunks", 512 * MIB, started);
    let started = Instant::now();
    for n in 0..5000u32 {
        segments.read(&id(n % 512), (n % 16) * 65_536..(n % 16) * 65_536 + 4096).await?;
    }
    each("segments, read of 4 KiB", 5000, started);
    Ok(())
}
