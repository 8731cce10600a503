//! Videos a second that clips are read from: `cargo bench --bench decode -- [FOLDER] [WORKERS] [FRAMES] [SIZE]`.
//!
//! Reads every MP4 file below FOLDER with `uniform` and with `reference_frames`, by several threads at once, and prints
//! one JSON line each, with the frames that were decoded for a clip. Without a folder, it makes two with the `ffmpeg`
//! program and keeps them for the next time: eight clips (1280x720, 300 frames) by x264's preset `veryfast`, and the
//! same eight by its default, `medium`. `-- --open FOLDER COUNT` opens files COUNT times and prints by how much
//! resident memory grew. `-- --tables FILE TIMES` reads 16 frames of a file, drawn anew each time, in turns by scanning
//! it and by a packet table that is kept, and prints wall milliseconds, processor milliseconds and MiB read.
//! `-- --hardware COUNT FRAMES` writes COUNT clips of 1280x720 with this program's own encoder and reads them on the
//! CPU and, where there is NVDEC, on the GPU: a table.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use dfdetect::config::{Sampling, Switch};
use dfdetect::dataset::Footage;
use dfdetect::demo::{VideoSettings, VideoWriter};
use dfdetect::video::{self, ClipSpec, FrameSize, PacketTables, VideoInput};
use image::RgbImage;

fn main() -> Result<()> {
    let args: Vec<_> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [open, folder, count] = args.as_slice()
        && open == "--open"
    {
        return open_many(&videos(Path::new(folder))?, count.parse()?);
    }
    if let [tables, file, times] = args.as_slice()
        && tables == "--tables"
    {
        return by_table(Path::new(file), times.parse()?);
    }
    if let [hardware, count, frames] = args.as_slice()
        && hardware == "--hardware"
    {
        return on_hardware(count.parse()?, frames.parse()?);
    }
    let folders = match args.first() {
        Some(folder) => vec![PathBuf::from(folder)],
        None => vec![make_clips("veryfast")?, make_clips("medium")?],
    };
    let number = |at: usize, default| args.get(at).map_or(Ok(default), |arg| arg.parse());
    let (workers, frames, size) = (number(1, 2)?, number(2, 16)?, number(3, 224)?);
    for folder in folders {
        let videos = videos(&folder)?;
        for sampling in [Sampling::Uniform, Sampling::ReferenceFrames] {
            let spec = ClipSpec { sampling, ..ClipSpec::uniform(frames, size, size, 1) };
            let start = Instant::now();
            let (mean, decoded) = read_all(&videos, workers, &spec)?;
            let secs = start.elapsed().as_secs_f64();
            let line = serde_json::json!({
                "reader": format!("dfdetect {}", serde_json::to_value(sampling)?.as_str().unwrap_or_default()),
                "folder": folder,
                "videos": videos.len(),
                "workers": workers,
                "videos_per_sec": videos.len() as f64 / secs,
                "decoded": decoded,
                "mean": mean,
            });
            println!("{line}");
        }
    }
    Ok(())
}

fn videos(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter();
    let paths = entries.map(|entry| Ok(entry?.into_path())).collect::<Result<Vec<_>>>()?;
    let is_mp4 = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "mp4");
    let videos: Vec<_> = paths.into_iter().filter(is_mp4).collect();
    ensure!(!videos.is_empty(), "there are no MP4 files below {}", folder.display());
    Ok(videos)
}

/// The mean value of all pixels of all clips, and how many frames were decoded for one.
fn read_all(videos: &[PathBuf], workers: usize, spec: &ClipSpec) -> Result<(f64, f64)> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<[f64; 2]> {
        let mut sums = [0.0; 2];
        while let Some(video) = videos.get(next.fetch_add(1, Ordering::Relaxed)) {
            let size = FrameSize::Exact { height: spec.height, width: spec.width };
            let mut thwc = Vec::with_capacity(spec.clip_bytes());
            let mut take = |frame: RgbImage| thwc.extend_from_slice(&frame);
            let decoded = video::read_frames(&Footage::video(video), spec, None, size, &mut take)?;
            sums[0] += thwc.iter().map(|value| u64::from(*value)).sum::<u64>() as f64 / thwc.len() as f64;
            sums[1] += decoded as f64;
        }
        Ok(sums)
    };
    let sums = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a reader does not panic")).collect::<Result<Vec<_>>>()
    })?;
    let [mean, decoded] = [0, 1].map(|at: usize| sums.iter().map(|sums| sums[at]).sum::<f64>() / videos.len() as f64);
    Ok((mean, decoded))
}

fn make_clips(preset: &str) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".deps/bench-clips").join(preset);
    std::fs::create_dir_all(&folder)?;
    for number in 0..8 {
        let path = folder.join(format!("{number}.mp4"));
        if path.exists() {
            continue;
        }
        // Motion everywhere and some noise: 3 to 4 Mbit/s, as cameras and re-encoded copies have.
        let source = format!("testsrc2=s=1280x720:r=30,rotate=0.00{}*n,noise=alls=14:allf=t,boxblur=1", number + 1);
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i", &source, "-frames:v", "300", "-pix_fmt", "yuv420p"])
            .args(["-c:v", "libx264", "-preset", preset, "-f", "mp4", "-y"])
            .arg(path.with_extension("part"))
            .status()
            .context("the program ffmpeg makes the clips\n  hint: scripts/setup.sh --tests installs it")?;
        ensure!(status.success(), "ffmpeg could not make {}", path.display());
        std::fs::rename(path.with_extension("part"), path)?;
    }
    Ok(folder)
}

fn open_many(videos: &[PathBuf], count: usize) -> Result<()> {
    let spec = ClipSpec::uniform(2, 32, 32, 1);
    let read = |number: usize| {
        let footage = Footage::video(&videos[number % videos.len()]);
        // Damaged files count too: memory must not grow with them either.
        video::read_clip(&footage, &spec, None).is_ok()
    };
    let warm = 2 * videos.len().max(50);
    let warmed = (0..warm).filter(|number| read(*number)).count();
    ensure!(warmed > 0, "none of the files could be read");
    let before = resident_kib()?;
    let good = (0..count).filter(|number| read(*number)).count();
    println!("{}", serde_json::json!({ "opened": count, "read": good, "grown_kib": resident_kib()? - before }));
    Ok(())
}

/// Videos a second on the CPU and on the GPU, by one thread and by more, as rows of a table.
fn on_hardware(count: usize, frames: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let paths: Vec<_> = (0..count).map(|number| folder.path().join(format!("{number}.mp4"))).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = paths.iter().map(|path| scope.spawn(|| write_clip(path, frames))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a writer does not panic"))
    })?;
    println!("| decoder | threads | videos/s | mean pixel |\n| --- | --- | --- | --- |");
    for workers in [1, 4, 16] {
        for (name, hw_decode) in [("CPU", Switch::Off), ("NVDEC", Switch::On)] {
            if hw_decode == Switch::On && !video::decodes_on_gpu(hw_decode) {
                println!("| {name} | {workers} | skipped: no GPU decodes here | |");
                continue;
            }
            let spec = ClipSpec { hw_decode, ..ClipSpec::uniform(16, 224, 224, 1) };
            // The first decoder on a GPU also starts CUDA.
            read_all(&paths[..1], 1, &spec)?;
            let start = Instant::now();
            let (mean, _) = read_all(&paths, workers, &spec)?;
            let videos_per_sec = paths.len() as f64 / start.elapsed().as_secs_f64();
            println!("| {name} | {workers} | {videos_per_sec:.1} | {mean:.3} |");
        }
    }
    Ok(())
}

/// Motion everywhere, and noise that does not repeat.
fn write_clip(path: &Path, frames: usize) -> Result<()> {
    let settings = VideoSettings { width: 1280, height: 720, fps: 30, gop: 250, ..VideoSettings::default() };
    let mut writer = VideoWriter::create(path, &settings)?;
    let mut noise = 1_u32;
    let mut rgb = vec![0; 1280 * 720 * 3];
    for frame in 0..frames {
        for (at, value) in rgb.iter_mut().enumerate() {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (x, y) = (at / 3 % 1280, at / 3840);
            *value = (((x + 4 * frame) ^ (y + 2 * frame)) as u8 & 0xF0) + (noise >> 28) as u8;
        }
        writer.write(&rgb)?;
    }
    Ok(writer.finish()?)
}

/// Keeps the table of one file, whatever its size.
#[derive(Default)]
struct Kept(RefCell<Option<Vec<u8>>>);

impl PacketTables for Kept {
    fn keeps(&self, _: u64) -> bool {
        true
    }

    fn table(&self) -> Option<Vec<u8>> {
        self.0.borrow().clone()
    }

    fn keep_table(&self, table: Vec<u8>) {
        self.0.replace(Some(table));
    }
}

fn by_table(path: &Path, times: u64) -> Result<()> {
    let spec = ClipSpec { sampling: Sampling::RandomSegment, ..ClipSpec::uniform(16, 224, 224, 1) };
    let (footage, kept) = (Footage::video(path), Kept::default());
    let scan = VideoInput::from(&footage);
    let tabled = VideoInput::with_tables(&footage, &kept);
    video::probe(scan, &spec)?;
    let timed = |what: &str, read: &dyn Fn() -> Result<u64>| -> Result<()> {
        let (start, before) = (Instant::now(), used()?);
        let sum = read()?;
        let [ms, mib] = [0, 1].map(|at: usize| used().map_or(f64::NAN, |used| used[at]) - before[at]);
        let wall_ms = start.elapsed().as_millis();
        println!("{}", serde_json::json!({ "what": what, "wall_ms": wall_ms, "cpu_ms": ms, "mib": mib, "sum": sum }));
        Ok(())
    };
    timed("scan, and table", &|| Ok(video::probe(tabled, &spec)?.frames as u64))?;
    let table_bytes = kept.0.borrow().as_ref().map(Vec::len);
    println!("{}", serde_json::json!({ "file_bytes": path.metadata()?.len(), "table_bytes": table_bytes }));
    for draw in 0..times {
        let sum = |input: VideoInput| -> Result<u64> {
            Ok(video::read_clip(input, &spec, Some(draw))?.thwc.into_iter().map(u64::from).sum())
        };
        timed("scan", &|| sum(scan))?;
        timed("table", &|| sum(tabled))?;
    }
    Ok(())
}

/// The processor time of this thread in ms, and what it read in MiB.
fn used() -> Result<[f64; 2]> {
    let run = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let run_ns: f64 = run.split(' ').next().context("no run time")?.parse()?;
    let io = std::fs::read_to_string("/proc/thread-self/io")?;
    let read: f64 = io.lines().find_map(|line| line.strip_prefix("rchar: ")).context("no rchar")?.parse()?;
    Ok([run_ns / 1e6, read / f64::from(1 << 20)])
}

fn resident_kib() -> Result<i64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
